//! The command line: one file per command, all of them in one list.

mod accounts;
mod analyze;
mod build;
mod completions;
mod demo;
mod doctor;
mod frame;
mod meter;
mod migrate;
mod pack;
mod paint;
mod rules;
mod runtime;
mod serve;
mod server;
mod summary;
mod surroundings;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use surroundings::Surroundings;

/// What every command ends with that could not do what it was asked.
const ERROR: u8 = 2;

/// A self-hosted job server for code: it builds, analyses, and streams what it does.
///
/// `codeyard demo` shows all of it on your own code; `codeyard serve` is the server.
#[derive(Debug, Parser)]
#[command(name = "codeyard", version, arg_required_else_help = true)]
#[command(
    after_help = "Every setting can stand in a file (--config), in a CODEYARD_* variable, or, some of them, in \
    a flag; the later wins. config/default.toml lists them all. A command that cannot do its work ends with 2."
)]
struct CommandLine {
    /// Read settings from this TOML file [env: CODEYARD_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// When to write colours: auto (on a terminal, unless NO_COLOR is set), always or never.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    color: surroundings::Color,
    #[command(subcommand)]
    command: Command,
}

/// Every command there is.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Build(build::BuildCommand),
    Analyze(analyze::Analyze),
    Rules(rules::Rules),
    Doctor(doctor::Doctor),
    Migrate(migrate::Migrate),
    User(accounts::User),
    Token(accounts::Token),
    Openapi(Openapi),
    Completions(completions::Completions),
}

/// Print the OpenAPI document of the HTTP interface, as JSON.
///
/// Needs neither a configuration nor a database; a running server has it at /api/openapi.json.
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
    crate::observe::use_ring();
    match asked.command.run(&around) {
        Ok(code) => code,
        Err(error) => {
            let paint = paint::Paint::new(around.paints(&io::stderr()));
            eprintln!("{} {error:#}", paint.graded(paint::Grade::Bad, "error:"));
            ExitCode::from(ERROR)
        }
    }
}

impl Command {
    fn run(self, around: &Surroundings) -> anyhow::Result<ExitCode> {
        match self {
            Self::Serve(command) => command.run(around),
            Self::Demo(command) => command.run(around),
            Self::Build(command) => command.run(around),
            Self::Analyze(command) => command.run(around),
            Self::Rules(command) => command.run(),
            Self::Doctor(command) => command.run(around),
            Self::Migrate(command) => command.run(around),
            Self::User(command) => command.run(around),
            Self::Token(command) => command.run(around),
            Self::Openapi(Openapi) => print_openapi(),
            Self::Completions(command) => command.run(CommandLine::command()),
        }
    }
}

fn print_openapi() -> anyhow::Result<ExitCode> {
    say(&crate::http::document().to_pretty_json()?)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a line (or several) on standard output. That nobody reads it any more is no error.
fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
