//! Data flow: what reaches a sink is found with its way, what cannot is not.

mod engine;
mod fixtures;
mod hostile;
mod models;

use codeyard::analysis::{Options, Report, Unwatched, analyze};
use codeyard::model::{Finding, SourceFile};

/// A file with this text.
fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), content: text.as_bytes().to_vec() }
}

/// The report on these files with the built-in rules.
fn report(files: &[SourceFile]) -> Report {
    analyze(files, Vec::new(), &Options::default(), &Unwatched).unwrap()
}

/// The findings of a rule.
fn found<'r>(report: &'r Report, rule: &str) -> Vec<&'r Finding> {
    report.findings().filter(|finding| finding.rule == rule).collect()
}
