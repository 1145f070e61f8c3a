//! The analyzers that are known: when they have something to look at, how they are started, how they are read.

use super::{Hit, formats, sarif};

/// An analyzer.
pub struct Tool {
    /// The name by which it is asked for.
    pub name: &'static str,
    /// Its program.
    pub program: &'static str,
    /// What makes it tell its version.
    pub version: &'static [&'static str],
    /// What makes it look at the directory it runs in.
    pub args: &'static [&'static str],
    /// Variables of its environment.
    pub env: &'static [(&'static str, &'static str)],
    /// When there is something for it.
    pub when: When,
    /// Exit codes of a run that came to its end.
    pub ends_with: &'static [i32],
    /// Whether it checks types.
    pub checks_types: bool,
    /// Reads what it wrote.
    pub read: fn(&Output) -> Result<Vec<Hit>, String>,
}

/// When there is something for an analyzer to look at.
pub enum When {
    /// Always.
    Always,
    /// When there are files with one of these extensions.
    Extension(&'static [&'static str]),
    /// When there are such files, which it wants to be told.
    Listed(&'static [&'static str]),
    /// When one of these files lies at the root.
    Root(&'static [&'static str]),
}

/// What an analyzer wrote.
pub struct Output {
    /// On its standard output.
    pub stdout: String,
    /// On its standard error.
    pub stderr: String,
}

const PYTHON: When = When::Extension(&["py", "pyi"]);
/// Nothing is downloaded: what is not there is not known.
const GO: &[(&str, &str)] =
    &[("GOPROXY", "off"), ("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")];
const CARGO: &[(&str, &str)] = &[("CARGO_NET_OFFLINE", "true"), ("CARGO_TERM_COLOR", "never")];

/// Every analyzer.
pub static TOOLS: &[Tool] = &[
    Tool {
        name: "ruff",
        program: "ruff",
        version: &["--version"],
        args: &["check", "--no-cache", "--no-fix", "--exit-zero", "--output-format", "json", "."],
        env: &[],
        when: PYTHON,
        ends_with: &[0],
        checks_types: false,
        read: formats::ruff,
    },
    Tool {
        name: "bandit",
        program: "bandit",
        version: &["--version"],
        args: &["--recursive", "--quiet", "--exit-zero", "--format", "json", "."],
        env: &[],
        when: PYTHON,
        ends_with: &[0],
        checks_types: false,
        read: formats::bandit,
    },
    Tool {
        name: "mypy",
        program: "mypy",
        version: &["--version"],
        args: &["--output", "json", "--cache-dir", "/dev/null", "--no-error-summary", "."],
        env: &[],
        when: PYTHON,
        // 2 is a file that cannot be parsed, or that it does not work at all: then there is nothing to read.
        ends_with: &[0, 1, 2],
        checks_types: true,
        read: formats::mypy,
    },
    Tool {
        name: "pylint",
        program: "pylint",
        version: &["--version"],
        args: &["--output-format=json2", "--recursive=y", "--persistent=n", "--jobs=1", "--exit-zero", "."],
        env: &[],
        when: PYTHON,
        ends_with: &[0],
        checks_types: false,
        read: formats::pylint,
    },
    Tool {
        name: "eslint",
        program: "eslint",
        version: &["--version"],
        args: &["--format", "json", "."],
        env: &[],
        // Without a configuration it has no rules.
        when: When::Root(&["eslint.config.js", "eslint.config.mjs", "eslint.config.cjs"]),
        ends_with: &[0, 1],
        checks_types: false,
        read: formats::eslint,
    },
    Tool {
        name: "tsc",
        program: "tsc",
        version: &["--version"],
        args: &["--noEmit", "--pretty", "false", "--project", "."],
        env: &[],
        when: When::Root(&["tsconfig.json"]),
        ends_with: &[0, 1, 2],
        checks_types: true,
        read: formats::tsc,
    },
    Tool {
        name: "go vet",
        program: "go",
        version: &["version"],
        args: &["vet", "-json", "./..."],
        env: GO,
        when: When::Root(&["go.mod"]),
        ends_with: &[0, 1],
        checks_types: true,
        read: formats::go_vet,
    },
    Tool {
        name: "cargo check",
        program: "cargo",
        version: &["--version"],
        args: &["check", "--quiet", "--offline", "--all-targets", "--message-format", "json"],
        env: CARGO,
        when: When::Root(&["Cargo.toml"]),
        ends_with: &[0, 101],
        checks_types: true,
        read: formats::cargo,
    },
    Tool {
        name: "clippy",
        program: "cargo",
        version: &["clippy", "--version"],
        args: &["clippy", "--quiet", "--offline", "--all-targets", "--message-format", "json"],
        env: CARGO,
        when: When::Root(&["Cargo.toml"]),
        ends_with: &[0, 101],
        checks_types: true,
        read: formats::cargo,
    },
    Tool {
        name: "shellcheck",
        program: "shellcheck",
        version: &["--version"],
        args: &["--format", "json1"],
        env: &[],
        when: When::Listed(&["sh", "bash", "dash", "ksh"]),
        ends_with: &[0, 1],
        checks_types: false,
        read: formats::shellcheck,
    },
    Tool {
        name: "semgrep",
        program: "semgrep",
        version: &["--version"],
        args: &[
            "scan",
            "--sarif",
            "--quiet",
            "--metrics=off",
            "--disable-version-check",
            "--config",
            ".semgrep.yml",
            ".",
        ],
        env: &[("SEMGREP_ENABLE_VERSION_CHECK", "0"), ("SEMGREP_SEND_METRICS", "off")],
        // Its registry is on the network: only rules of the project's own can be had.
        when: When::Root(&[".semgrep.yml"]),
        ends_with: &[0, 1],
        checks_types: false,
        read: sarif::read,
    },
    Tool {
        name: "golangci-lint",
        program: "golangci-lint",
        version: &["version"],
        args: &["run", "--output.sarif.path", "stdout", "--show-stats=false", "./..."],
        env: GO,
        when: When::Root(&["go.mod"]),
        ends_with: &[0, 1],
        checks_types: false,
        read: sarif::read,
    },
    Tool {
        name: "gosec",
        program: "gosec",
        version: &["--version"],
        args: &["-fmt", "sarif", "-quiet", "-no-fail", "./..."],
        env: GO,
        when: When::Root(&["go.mod"]),
        ends_with: &[0],
        checks_types: false,
        read: sarif::read,
    },
];

/// A command that writes SARIF to its standard output, whatever it is called and takes.
pub static SARIF: Tool = Tool {
    name: "",
    program: "",
    version: &["--version"],
    args: &[],
    env: &[],
    when: When::Always,
    ends_with: &[0, 1],
    checks_types: false,
    read: sarif::read,
};

/// The analyzer of this name.
pub fn tool(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

impl When {
    /// Whether a file at this path is one to look at; of those at the root, one that has to be there.
    pub fn is_about(&self, path: &str) -> bool {
        match self {
            Self::Always => true,
            Self::Extension(extensions) | Self::Listed(extensions) => {
                path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
            }
            Self::Root(names) => names.contains(&path),
        }
    }

    /// What is missing when no file is.
    pub fn wants(&self) -> String {
        match self {
            Self::Always => String::new(),
            Self::Extension(extensions) | Self::Listed(extensions) => {
                format!("there is no file with the extension {}", extensions.join(", "))
            }
            Self::Root(names) => format!("there is no {} at the root", names.join(", ")),
        }
    }
}
