//! A summary to read: score, findings, files, duplicates.

use std::fmt::Write as _;

use super::{Document, Error, word};
use crate::analysis::{Baseline, Report};
use crate::model::{Finding, FindingState, Severity};

/// Rows of a table; more would not be read.
const MOST_ROWS: usize = 50;

/// Writes the report as Markdown with tables and a chart.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    let report = document.report;
    let mut text = String::from("# Code quality report\n\n");
    score(report, &mut text);
    gate(report, &mut text);
    baseline(report, &mut text);
    chart(report, &mut text);
    recommendations(report, &mut text);
    findings(report, &mut text);
    unused(report, &mut text);
    functions(report, &mut text);
    analyzers(report, &mut text);
    skipped(report, &mut text);
    Ok(text.into_bytes())
}

// Writing to a string cannot fail: the results of `write!` below are dropped for that reason.

fn score(report: &Report, text: &mut String) {
    let (score, summary) = (&report.score, &report.summary);
    let total = score.total.map_or("not rated".to_owned(), |total| format!("{total:.1} of 10"));
    let _ = writeln!(text, "**Score: {total}**, from {:.1} % of the code.\n", score.covers * 100.0);
    let _ = writeln!(
        text,
        "{} findings in {} files and {} lines of code.\n",
        summary.findings, summary.files_analysed, summary.code_lines
    );
    text.push_str("| dimension | score | weight | from |\n|---|--:|--:|---|\n");
    for dimension in &score.dimensions {
        let value = dimension.score.map_or("–".to_owned(), |score| format!("{score:.1}"));
        let _ = writeln!(
            text,
            "| {} | {value} | {} | {} |",
            dimension.name,
            dimension.weight,
            cell(&dimension.detail)
        );
    }
    if let Some(cap) = &score.cap {
        let _ = writeln!(text, "\nThe total is not above {} because of {}.", cap.limit, cell(&cap.because));
    }
    text.push('\n');
}

fn gate(report: &Report, text: &mut String) {
    let Some(gate) = &report.gate else { return };
    let verdict = if gate.passed { "passed" } else { "failed" };
    let _ = writeln!(text, "## Quality gate: {verdict}\n");
    for condition in &gate.conditions {
        let mark = if condition.passed { 'x' } else { ' ' };
        let _ = writeln!(text, "- [{mark}] {} (wanted: {})", cell(&condition.found), cell(&condition.wanted));
    }
    text.push('\n');
}

fn baseline(report: &Report, text: &mut String) {
    let Some(Baseline { against, new, unchanged, moved, fixed, .. }) = &report.baseline else { return };
    let (against, fixed) = (cell(against), fixed.len());
    let _ = writeln!(
        text,
        "Compared with {against}: **{new} new**, {unchanged} unchanged, {moved} moved, {fixed} fixed.\n"
    );
}

fn chart(report: &Report, text: &mut String) {
    if report.summary.findings == 0 {
        return;
    }
    text.push_str("```mermaid\npie title Findings by severity\n");
    for entry in report.summary.by_severity.iter().filter(|entry| entry.count > 0) {
        let _ = writeln!(text, "    \"{}\" : {}", word(entry.severity), entry.count);
    }
    text.push_str("```\n\n");
}

fn recommendations(report: &Report, text: &mut String) {
    if report.recommendations.is_empty() {
        return;
    }
    text.push_str("## What to do first\n\n");
    for recommendation in report.recommendations.iter().take(10) {
        let _ = writeln!(text, "1. **{}** {}", cell(&recommendation.title), cell(&recommendation.detail));
    }
    text.push('\n');
}

fn findings(report: &Report, text: &mut String) {
    let mut findings: Vec<&Finding> = report.findings().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    for severity in Severity::ALL {
        let these: Vec<_> = findings.iter().filter(|finding| finding.severity == severity).collect();
        if these.is_empty() {
            continue;
        }
        let _ = writeln!(text, "## {} ({})\n", capitalized(&word(severity)), these.len());
        text.push_str("| place | rule | finding |\n|---|---|---|\n");
        for finding in these.iter().take(MOST_ROWS) {
            let place = format!("{}:{}", finding.region.path, finding.region.line);
            let new = if finding.state == Some(FindingState::New) { "**new** " } else { "" };
            let _ = writeln!(
                text,
                "| `{}` | {} | {new}{} |",
                code(&place),
                cell(&finding.rule),
                cell(&finding.message)
            );
        }
        if these.len() > MOST_ROWS {
            let _ = writeln!(text, "\n… and {} more.", these.len() - MOST_ROWS);
        }
        text.push('\n');
    }
}

fn unused(report: &Report, text: &mut String) {
    if report.unused_suppressions.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Suppressions of nothing ({})\n", report.unused_suppressions.len());
    for entry in report.unused_suppressions.iter().take(MOST_ROWS) {
        let place = format!("{}:{}", entry.path, entry.line);
        let _ = writeln!(text, "- `{}`: {}", code(&place), cell(&entry.sentence()));
    }
    text.push('\n');
}

fn functions(report: &Report, text: &mut String) {
    let mut functions: Vec<_> =
        report.metrics.files.iter().flat_map(|file| file.functions.iter().map(move |f| (file, f))).collect();
    functions.sort_by_key(|(_, function)| std::cmp::Reverse(function.cognitive));
    functions.truncate(10);
    functions.retain(|(_, function)| function.cognitive > 0);
    if functions.is_empty() {
        return;
    }
    text.push_str("## The functions that are hardest to understand\n\n");
    text.push_str("| function | place | cognitive | cyclomatic | lines |\n|---|---|--:|--:|--:|\n");
    for (file, function) in functions {
        let _ = writeln!(
            text,
            "| `{}` | `{}:{}` | {} | {} | {} |",
            code(&function.name),
            code(&file.path),
            function.line,
            function.cognitive,
            function.cyclomatic,
            function.code_lines
        );
    }
    text.push('\n');
}

fn analyzers(report: &Report, text: &mut String) {
    if report.analyzers.is_empty() {
        return;
    }
    text.push_str(
        "## Other analyzers\n\n| analyzer | version | how it went | findings |\n|---|---|---|--:|\n",
    );
    for analyzer in &report.analyzers {
        let went = [analyzer.state.words(), &analyzer.detail].join(" ");
        let version = analyzer.version.as_deref().unwrap_or("–");
        let (name, version, went) = (cell(&analyzer.name), cell(version), cell(went.trim()));
        let _ = writeln!(text, "| {name} | {version} | {went} | {} |", analyzer.findings);
    }
    if report.type_checkers.is_empty() {
        text.push_str("\nNo type checker ran: that there are no type errors here says nothing.\n");
    }
    text.push('\n');
}

fn skipped(report: &Report, text: &mut String) {
    if report.skipped.is_empty() {
        return;
    }
    let _ = writeln!(text, "## Not analysed ({})\n", report.skipped.len());
    for skipped in report.skipped.iter().take(MOST_ROWS) {
        let _ = writeln!(text, "- `{}`: {}", code(&skipped.path), cell(&skipped.reason));
    }
    if report.skipped.len() > MOST_ROWS {
        let _ = writeln!(text, "- … and {} more", report.skipped.len() - MOST_ROWS);
    }
}

/// Text that stays within its cell and brings no markup of its own.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}

/// Text between backticks.
fn code(text: &str) -> String {
    text.replace('`', "'").replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
