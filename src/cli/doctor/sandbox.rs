//! The sandbox: how strong it is here, and the programs it runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Check;
use crate::config::{Config, SandboxLevel};
use crate::kinds::sandbox_settings;
use crate::sandbox::{Level, Sandbox, Settings};

const NAME: &str = "sandbox";

/// The level in force with what keeps the stronger ones away, and the programs.
pub(super) async fn examine(config: &Config) -> Vec<Check> {
    let settings = match sandbox_settings(config) {
        Ok(settings) => settings,
        Err(error) => return vec![broken(&error)],
    };
    let sandbox = match Sandbox::detect(&settings).await {
        Ok(sandbox) => level(&sandbox, config.sandbox.level),
        Err(error) => broken(&error),
    };
    vec![sandbox, bubblewrap(&settings, config.sandbox.level), git(&settings)]
}

fn level(sandbox: &Sandbox, wanted: SandboxLevel) -> Check {
    let detail = match sandbox.level() {
        Level::Bubblewrap => "bubblewrap holds against every attack of the self-test",
        Level::Landlock => "Landlock holds against every attack of the self-test",
        Level::ProcessOnly => "commands run as plain processes: do not run code that you do not trust",
    };
    let failed: Vec<String> = sandbox
        .report()
        .tiers
        .iter()
        .filter(|tier| tier.level > sandbox.level() || !tier.holds)
        .flat_map(|tier| tier.checks.iter().filter(|check| !check.held).map(move |check| (tier.level, check)))
        .map(|(level, check)| format!("{} fails {}: {}", word(level), check.name, check.detail))
        .collect();
    let asked_for = matches!(
        (wanted, sandbox.level()),
        (_, Level::Bubblewrap) | (SandboxLevel::Landlock, Level::Landlock)
    );
    if asked_for && failed.is_empty() {
        return Check::ok(NAME, detail);
    }
    let advice = match sandbox.level() {
        Level::ProcessOnly if wanted == SandboxLevel::Process => "set sandbox.level to \"auto\"",
        _ => {
            "allow user namespaces for bubblewrap (in Docker: --security-opt seccomp=unconfined, or a profile \
              that allows unshare and mount)"
        }
    };
    let lines: Vec<String> = failed.into_iter().chain([advice.to_owned()]).collect();
    Check::warning(NAME, detail, lines.join("\n"))
}

fn broken(error: &crate::sandbox::Error) -> Check {
    Check::problem(
        NAME,
        format!("no command can be run: {error}"),
        "make sandbox.scratch_dir (or /tmp) writable for the server's user",
    )
}

fn bubblewrap(settings: &Settings, wanted: SandboxLevel) -> Check {
    const NAME: &str = "bubblewrap";
    match version("bwrap", settings) {
        Some(version) => Check::ok(NAME, version),
        None if matches!(wanted, SandboxLevel::Landlock | SandboxLevel::Process) => {
            Check::ok(NAME, "not installed, and not asked for by sandbox.level")
        }
        None => {
            Check::warning(NAME, "not installed", "install the package bubblewrap for the strongest sandbox")
        }
    }
}

fn git(settings: &Settings) -> Check {
    const NAME: &str = "git";
    match version("git", settings) {
        Some(version) => Check::ok(NAME, version),
        None => Check::warning(NAME, "not installed", "install git, or repositories cannot be analysed"),
    }
}

/// What a program calls itself, if it is where commands are looked for.
fn version(program: &str, settings: &Settings) -> Option<String> {
    let path = settings.search_path.split(':').map(|dir| Path::new(dir).join(program));
    let path: PathBuf = path.into_iter().find(|path| path.is_file())?;
    let said = Command::new(&path).arg("--version").env_clear().output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().to_owned();
    Some(format!("{said} ({})", path.display()))
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Bubblewrap => "bubblewrap",
        Level::Landlock => "Landlock",
        Level::ProcessOnly => "a plain process",
    }
}
