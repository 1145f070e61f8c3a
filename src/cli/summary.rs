//! A report on one screen: score, languages, findings, what to do first, what was left out.

use std::fmt::{self, Write};

use super::paint::{Grade, Paint, count, grouped, harmless};
use crate::analysis::external::AnalyzerState;
use crate::analysis::{Report, Suppression};
use crate::model::Skipped;

/// Lines of each list that are shown; the rest is counted.
const LANGUAGES: usize = 8;
const RECOMMENDATIONS: usize = 5;
const SKIPPED: usize = 10;
const UNUSED: usize = 10;

/// Writes the summary.
pub(super) fn write(to: &mut impl Write, report: &Report, paint: Paint) -> fmt::Result {
    write_score(to, report, paint)?;
    write_languages(to, report, paint)?;
    write_findings(to, report, paint)?;
    write_unused(to, &report.unused_suppressions, paint)?;
    write_recommendations(to, report, paint)?;
    write_analyzers(to, report, paint)?;
    write_skipped(to, &report.skipped, paint)
}

fn write_analyzers(to: &mut impl Write, report: &Report, paint: Paint) -> fmt::Result {
    if report.analyzers.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{}", paint.bold("Other analyzers"))?;
    for analyzer in &report.analyzers {
        let name = [analyzer.name.as_str(), analyzer.version.as_deref().unwrap_or_default()].join(" ");
        let went = match analyzer.state {
            AnalyzerState::Ran => count(analyzer.findings, "finding"),
            state => format!("{}: {}", state.words(), analyzer.detail),
        };
        writeln!(to, "  {:24}{}", harmless(name.trim()), harmless(&went))?;
    }
    if report.type_checkers.is_empty() {
        writeln!(to, "  No type checker ran: that there are no type errors says nothing.")?;
    }
    Ok(())
}

fn write_score(to: &mut impl Write, report: &Report, paint: Paint) -> fmt::Result {
    let title = paint.bold("Quality score");
    let Some(total) = report.quality_score else {
        return writeln!(to, "{title}  none: there is no code that can be analysed");
    };
    let covers = format!("of 10, from {:.0} % of the code", report.score.covers * 100.0);
    writeln!(to, "{title}  {} {covers}", paint.graded(Grade::of_score(total), format!("{total:.1}")))?;
    for dimension in &report.score.dimensions {
        let (name, detail) = (&dimension.name, paint.dim(&dimension.detail));
        match dimension.score {
            Some(score) => {
                let score = paint.graded(Grade::of_score(score), format!("{score:>5.1}"));
                writeln!(to, "  {name:16}{score}  {detail}")?;
            }
            None => writeln!(to, "  {name:16}    –  {detail}")?,
        }
    }
    if let Some(cap) = &report.score.cap {
        writeln!(to, "  not above {:.1} because of {}", cap.limit, harmless(&cap.because))?;
    }
    Ok(())
}

fn write_languages(to: &mut impl Write, report: &Report, paint: Paint) -> fmt::Result {
    let mut languages: Vec<_> = report.languages.iter().collect();
    languages.sort_by_key(|language| std::cmp::Reverse(language.lines.code));
    writeln!(to, "\n{}", paint.bold("Languages"))?;
    for language in languages.iter().take(LANGUAGES) {
        let (files, code) = (count(language.files, "file"), grouped(language.lines.code));
        writeln!(to, "  {:16}{files:>14}{code:>12} lines of code", harmless(&language.language))?;
    }
    write_rest(to, languages.len(), LANGUAGES)
}

fn write_findings(to: &mut impl Write, report: &Report, paint: Paint) -> fmt::Result {
    let found = count(report.summary.findings, "finding");
    let files = count(report.summary.files_analysed, "analysed file");
    let counts: Vec<String> = report
        .summary
        .by_severity
        .iter()
        .map(|entry| {
            let text = format!("{} {}", grouped(entry.count), entry.severity.as_str());
            if entry.count == 0 { text } else { paint.severity(entry.severity, text).to_string() }
        })
        .collect();
    writeln!(to, "\n{} in {files}: {}", paint.bold(found), counts.join(", "))?;
    match report.suppressed.len() {
        0 => Ok(()),
        1 => writeln!(to, "  and 1 that is suppressed"),
        more => writeln!(to, "  and {} that are suppressed", grouped(more)),
    }
}

fn write_unused(to: &mut impl Write, unused: &[Suppression], paint: Paint) -> fmt::Result {
    if unused.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{} ({})", paint.bold("Suppressions of nothing"), grouped(unused.len()))?;
    for entry in unused.iter().take(UNUSED) {
        let place = format!("{}:{}", harmless(&entry.path), entry.line);
        writeln!(to, "  {place}  {}", paint.dim(harmless(&entry.sentence())))?;
    }
    write_rest(to, unused.len(), UNUSED)
}

fn write_recommendations(to: &mut impl Write, report: &Report, paint: Paint) -> fmt::Result {
    if report.recommendations.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{}", paint.bold("What to do first"))?;
    for (at, advice) in report.recommendations.iter().take(RECOMMENDATIONS).enumerate() {
        let gain = if advice.gain > 0.0 { format!("score +{:.1}, ", advice.gain) } else { String::new() };
        let cost = paint.dim(format!("({gain}about {} min)", advice.effort_minutes));
        writeln!(to, "  {}. {} {cost}", at + 1, harmless(&advice.title))?;
    }
    Ok(())
}

fn write_skipped(to: &mut impl Write, skipped: &[Skipped], paint: Paint) -> fmt::Result {
    if skipped.is_empty() {
        return Ok(());
    }
    writeln!(to, "\n{} ({})", paint.bold("Not analysed"), grouped(skipped.len()))?;
    for entry in skipped.iter().take(SKIPPED) {
        writeln!(to, "  {}  {}", harmless(&entry.path), paint.dim(harmless(&entry.reason)))?;
    }
    write_rest(to, skipped.len(), SKIPPED)
}

fn write_rest(to: &mut impl Write, all: usize, shown: usize) -> fmt::Result {
    match all.checked_sub(shown) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(to, "  … and {} more", grouped(more)),
    }
}
