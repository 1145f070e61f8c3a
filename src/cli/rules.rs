//! `codeyard rules`: the catalogue of rules.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::say;
use crate::export::{CATALOGUE_FORMATS, CatalogueFormat, catalogue};

/// Write the catalogue of rules: what each finds, why that matters, what to do instead
///
/// The HTML page is one file that can be searched without a network; a running server has it at /rules. One rule in
/// the terminal: codeyard analyze --explain RULE.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Rules {
    /// How it is written.
    #[arg(long, short, default_value = "markdown", value_parser = format_parser())]
    format: &'static CatalogueFormat,
    /// Write it into this file instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Rules {
    /// Writes it.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let text = (self.format.write)(catalogue())?;
        match &self.output {
            Some(file) => {
                std::fs::write(file, text).with_context(|| format!("--output {}", file.display()))?;
            }
            None => say(String::from_utf8(text)?.trim_end())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("format", &self.format.name).field("output", &self.output).finish()
    }
}

fn format_parser() -> impl TypedValueParser<Value = &'static CatalogueFormat> {
    PossibleValuesParser::new(CATALOGUE_FORMATS.iter().map(|format| format.name))
        .try_map(|name| CATALOGUE_FORMATS.iter().find(|format| format.name == name).ok_or("no such format"))
}
