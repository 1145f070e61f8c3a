//! What stands on the page.

use std::collections::BTreeMap;

use askama::Template;

use super::parts::{
    DimensionBar, Entry, FileBar, FileRow, FunctionRow, Grade, LanguageBar, SeverityCount, Trend,
};
use super::{Document, count, effort, grouped, maybe, percent, policy, rich, shown, tenths, word};
use crate::analysis::external::Analyzer;
use crate::analysis::{
    Dependency, DuplicateGroup, Recommendation, Report, Suppressed, Suppression, Technology,
};
use crate::model::{Finding, Severity, Skipped};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Findings, files and the like beyond which the page would no longer be quick; it says how many it leaves out.
const MOST_FINDINGS: usize = 3_000;
const MOST_FILES: usize = 1_000;
const MOST_FUNCTIONS: usize = 50;
const MOST_OTHERS: usize = 500;
/// Recommendations that are not folded away.
const FIRST: usize = 6;

#[derive(Template)]
#[template(path = "html/page.html")]
pub(super) struct Page<'a> {
    style: &'static str,
    script: &'static str,
    policy: String,
    title: String,
    sections: Vec<(&'static str, &'static str)>,
    report: &'a Report,
    grade: Grade,
    lead: String,
    covers: String,
    facts: Vec<(&'static str, String)>,
    severities: Vec<SeverityCount>,
    trend: Option<Trend<'a>>,
    dimensions: Vec<DimensionBar>,
    cap: Option<String>,
    first: &'a [Recommendation],
    later: &'a [Recommendation],
    worst: Vec<FileBar>,
    languages: Vec<LanguageBar>,
    total: String,
    analysed: usize,
    findings: Vec<Entry<'a>>,
    left_out: usize,
    categories: Vec<(String, usize)>,
    rules: Vec<(String, usize)>,
    files_with: Vec<(String, usize)>,
    suppressed: &'a [Suppressed],
    unused: &'a [Suppression],
    file_count: String,
    files: Vec<FileRow>,
    files_left_out: usize,
    has_coverage: bool,
    functions: Vec<FunctionRow<'a>>,
    duplicates: &'a [DuplicateGroup],
    technologies: &'a [Technology],
    dependencies: &'a [Dependency],
    analyzers: &'a [Analyzer],
    skipped: &'a [Skipped],
}

impl<'a> Page<'a> {
    pub(super) fn of(document: &Document<'a>) -> Self {
        let report = document.report;
        let mut findings: Vec<&Finding> = report.findings().collect();
        findings.sort_by(|a, b| (b.severity, &a.region, &a.rule).cmp(&(a.severity, &b.region, &b.rule)));
        let worst = FileBar::worst(&findings);
        let (categories, rules, files_with) = (
            tally(&findings, |finding| word(finding.category)),
            tally(&findings, |finding| shown(&finding.rule)),
            tally(&findings, |finding| shown(&finding.region.path)),
        );
        let left_out = findings.len().saturating_sub(MOST_FINDINGS);
        findings.truncate(MOST_FINDINGS);
        let entries = findings.iter().map(|finding| Entry::of(finding)).collect();
        let files = FileRow::all(report);
        let (first, later) = report.recommendations.split_at(report.recommendations.len().min(FIRST));
        let page = Self {
            style: STYLE,
            script: SCRIPT,
            policy: policy(STYLE, SCRIPT),
            title: shown(document.name.unwrap_or("Source code")),
            sections: Vec::new(),
            report,
            grade: Grade::of(report.quality_score),
            lead: lead(report),
            covers: percent(report.score.covers),
            facts: facts(document),
            severities: SeverityCount::all(report),
            trend: report.baseline.as_ref().map(Trend::of),
            dimensions: report.score.dimensions.iter().map(DimensionBar::of).collect(),
            cap: report.score.cap.as_ref().map(|cap| {
                format!("The total is not above {} because of {}.", tenths(cap.limit), shown(&cap.because))
            }),
            first,
            later,
            worst,
            languages: LanguageBar::all(report),
            total: grouped(report.summary.findings),
            analysed: report.summary.files_analysed,
            findings: entries,
            left_out,
            categories,
            rules,
            files_with,
            suppressed: cut(&report.suppressed),
            unused: cut(&report.unused_suppressions),
            file_count: grouped(files.len()),
            files_left_out: files.len().saturating_sub(MOST_FILES),
            files: files.into_iter().take(MOST_FILES).collect(),
            has_coverage: report.coverage.is_some(),
            functions: FunctionRow::hardest(report, MOST_FUNCTIONS),
            duplicates: cut(&report.duplicates),
            technologies: cut(&report.technologies),
            dependencies: cut(&report.dependencies),
            analyzers: cut(&report.analyzers),
            skipped: cut(&report.skipped),
        };
        Self { sections: page.sections(), ..page }
    }

    /// Where the links at the top of the page go.
    fn sections(&self) -> Vec<(&'static str, &'static str)> {
        let report = self.report;
        [
            ("summary", "Summary", true),
            ("gate", "Gate", report.gate.is_some()),
            ("trend", "Changes", self.trend.is_some()),
            ("score", "Score", true),
            ("first", "What to do", !report.recommendations.is_empty()),
            ("findings", "Findings", true),
            ("files", "Files", true),
            ("functions", "Functions", !self.functions.is_empty()),
            ("duplicates", "Duplicates", !report.duplicates.is_empty()),
            ("technologies", "Technologies", !report.technologies.is_empty()),
            ("analyzers", "Analyzers", !report.analyzers.is_empty()),
            ("skipped", "Not analysed", !report.skipped.is_empty()),
        ]
        .into_iter()
        .filter(|(.., there)| *there)
        .map(|(id, name, _)| (id, name))
        .collect()
    }
}

/// What to say first.
fn lead(report: &Report) -> String {
    let summary = &report.summary;
    if report.quality_score.is_none() {
        return "There is no code here that can be analysed.".to_owned();
    }
    let of = |severity| {
        let entry = summary.by_severity.iter().find(|entry| entry.severity == severity);
        entry.map_or(0, |entry| entry.count)
    };
    let (critical, high) = (of(Severity::Critical), of(Severity::High));
    let urgent = match (critical, high) {
        (0, 0) if summary.findings == 0 => "nothing was found".to_owned(),
        (0, 0) => format!("{}, none of them urgent", count(summary.findings, "finding")),
        (0, high) => format!("{}, of which {} high", count(summary.findings, "finding"), is(high)),
        (critical, 0) => {
            format!("{}, of which {} critical", count(summary.findings, "finding"), is(critical))
        }
        (critical, high) => format!(
            "{}, of which {} critical and {} high",
            count(summary.findings, "finding"),
            is(critical),
            grouped(high)
        ),
    };
    let files = count(summary.files_analysed, "analysed file");
    format!("In {} of code and {files}: {urgent}.", count(summary.code_lines, "line"))
}

fn is(number: usize) -> String {
    if number == 1 { "one is".to_owned() } else { format!("{} are", grouped(number)) }
}

fn facts(document: &Document<'_>) -> Vec<(&'static str, String)> {
    let report = document.report;
    let project = &report.metrics.project;
    let mut facts = vec![
        ("Lines of code", grouped(report.summary.code_lines)),
        ("Functions", grouped(report.summary.functions)),
        ("Duplicated", percent(project.duplicated_share)),
    ];
    facts.extend(project.coverage.map(|share| ("Coverage", percent(share))));
    facts.extend(project.maintainability_index.map(|index| ("Maintainability", tenths(index))));
    facts.extend(
        document.revision.map(|revision| ("Commit", shown(revision.chars().take(12).collect::<String>()))),
    );
    facts.extend(document.date.map(|date| ("Analysed", date.format("%Y-%m-%d %H:%M UTC").to_string())));
    facts
}

/// How many findings there are of each sort, the most first.
fn tally(findings: &[&Finding], sort: impl Fn(&Finding) -> String) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<String, usize>::new();
    for finding in findings {
        *counts.entry(sort(finding)).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn cut<T>(list: &[T]) -> &[T] {
    &list[..list.len().min(MOST_OTHERS)]
}
