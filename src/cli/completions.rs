//! `codeyard completions`: what shells need to complete commands and flags.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::say;

/// Print the completion script for a shell
///
/// For bash: codeyard completions bash > /etc/bash_completion.d/codeyard
/// For zsh:  codeyard completions zsh > "${fpath[1]}/_codeyard"
/// For fish: codeyard completions fish > ~/.config/fish/completions/codeyard.fish
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    /// Prints the script for `program`.
    pub(super) fn run(&self, mut program: Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        generate(self.shell, &mut program, "codeyard", &mut script);
        say(String::from_utf8_lossy(&script).trim_end())?;
        Ok(ExitCode::SUCCESS)
    }
}
