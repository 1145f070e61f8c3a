//! The report for people.

use std::io::{self, Write};

use super::{Sheet, Threshold};
use crate::analysis::Comparison;
use crate::cli::frame::{self, Detail};
use crate::cli::paint::{Grade, Paint, count, grouped};
use crate::cli::summary;

/// Writes every finding in the order of the code, the summary, and the verdict.
pub(super) fn write(sheet: &Sheet<'_>, paint: Paint, to: &mut dyn Write) -> io::Result<()> {
    let mut findings = sheet.findings();
    findings.sort_by(|a, b| (&a.region, &a.rule).cmp(&(&b.region, &b.rule)));
    for finding in findings {
        let mut text = String::new();
        frame::write(&mut text, finding, Detail::Full, paint).map_err(io::Error::other)?;
        writeln!(to, "{text}")?;
    }
    let mut text = String::new();
    summary::write(&mut text, &sheet.answer.report, paint).map_err(io::Error::other)?;
    writeln!(to, "{text}")?;
    if let Some(comparison) = sheet.comparison {
        writeln!(to, "{}\n", against_baseline(comparison))?;
    }
    writeln!(to, "{}", verdict(sheet, paint))
}

/// `Against the baseline: 1 new, 4 unchanged, 0 moved, 2 fixed; score +0.5.`
fn against_baseline(comparison: &Comparison) -> String {
    let Comparison { new, unchanged, moved, fixed, score_change, .. } = comparison;
    let counts =
        [(new.len(), "new"), (unchanged.len(), "unchanged"), (moved.len(), "moved"), (fixed.len(), "fixed")];
    let counts: Vec<String> =
        counts.iter().map(|(count, word)| format!("{} {word}", grouped(*count))).collect();
    let score = score_change.map(|change| format!("; score {change:+.1}")).unwrap_or_default();
    format!("Against the baseline: {}{score}.", counts.join(", "))
}

/// The last line: whether it passes.
fn verdict(sheet: &Sheet<'_>, paint: Paint) -> String {
    let Some(threshold) = sheet.fail_on.severity() else { return "Findings fail nothing here.".to_owned() };
    let bar = match sheet.fail_on {
        Threshold::Critical => "critical".to_owned(),
        _ => format!("{} or worse", frame::severity(threshold)),
    };
    let new = if sheet.comparison.is_some() { "new " } else { "" };
    let failing = sheet.failing();
    if failing == 0 {
        return format!("{} no {new}finding is {bar}.", paint.graded(Grade::Good, "Passes:"));
    }
    let (found, verb) = (count(failing, &format!("{new}finding")), if failing == 1 { "is" } else { "are" });
    format!("{} {found} {verb} {bar}.", paint.graded(Grade::Bad, "Fails:"))
}
