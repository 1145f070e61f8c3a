//! The command line: one file per command, all of them in one list.

mod analyze;
mod frame;
mod meter;
mod paint;
mod runtime;
mod summary;
mod surroundings;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use surroundings::Surroundings;

/// What every command ends with that could not do what it was asked.
const ERROR: u8 = 2;

/// A self-hosted job server for code: it builds, analyses, and streams what it does.
///
/// `codeyard demo` shows all of it on your own code; `codeyard serve` is the server.
#[derive(Debug, Parser)]
#[command(name = "codeyard", version, arg_required_else_help = true)]
#[command(
    after_help = "Every setting can stand in a file (--config), in a CODEYARD_* variable, or in a flag; the \
    later wins. config/default.toml lists them all."
)]
struct CommandLine {
    /// Read settings from this TOML file [env: CODEYARD_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// When to write colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: surroundings::Color,
    #[command(subcommand)]
    command: Command,
}

/// Every command there is.
#[derive(Debug, Subcommand)]
enum Command {
    Analyze(analyze::Analyze),
    Openapi(Openapi),
}

/// Print the OpenAPI document of the HTTP interface, as JSON.
#[derive(Debug, clap::Args)]
struct Openapi;

/// Does what the command line asks; returns what the process ends with.
pub fn main(mut around: Surroundings) -> ExitCode {
    let asked = match CommandLine::try_parse_from(&around.arguments) {
        Ok(asked) => asked,
        Err(refusal) => refusal.exit(),
    };
    around.config_file = asked.config;
    around.color = asked.color;
    match asked.command.run(&around) {
        Ok(code) => code,
        Err(error) => {
            let paint = paint::Paint::new(around.paints(&std::io::stderr()));
            eprintln!("{} {error:#}", paint.graded(paint::Grade::Bad, "error:"));
            ExitCode::from(ERROR)
        }
    }
}

impl Command {
    fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        match self {
            Self::Analyze(command) => command.run(around),
            Self::Openapi(_) => print_openapi(),
        }
    }
}

fn print_openapi() -> anyhow::Result<ExitCode> {
    println!("{}", crate::http::document().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}
