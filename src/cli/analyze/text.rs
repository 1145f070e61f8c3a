//! The report for people.

use std::io::{self, Write};

use super::{Sheet, Threshold};
use crate::cli::frame::{self, Detail};
use crate::cli::paint::{Grade, count};
use crate::cli::summary;
use crate::model::{Confidence, Finding};

/// Writes every finding in the order of the code, the summary, and the verdict.
pub(super) fn write(sheet: &Sheet<'_>, to: &mut dyn Write) -> io::Result<()> {
    let report = &sheet.answer.report;
    let mut findings: Vec<&Finding> = report.findings().collect();
    findings.sort_by(|a, b| (&a.region, &a.rule).cmp(&(&b.region, &b.rule)));
    for finding in findings {
        let mut text = String::new();
        frame::write(&mut text, finding, Detail::Full, sheet.paint).map_err(io::Error::other)?;
        writeln!(to, "{text}")?;
    }
    let mut text = String::new();
    summary::write(&mut text, report, sheet.paint).map_err(io::Error::other)?;
    writeln!(to, "{text}\n{}", verdict(sheet))
}

/// The last line: whether it passes.
fn verdict(sheet: &Sheet<'_>) -> String {
    let Some(threshold) = sheet.fail_on.severity() else { return "Findings fail nothing here.".to_owned() };
    let fails = |f: &&Finding| f.severity >= threshold && f.confidence >= Confidence::Medium;
    let failing = sheet.answer.report.findings().filter(fails).count();
    let bar = match sheet.fail_on {
        Threshold::Critical => "critical".to_owned(),
        _ => format!("{} or worse", frame::severity(threshold)),
    };
    if failing == 0 {
        return format!("{} no finding is {bar}.", sheet.paint.graded(Grade::Good, "Passes:"));
    }
    let (found, verb) = (count(failing, "finding"), if failing == 1 { "is" } else { "are" });
    format!("{} {found} {verb} {bar}.", sheet.paint.graded(Grade::Bad, "Fails:"))
}
