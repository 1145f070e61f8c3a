//! Runs the examples of the documents as a reader would: one after the other, in one session per language.
//!
//! An example is a fenced block whose info string ends with ` run`; the block `text prints` that follows it holds what
//! it prints, where `…` stands for anything.

use std::path::Path;
use std::process::Command;

use super::{Server, read};

/// Where the documents say that the server is.
const DOCUMENTED: &str = "127.0.0.1:8080";

/// A way to run examples.
struct Language {
    /// As the fences name it.
    name: &'static str,
    file: &'static str,
    /// The program and its arguments before the file.
    runs: &'static [&'static str],
    opening: &'static str,
    /// Writes a line by itself; `{}` is the line.
    says: &'static str,
}

const SHELL: Language = Language {
    name: "bash",
    file: "examples.sh",
    runs: &["bash"],
    opening: "set -euo pipefail\n",
    says: "printf '\\n%s\\n' '{}'",
};
const PYTHON: Language = Language {
    name: "python",
    file: "examples.py",
    runs: &["python3", "-u"],
    opening: "",
    says: "print('\\n{}')",
};
const JAVASCRIPT: Language = Language {
    name: "javascript",
    file: "examples.mjs",
    runs: &["node", "--no-warnings", "--experimental-websocket"],
    opening: "",
    says: "console.log('\\n{}');",
};

/// One example, and what it prints.
#[derive(Debug, PartialEq)]
struct Example {
    line: usize,
    code: String,
    prints: Option<String>,
}

#[test]
fn the_shell_examples_of_the_api_run() {
    check("API_DOCUMENTATION.md", &SHELL);
}

#[test]
fn the_python_examples_of_the_api_run() {
    check("API_DOCUMENTATION.md", &PYTHON);
}

#[test]
fn the_javascript_examples_of_the_api_run() {
    check("API_DOCUMENTATION.md", &JAVASCRIPT);
}

#[test]
fn the_shell_examples_of_the_readme_run() {
    check("README.md", &SHELL);
}

/// Runs all examples of a document in one language against a fresh server.
fn check(document: &str, language: &Language) {
    let examples = examples_of(&read(document), language.name);
    assert!(!examples.is_empty(), "{document} has no examples in {}", language.name);
    if !is_there(&["curl", "jq", "python3", language.runs[0]]) || !understands_its_flags(language) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let printed = run(language, &examples, &server, dir.path());
    let mut wrong = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        let Some(printed) = printed.get(number) else {
            wrong.push(format!("{document}:{}: did not run", example.line));
            continue;
        };
        if let Some(expected) = &example.prints
            && !matches(printed, expected)
        {
            wrong.push(format!(
                "{document}:{}: prints\n{printed}\nbut is said to print\n{expected}",
                example.line
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    server.stop();
}

/// What each of them printed.
fn run(language: &Language, examples: &[Example], server: &Server, dir: &Path) -> Vec<String> {
    const MARK: &str = "@@ example";
    let mut script = language.opening.to_owned();
    for example in examples {
        script.push_str(&language.says.replace("{}", MARK));
        script.push('\n');
        script.push_str(&example.code.replace(DOCUMENTED, &server.address));
        script.push('\n');
    }
    let file = dir.join(language.file);
    std::fs::write(&file, script).unwrap();
    let mut command = Command::new(language.runs[0]);
    command.args(&language.runs[1..]).arg(&file).current_dir(dir);
    command.env("ADMIN_PASSWORD", &server.admin_password).env_remove("http_proxy").env("NO_PROXY", "*");
    let ended = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let stdout = stdout.replace(&server.address, DOCUMENTED);
    assert!(
        ended.status.success(),
        "the {} examples end with {}:\n{stdout}\n{stderr}",
        language.name,
        ended.status
    );
    stdout.split(MARK).skip(1).map(|part| part.trim().to_owned()).collect()
}

/// The examples of a document in a language, in order.
fn examples_of(text: &str, language: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut follows_ours = false;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        let body = body.join("\n");
        let ours = info == format!("{language} run");
        match examples.last_mut() {
            _ if ours => examples.push(Example { line: number + 1, code: body, prints: None }),
            Some(example) if follows_ours && info == "text prints" => example.prints = Some(body),
            _ => {}
        }
        follows_ours = ours;
    }
    examples
}

/// Whether a text is as expected, where `…` stands for anything.
fn matches(text: &str, expected: &str) -> bool {
    let parts: Vec<&str> = expected.trim().split('…').collect();
    let (first, last) = (parts[0], parts[parts.len() - 1]);
    if parts.len() == 1 {
        return text == first;
    }
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in &parts[1..parts.len() - 1] {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Whether these programs are installed; in CI they must be.
fn is_there(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    missing.is_none()
}

/// Older Node.js has no WebSocket at all, and older distributions have no newer Node.js.
fn understands_its_flags(language: &Language) -> bool {
    let probe = Command::new(language.runs[0]).args(&language.runs[1..]).arg("--version").output();
    let fine = probe.is_ok_and(|probe| probe.status.success());
    if !fine {
        eprintln!("skipped: this {} is too old", language.runs[0]);
    }
    fine
}

#[test]
fn examples_are_found_with_what_they_print() {
    let text = "```bash run\nls\n```\n```text prints\na\nb\n```\n```bash\nrm\n```\n```text prints\nno\n```\n```bash run\nx\n```\n";
    let found = examples_of(text, "bash");
    let shown: Vec<_> =
        found.iter().map(|example| (example.code.as_str(), example.prints.as_deref())).collect();
    assert_eq!(shown, [("ls", Some("a\nb")), ("x", None)]);
    assert!(matches("id 7, ok", "id …, ok") && matches("same", "same"));
    assert!(!matches("id 7, bad", "id …, ok") && !matches("same!", "same"));
}
