//! The rules against their fixtures, and the engine around them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod catalogue;
mod comparing;
mod copies;
mod covering;
mod engine;
mod exporting;
mod external;
mod fixtures;
mod measures;
mod mending;
mod packages;
mod projects;
mod remembering;
mod scoring;
mod secrets;
mod suppressing;

use codeyard::analysis::{Options, Report, Unwatched, analyze};
use codeyard::model::SourceFile;

/// A file with this text.
fn file(path: &str, text: impl AsRef<[u8]>) -> SourceFile {
    SourceFile { path: path.to_owned(), content: text.as_ref().to_vec() }
}

/// The report on these files with the built-in rules.
fn report(files: &[SourceFile]) -> Report {
    analyze(files, Vec::new(), &Options::default(), &Unwatched).unwrap()
}
