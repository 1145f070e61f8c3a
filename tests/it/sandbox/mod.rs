//! Tests of `sandbox`: every one at every level that this machine has.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod attacks;
mod limits;
mod runs;
mod trees;

use codeyard::sandbox::{Command, Error, Finished, Level, Sandbox, Settings};
use tokio_util::sync::CancellationToken;

/// A sandbox of that level, around our own binary.
pub(crate) fn at(level: Level) -> Sandbox {
    Sandbox::untested(&settings(), level).unwrap()
}

fn settings() -> Settings {
    Settings::new(env!("CARGO_BIN_EXE_codeyard"))
}

/// The levels to test. Only at home may bubblewrap be missing.
pub(crate) fn levels() -> Vec<Level> {
    let installed =
        ["/usr/bin/bwrap", "/usr/local/bin/bwrap"].iter().any(|path| std::fs::exists(path).unwrap());
    if installed || std::env::var_os("CI").is_some() {
        return vec![Level::Bubblewrap, Level::Landlock, Level::ProcessOnly];
    }
    eprintln!("bubblewrap is not installed: its level is not tested");
    vec![Level::Landlock, Level::ProcessOnly]
}

/// A shell script as a command.
fn script(text: &str, folder: &std::path::Path) -> Command {
    Command::new("sh", folder).args(["-c", text])
}

async fn run(sandbox: &Sandbox, command: &Command) -> Result<Finished, Error> {
    sandbox.run(command, &CancellationToken::new()).await
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
