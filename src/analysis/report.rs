//! The report: what was found in all files, put together in a fixed order.

use serde::{Deserialize, Serialize};

use super::compare::Baseline;
use super::coverage::{self, Coverage};
use super::duplicates::{self, DuplicateGroup, Duplicates};
use super::external::{self, Analyzer, AnalyzerState};
use super::file::FileAnalysis;
use super::gate::GateVerdict;
use super::metrics::{LanguageLines, Metrics};
use super::recommendations::{Recommendation, recommend};
use super::score::{self, Score};
use super::suppressions::{Suppressed, Suppression};
use super::technologies::{self, Dependency, Technology};
use crate::model::{Category, Confidence, Finding, Severity, Skipped};

/// Grows when a field changes its meaning or goes away; new fields do not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// What an analysis found. Every finding stands in exactly one of the lists `security_issues`,
/// `type_errors` and `code_smells`; [`Report::findings`] goes through all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// The version of this format.
    pub schema_version: u32,
    /// The version of Codeyard that wrote it.
    pub analyzer_version: String,
    /// From 0 to 10; none if there was no code to judge.
    pub quality_score: Option<f64>,
    /// How the score came about.
    pub score: Score,
    /// The counts to show first.
    pub summary: Summary,
    /// Files and lines by language.
    pub languages: Vec<LanguageLines>,
    /// Findings of the category `security`.
    pub security_issues: Vec<Finding>,
    /// Findings about the quality of the code: the categories `bug`, `performance`, `smell` and `style`.
    pub code_smells: Vec<Finding>,
    /// Findings of the category `type`.
    pub type_errors: Vec<Finding>,
    /// Findings that a comment or the project's file suppresses: they count for nothing.
    pub suppressed: Vec<Suppressed>,
    /// Comments of ours, and entries of the project's file, that suppress nothing (or no more: they have expired), and so
    /// should go.
    pub unused_suppressions: Vec<Suppression>,
    /// Numbers about the project, its files and functions.
    pub metrics: Metrics,
    /// Code that stands in several places, the most lines first.
    pub duplicates: Vec<DuplicateGroup>,
    /// What the tests reach, if a coverage report lies in the tree.
    pub coverage: Option<Coverage>,
    /// Languages, frameworks and tools.
    pub technologies: Vec<Technology>,
    /// The packages that manifests and lock files name.
    pub dependencies: Vec<Dependency>,
    /// What to do first.
    pub recommendations: Vec<Recommendation>,
    /// The external analyzers that were asked for, and how each went.
    #[serde(default)]
    pub analyzers: Vec<Analyzer>,
    /// Those of them that checked types. Without any, `type_errors` says nothing about the code.
    #[serde(default)]
    pub type_checkers: Vec<String>,
    /// Whether it is good enough, if there is a gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateVerdict>,
    /// What became of the findings of an earlier report, if there is one to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// What was not analysed, and why.
    pub skipped: Vec<Skipped>,
}

/// The counts to show first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Summary {
    /// Files of text.
    pub files: usize,
    /// Files that were parsed and checked.
    pub files_analysed: usize,
    /// Lines of text.
    pub lines: usize,
    /// Lines of code.
    pub code_lines: usize,
    /// Functions.
    pub functions: usize,
    /// All findings.
    pub findings: usize,
    /// Findings by severity, worst first; every severity is listed.
    pub by_severity: Vec<SeverityCount>,
    /// Findings by category; every category is listed.
    pub by_category: Vec<CategoryCount>,
}

/// How many findings there are of a severity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SeverityCount {
    /// The severity.
    pub severity: Severity,
    /// How many.
    pub count: usize,
}

/// How many findings there are of a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CategoryCount {
    /// The category.
    pub category: Category,
    /// How many.
    pub count: usize,
}

impl Report {
    /// Every finding, by category and then by place.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.security_issues.iter().chain(&self.type_errors).chain(&self.code_smells)
    }

    /// The same, to be changed.
    pub(super) fn findings_mut(&mut self) -> impl Iterator<Item = &mut Finding> {
        self.security_issues.iter_mut().chain(&mut self.type_errors).chain(&mut self.code_smells)
    }

    /// Keeps only the findings that are wanted; returns how many went. The score stays that of the whole.
    pub fn narrow(&mut self, wanted: impl Fn(&Finding) -> bool) -> usize {
        let before = self.summary.findings;
        for list in [&mut self.security_issues, &mut self.type_errors, &mut self.code_smells] {
            list.retain(&wanted);
        }
        self.suppressed.retain(|suppressed| wanted(&suppressed.finding));
        let left: Vec<&Finding> = self.findings().collect();
        let (findings, by_severity, by_category) = (left.len(), by_severity(&left), by_category(&left));
        self.summary = Summary { findings, by_severity, by_category, ..self.summary.clone() };
        before - findings
    }

    /// The worst severity that some finding has with at least this confidence.
    pub fn worst(&self, confidence: Confidence) -> Option<Severity> {
        self.findings().filter(|f| f.confidence >= confidence).map(|f| f.severity).max()
    }
}

/// Puts together what the files gave, which must be in the order of their paths.
pub(super) fn assemble(
    analyses: Vec<FileAnalysis>,
    mut skipped: Vec<Skipped>,
    external: &[external::Run],
) -> Report {
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    let (mut suppressed, mut unused_suppressions) = (Vec::new(), Vec::new());
    let duplicates = duplicates(&analyses);
    let (mut dependencies, mut tools, mut imported) = (Vec::new(), Vec::new(), Vec::new());
    for analysis in analyses {
        let path = analysis.metrics.as_ref().map(|metrics| metrics.path.clone());
        tools.extend(analysis.tool.zip(path));
        dependencies.extend(analysis.dependencies);
        imported.extend(analysis.coverage);
        files.extend(analysis.metrics);
        findings.extend(analysis.findings);
        suppressed.extend(analysis.suppressed);
        unused_suppressions.extend(analysis.unused_suppressions);
        skipped.extend(analysis.skipped);
    }
    skipped.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
    let mut metrics = Metrics::of(files, duplicates.lines);
    let dependencies = technologies::merge(dependencies);
    let technologies = technologies::technologies(&metrics, tools, &dependencies);
    let all: Vec<&Finding> = findings.iter().collect();
    let coverage = coverage::merge(&imported, &metrics.files, &all);
    metrics.project.coverage = coverage.as_ref().filter(|c| c.lines > 0).map(|c| c.share);
    let score = score::rate(&all, &metrics);
    let recommendations = recommend(&all, &metrics, &duplicates.groups, &score);
    let summary = summarize(&all, &metrics);
    let (security_issues, rest): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.category == Category::Security);
    let (type_errors, code_smells) = rest.into_iter().partition(|f| f.category == Category::Type);
    Report {
        schema_version: SCHEMA_VERSION,
        analyzer_version: env!("CARGO_PKG_VERSION").to_owned(),
        quality_score: score.total,
        score,
        summary,
        languages: metrics.languages(),
        security_issues,
        code_smells,
        type_errors,
        suppressed,
        unused_suppressions,
        metrics,
        duplicates: duplicates.groups,
        coverage,
        technologies,
        dependencies,
        recommendations,
        analyzers: external.iter().map(|run| run.analyzer.clone()).collect(),
        type_checkers: type_checkers(external),
        gate: None,
        baseline: None,
        skipped,
    }
}

/// The analyzers that looked at types and came to an end.
fn type_checkers(external: &[external::Run]) -> Vec<String> {
    let checked = |analyzer: &&Analyzer| analyzer.checks_types && analyzer.state == AnalyzerState::Ran;
    external.iter().map(|run| &run.analyzer).filter(checked).map(|analyzer| analyzer.name.clone()).collect()
}

fn duplicates(analyses: &[FileAnalysis]) -> Duplicates {
    let files: Vec<_> = analyses
        .iter()
        .filter_map(|analysis| Some((analysis.metrics.as_ref()?.path.as_str(), &analysis.stream)))
        .collect();
    duplicates::find(&files)
}

fn summarize(findings: &[&Finding], metrics: &Metrics) -> Summary {
    let project = &metrics.project;
    Summary {
        files: project.files,
        files_analysed: metrics.files.iter().filter(|file| file.analysed).count(),
        lines: project.lines.physical,
        code_lines: project.lines.code,
        functions: project.functions,
        findings: findings.len(),
        by_severity: by_severity(findings),
        by_category: by_category(findings),
    }
}

fn by_severity(findings: &[&Finding]) -> Vec<SeverityCount> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    Severity::ALL.map(|severity| SeverityCount { severity, count: count(severity) }).to_vec()
}

fn by_category(findings: &[&Finding]) -> Vec<CategoryCount> {
    let count = |category| findings.iter().filter(|finding| finding.category == category).count();
    Category::ALL.map(|category| CategoryCount { category, count: count(category) }).to_vec()
}
