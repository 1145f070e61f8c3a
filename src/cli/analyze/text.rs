//! The report for people.

use std::io::{self, Write};

use super::look::Looked;
use crate::analysis::{Baseline, GateVerdict};
use crate::cli::frame::{self, Detail};
use crate::cli::paint::{Grade, Paint, count, grouped, harmless};
use crate::cli::summary;
use crate::model::Finding;

/// Writes every finding (the new ones only, against a baseline) in the order of the code, the summary, and the verdict.
pub(super) fn write(looked: &Looked, paint: Paint, to: &mut dyn Write) -> io::Result<()> {
    let report = &looked.answer.report;
    let mut findings: Vec<&Finding> = report.findings().filter(|finding| finding.is_new()).collect();
    findings.sort_by(|a, b| (&a.region, &a.rule).cmp(&(&b.region, &b.rule)));
    for finding in findings {
        let mut text = String::new();
        frame::write(&mut text, finding, Detail::Full, paint).map_err(io::Error::other)?;
        writeln!(to, "{text}")?;
    }
    let mut text = String::new();
    summary::write(&mut text, report, paint).map_err(io::Error::other)?;
    writeln!(to, "{text}")?;
    if let Some(baseline) = &report.baseline {
        writeln!(to, "{}\n", against(baseline))?;
    }
    if let Some(elsewhere) = looked.elsewhere {
        writeln!(to, "Left out: {} on lines that have not changed.\n", count(elsewhere, "finding"))?;
    }
    if let Some(gate) = &report.gate {
        write_gate(gate, paint, to)?;
    }
    Ok(())
}

/// `Against commit 1a2b3c: 1 new, 4 unchanged, 0 moved, 2 fixed; score +0.5.`
fn against(baseline: &Baseline) -> String {
    let Baseline { against, new, unchanged, moved, fixed, score_change, .. } = baseline;
    let counts = [(*new, "new"), (*unchanged, "unchanged"), (*moved, "moved"), (fixed.len(), "fixed")];
    let counts = counts.map(|(count, word)| format!("{} {word}", grouped(count)));
    let score = score_change.map(|change| format!("; score {change:+.1}")).unwrap_or_default();
    format!("Against {}: {}{score}.", harmless(against), counts.join(", "))
}

/// Each condition, if there are several, and the last line: whether it passes.
fn write_gate(gate: &GateVerdict, paint: Paint, to: &mut dyn Write) -> io::Result<()> {
    if gate.conditions.len() > 1 {
        writeln!(to, "{}", paint.bold("Quality gate"))?;
        for condition in &gate.conditions {
            let (grade, mark) = if condition.passed { (Grade::Good, '✓') } else { (Grade::Bad, '✗') };
            let wanted =
                if condition.passed { String::new() } else { format!("; wanted: {}", condition.wanted) };
            writeln!(to, "  {} {}{}", paint.graded(grade, mark), condition.found, paint.dim(wanted))?;
        }
        writeln!(to)?;
    }
    match (gate.conditions.is_empty(), gate.passed) {
        (true, _) => writeln!(to, "Findings fail nothing here."),
        (_, true) => writeln!(to, "{} {}.", paint.graded(Grade::Good, "Passes:"), gate.because()),
        (_, false) => writeln!(to, "{} {}.", paint.graded(Grade::Bad, "Fails:"), gate.because()),
    }
}
