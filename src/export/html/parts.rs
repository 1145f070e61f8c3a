//! The parts of the page, as the template shows them.

use std::collections::BTreeMap;

use askama::Template;

use super::{grouped, percent, rich, shown, tenths, word};
use crate::analysis::metrics::FunctionMetrics;
use crate::analysis::score::penalty;
use crate::analysis::{Baseline, Report, score};
use crate::model::{Finding, Origin, Region, Severity};

/// Files that "where it hurts" names, languages, and findings in a list of those that are fixed.
const WORST_FILES: usize = 8;
const LANGUAGES: usize = 5;
const FIXED: usize = 100;

/// A score in words.
pub(super) struct Grade {
    pub(super) score: String,
    pub(super) percent: String,
    pub(super) word: &'static str,
    pub(super) class: &'static str,
}

impl Grade {
    pub(super) fn of(score: Option<f64>) -> Self {
        let Some(score) = score else {
            return Self { score: "–".to_owned(), percent: "0".to_owned(), word: "Not rated", class: "" };
        };
        let (word, class) = match score {
            score if score >= 9.0 => ("Excellent", "good"),
            score if score >= 7.5 => ("Good", "good"),
            score if score >= 6.0 => ("Fair", "fair"),
            score if score >= 4.0 => ("Weak", "bad"),
            _ => ("Poor", "bad"),
        };
        Self { score: tenths(score), percent: format!("{:.1}", score * 10.0), word, class }
    }
}

/// One of the five numbers at the top.
pub(super) struct SeverityCount {
    pub(super) name: String,
    pub(super) count: String,
}

impl SeverityCount {
    pub(super) fn all(report: &Report) -> Vec<Self> {
        let count = |severity| report.findings().filter(|finding| finding.severity == severity).count();
        Severity::ALL.map(|severity| Self { name: word(severity), count: grouped(count(severity)) }).into()
    }
}

/// What became of the findings of the report before this.
pub(super) struct Trend<'a> {
    pub(super) against: String,
    pub(super) new: usize,
    pub(super) fixed: usize,
    pub(super) unchanged: usize,
    pub(super) moved: usize,
    pub(super) all: usize,
    pub(super) score: Option<String>,
    pub(super) rises: bool,
    pub(super) falls: bool,
    pub(super) parts: Vec<Part>,
    pub(super) fixed_shown: &'a [Finding],
}

/// A class, and from where and how wide, in parts of the whole strip.
pub(super) type Part = (String, String, String);

impl<'a> Trend<'a> {
    pub(super) fn of(baseline: &'a Baseline) -> Self {
        let Baseline { new, unchanged, moved, .. } = *baseline;
        let fixed = baseline.fixed.len();
        let counts = [("new", new), ("moved", moved), ("unchanged", unchanged), ("fixed", fixed)];
        Self {
            against: shown(&baseline.against),
            new,
            fixed,
            unchanged,
            moved,
            all: new + fixed + unchanged + moved,
            score: baseline.score_change.map(|change| format!("{change:+.1}")),
            rises: baseline.score_change.is_some_and(|change| change > 0.0),
            falls: baseline.score_change.is_some_and(|change| change < 0.0),
            parts: strip(counts.map(|(name, count)| (name.to_owned(), count as f64)), 1000.0),
            fixed_shown: &baseline.fixed[..fixed.min(FIXED)],
        }
    }
}

/// Lays amounts side by side in a strip of that width.
fn strip(amounts: impl IntoIterator<Item = (String, f64)>, width: f64) -> Vec<Part> {
    let amounts: Vec<(String, f64)> = amounts.into_iter().filter(|(_, amount)| *amount > 0.0).collect();
    let all: f64 = amounts.iter().map(|(_, amount)| amount).sum();
    let mut from = 0.0;
    let mut parts = Vec::new();
    for (name, amount) in amounts {
        let wide = amount / all * width;
        parts.push((name, format!("{from:.2}"), format!("{wide:.2}")));
        from += wide;
    }
    parts
}

/// A part of the score.
pub(super) struct DimensionBar {
    pub(super) name: String,
    pub(super) detail: String,
    pub(super) score: String,
    pub(super) weight: String,
    pub(super) percent: String,
    pub(super) class: &'static str,
}

impl DimensionBar {
    pub(super) fn of(dimension: &score::Dimension) -> Self {
        let grade = Grade::of(dimension.score);
        Self {
            name: shown(&dimension.name),
            detail: shown(&dimension.detail),
            score: grade.score,
            weight: format!("{:.0}", dimension.weight),
            percent: grade.percent,
            class: grade.class,
        }
    }
}

/// A file with many or bad findings.
pub(super) struct FileBar {
    pub(super) path: String,
    pub(super) count: usize,
    pub(super) parts: Vec<Part>,
}

impl FileBar {
    /// The files whose findings weigh most, as the score weighs them.
    pub(super) fn worst(findings: &[&Finding]) -> Vec<Self> {
        let mut files = BTreeMap::<&str, Vec<&Finding>>::new();
        for finding in findings {
            files.entry(&finding.region.path).or_default().push(finding);
        }
        let weight = |findings: &[&Finding]| findings.iter().map(|finding| penalty(finding)).sum::<f64>();
        let mut files: Vec<_> =
            files.into_iter().map(|(path, findings)| (weight(&findings), path, findings)).collect();
        files.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        files.truncate(WORST_FILES);
        let heaviest = files.first().map_or(1.0, |(weight, ..)| *weight);
        let bar = |(all, path, findings): (f64, &str, Vec<&Finding>)| {
            let of = |severity| {
                let these = findings.iter().filter(|finding| finding.severity == severity);
                (word(severity), these.map(|finding| penalty(finding)).sum::<f64>())
            };
            let parts = strip(Severity::ALL.map(of), 100.0 * all / heaviest);
            Self { path: shown(path), count: findings.len(), parts }
        };
        files.into_iter().map(bar).collect()
    }
}

/// A language's share of the code.
pub(super) struct LanguageBar {
    pub(super) name: String,
    pub(super) lines: String,
    pub(super) from: String,
    pub(super) width: String,
}

impl LanguageBar {
    /// Those with the most code; the rest together.
    pub(super) fn all(report: &Report) -> Vec<Self> {
        let mut amounts: Vec<(String, usize)> = report
            .languages
            .iter()
            .filter(|language| language.lines.code > 0)
            .map(|language| (shown(&language.language), language.lines.code))
            .collect();
        if amounts.len() > LANGUAGES + 1 {
            let rest = amounts.split_off(LANGUAGES).into_iter().map(|(_, lines)| lines).sum();
            amounts.push(("others".to_owned(), rest));
        }
        let parts = strip(amounts.iter().map(|(name, lines)| (name.clone(), *lines as f64)), 1000.0);
        let bar = |((name, from, width), (_, lines)): (Part, (String, usize))| Self {
            name,
            lines: grouped(lines),
            from,
            width,
        };
        parts.into_iter().zip(amounts).map(bar).collect()
    }
}

/// A finding.
pub(super) struct Entry<'a> {
    pub(super) finding: &'a Finding,
    pub(super) severity: String,
    pub(super) category: String,
    pub(super) confidence: String,
    pub(super) state: String,
    pub(super) rule: String,
    pub(super) path: String,
    pub(super) origin: String,
    pub(super) frame: Frame,
    pub(super) flow: Vec<Step>,
}

/// A step of the data's way; its message is markup.
pub(super) struct Step {
    pub(super) message: String,
    pub(super) place: String,
    pub(super) frame: Frame,
}

impl<'a> Entry<'a> {
    pub(super) fn of(finding: &'a Finding) -> Self {
        let step = |step: &crate::model::FlowStep| Step {
            message: rich(&step.message),
            place: format!("{}:{}", shown(&step.region.path), step.region.line),
            frame: Frame::of(&step.region),
        };
        Self {
            finding,
            severity: word(finding.severity),
            category: word(finding.category),
            confidence: word(finding.confidence),
            state: finding.state.map(word).unwrap_or_default(),
            rule: shown(&finding.rule),
            path: shown(&finding.region.path),
            origin: match &finding.origin {
                Origin::Builtin => "built-in rule".to_owned(),
                Origin::Custom => "custom rule".to_owned(),
                Origin::External { tool } => format!("found by {}", shown(tool)),
                Origin::Model { name } => format!("suggested by {}", shown(name)),
            },
            frame: Frame::of(&finding.region),
            flow: finding.flow.iter().map(step).collect(),
        }
    }
}

/// Lines of code with their numbers; what is meant is marked.
#[derive(Template)]
#[template(path = "html/frame.html")]
pub(super) struct Frame {
    lines: Vec<FrameLine>,
    more: usize,
}

struct FrameLine {
    number: usize,
    before: String,
    marked: String,
    after: String,
}

impl Frame {
    fn of(region: &Region) -> Self {
        let lines: Vec<FrameLine> = region
            .snippet
            .lines()
            .enumerate()
            .map(|(at, line)| {
                let number = region.line + at;
                let length = line.chars().count();
                let from = if at == 0 { region.column.saturating_sub(1).min(length) } else { indent(line) };
                let to = if number == region.end_line { region.end_column.saturating_sub(1) } else { length };
                let part = |from: usize, to: usize| {
                    shown(line.chars().skip(from).take(to.saturating_sub(from)).collect::<String>())
                };
                let to = to.clamp(from, length);
                FrameLine { number, before: part(0, from), marked: part(from, to), after: part(to, length) }
            })
            .collect();
        let more = (region.end_line + 1).saturating_sub(region.line + lines.len().max(1));
        Self { lines, more }
    }
}

fn indent(line: &str) -> usize {
    line.chars().take_while(|letter| letter.is_whitespace()).count()
}

/// A file in the table.
pub(super) struct FileRow {
    pub(super) path: String,
    pub(super) language: String,
    pub(super) code: String,
    pub(super) functions: usize,
    pub(super) cyclomatic: usize,
    pub(super) cognitive: usize,
    pub(super) maintainability: String,
    pub(super) coverage: String,
    pub(super) findings: usize,
}

impl FileRow {
    /// All of them, those with the most findings and then the most code first.
    pub(super) fn all(report: &Report) -> Vec<Self> {
        let mut counts = BTreeMap::<&str, usize>::new();
        for finding in report.findings() {
            *counts.entry(&finding.region.path).or_default() += 1;
        }
        let covered: BTreeMap<&str, f64> = report
            .coverage
            .iter()
            .flat_map(|coverage| &coverage.files)
            .map(|f| (f.path.as_str(), f.share))
            .collect();
        let count = |path: &str| counts.get(path).copied().unwrap_or(0);
        let mut files: Vec<_> = report.metrics.files.iter().collect();
        files.sort_by_key(|file| std::cmp::Reverse((count(&file.path), file.lines.code)));
        let row = |file: &crate::analysis::metrics::FileMetrics| Self {
            path: shown(&file.path),
            language: shown(&file.language),
            code: grouped(file.lines.code),
            functions: file.functions.len(),
            cyclomatic: file.cyclomatic,
            cognitive: file.cognitive,
            maintainability: file.maintainability_index.map_or("–".to_owned(), tenths),
            coverage: covered.get(file.path.as_str()).map_or("–".to_owned(), |share| percent(*share)),
            findings: count(&file.path),
        };
        files.into_iter().map(row).collect()
    }
}

/// A function in the table.
pub(super) struct FunctionRow<'a> {
    pub(super) name: String,
    pub(super) place: String,
    pub(super) metrics: &'a FunctionMetrics,
}

impl<'a> FunctionRow<'a> {
    /// The most complex ones; simple ones are not listed.
    pub(super) fn hardest(report: &'a Report, most: usize) -> Vec<Self> {
        let files = report.metrics.files.iter();
        let mut functions: Vec<_> = files
            .flat_map(|file| file.functions.iter().map(move |function| (file, function)))
            .filter(|(_, function)| function.cognitive > 0)
            .collect();
        functions.sort_by_key(|(_, function)| std::cmp::Reverse(function.cognitive));
        let row = |(file, metrics): (&crate::analysis::metrics::FileMetrics, &'a FunctionMetrics)| Self {
            name: shown(&metrics.name),
            place: format!("{}:{}", shown(&file.path), metrics.line),
            metrics,
        };
        functions.into_iter().take(most).map(row).collect()
    }
}
