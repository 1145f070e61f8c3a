//! The quality score: a formula, never a guess.
//!
//! # The formula
//! Each finding has a penalty: its severity (critical 40, high 15, medium 5, low 1.5, info 0.2) times its
//! confidence (high 1, medium 0.7, low 0.3). A dimension adds up the penalties of its categories and divides
//! by thousands of lines of analysed code, but at least by [`SMALLEST_SIZE`], so that ten lines are not
//! condemned for one finding. A density of `d` scores `10 · 2^(-d / 40)`: none is 10, 40 is 5, 80 is 2.5.
//!
//! | dimension | weight | from |
//! |---|---|---|
//! | security | 30 | findings of the category security |
//! | reliability | 25 | bug, type |
//! | maintainability | 20 | smell, performance, style |
//! | complexity | 15 | `10 · (1 - s)`, s = share of the functions' code that stands in functions whose cognitive complexity is above 15 |
//! | duplication | 10 | `10 · (1 - 2s)`, but at least 0, s = share of the lines that stand in several places |
//! | coverage | 10 | `10s`, s = share of the lines that tests reach; not known without a coverage report |
//!
//! The total is the weighted mean of the dimensions that are known, but not above the lowest cap that
//! applies: 4 for a critical finding of high confidence, 5.5 for one of medium confidence, 7 and 8 for
//! findings that are high in the same way. Smells and style set no cap.
//!
//! More findings mean larger sums, smaller dimensions and never a higher cap: adding a finding never raises
//! the score, and fixing one never lowers it.

use serde::{Deserialize, Serialize};

use super::metrics::{Metrics, round, share};
use crate::model::{Category, Confidence, Finding, Severity};

/// Thousands of lines that even the smallest project counts for.
pub const SMALLEST_SIZE: f64 = 0.2;
/// The density of penalties at which a dimension is worth half.
const HALF: f64 = 40.0;
/// A function above this cognitive complexity is hard to understand.
pub const COMPLEX: usize = 15;

const FORMULA: &str = "dimension = 10 * 2^(-penalty per 1000 lines / 40); penalty = severity (critical 40, \
    high 15, medium 5, low 1.5, info 0.2) * confidence (high 1, medium 0.7, low 0.3); complexity = 10 * (1 - \
    share of code in functions above cognitive complexity 15); duplication = 10 * (1 - 2 * duplicated share); coverage = 10 * share of lines that tests reach; total = weighted mean of the known dimensions, \
    capped by the worst finding";

/// How the score came about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Score {
    /// From 0 to 10; none if there was no code to judge.
    pub total: Option<f64>,
    /// The parts.
    pub dimensions: Vec<Dimension>,
    /// What keeps the total down, if anything does.
    pub cap: Option<Cap>,
    /// The share of the lines of code, in languages that can be analysed, that was analysed: 0 to 1.
    pub covers: f64,
    /// The formula in one sentence.
    pub formula: String,
}

/// A part of the score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dimension {
    /// Its name.
    pub name: String,
    /// From 0 to 10; none if it is not known.
    pub score: Option<f64>,
    /// What it weighs against the others.
    pub weight: f64,
    /// What it was computed from, in words.
    pub detail: String,
}

/// The highest total that the worst finding allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cap {
    /// The total is not above this.
    pub limit: f64,
    /// Why.
    pub because: String,
}

/// Rates a project.
pub fn rate(findings: &[&Finding], metrics: &Metrics) -> Score {
    let size = Size::of(metrics);
    let mut dimensions = vec![
        size.by_findings("security", 30.0, &[Category::Security], findings),
        size.by_findings("reliability", 25.0, &[Category::Bug, Category::Type], findings),
        size.by_findings(
            "maintainability",
            20.0,
            &[Category::Smell, Category::Performance, Category::Style],
            findings,
        ),
        complexity(metrics),
        duplication(metrics),
        coverage(metrics),
    ];
    if size.analysed == 0 {
        for dimension in &mut dimensions {
            dimension.score = None;
        }
    }
    let cap = cap(findings);
    // Rounded down: 1 means all of it.
    let covered = (share(size.analysed, size.analysable) * 1000.0).floor() / 1000.0;
    let limit = cap.as_ref().map_or(10.0, |cap| cap.limit);
    let total = mean(&dimensions).map(|mean| (mean.min(limit) * 10.0).round() / 10.0);
    for dimension in &mut dimensions {
        dimension.score = dimension.score.map(round);
    }
    Score { total, dimensions, cap, covers: covered, formula: FORMULA.into() }
}

/// What a finding costs.
pub fn penalty(finding: &Finding) -> f64 {
    let severity = match finding.severity {
        Severity::Critical => 40.0,
        Severity::High => 15.0,
        Severity::Medium => 5.0,
        Severity::Low => 1.5,
        Severity::Info => 0.2,
    };
    let confidence = match finding.confidence {
        Confidence::High => 1.0,
        Confidence::Medium => 0.7,
        Confidence::Low => 0.3,
    };
    severity * confidence
}

/// How much code there is to set the findings in relation to.
struct Size {
    analysed: usize,
    analysable: usize,
}

impl Size {
    fn of(metrics: &Metrics) -> Self {
        let is_code = |name: &str| super::Language::from_name(name).is_some();
        let lines = |analysed: bool| {
            let files = metrics.files.iter().filter(move |file| file.analysed || !analysed);
            files.filter(|file| is_code(&file.language)).map(|file| file.lines.code).sum()
        };
        Self { analysed: lines(true), analysable: lines(false) }
    }

    fn by_findings(
        &self,
        name: &str,
        weight: f64,
        categories: &[Category],
        findings: &[&Finding],
    ) -> Dimension {
        let counted = findings.iter().filter(|finding| categories.contains(&finding.category));
        // Sorted, so that the sum does not depend on the order of the findings.
        let mut penalties: Vec<f64> = counted.map(|finding| penalty(finding)).collect();
        penalties.sort_by(f64::total_cmp);
        let size = (self.analysed as f64 / 1000.0).max(SMALLEST_SIZE);
        let density = penalties.iter().fold(0.0, |sum, penalty| sum + penalty) / size;
        Dimension {
            name: name.to_owned(),
            score: Some(10.0 * (-density / HALF).exp2()),
            weight,
            detail: format!("{} findings, penalty {:.1} per 1000 lines", penalties.len(), density),
        }
    }
}

fn complexity(metrics: &Metrics) -> Dimension {
    let functions = metrics.files.iter().flat_map(|file| &file.functions);
    let (mut all, mut complex, mut count) = (0, 0, 0);
    for function in functions {
        all += function.code_lines;
        if function.cognitive > COMPLEX {
            complex += function.code_lines;
            count += 1;
        }
    }
    Dimension {
        name: "complexity".to_owned(),
        score: Some(10.0 * (1.0 - share(complex, all))),
        weight: 15.0,
        detail: format!("{count} functions with a cognitive complexity above {COMPLEX}"),
    }
}

fn duplication(metrics: &Metrics) -> Dimension {
    let project = &metrics.project;
    Dimension {
        name: "duplication".to_owned(),
        score: Some(10.0 * (1.0 - 2.0 * project.duplicated_share).max(0.0)),
        weight: 10.0,
        detail: format!("{} lines stand in several places", project.duplicated_lines),
    }
}

fn coverage(metrics: &Metrics) -> Dimension {
    let share = metrics.project.coverage;
    Dimension {
        name: "coverage".to_owned(),
        score: share.map(|share| 10.0 * share),
        weight: 10.0,
        detail: match share {
            Some(share) => format!("tests reach {:.1} % of the lines", share * 100.0),
            None => "not known: no coverage report in the tree".to_owned(),
        },
    }
}

fn cap(findings: &[&Finding]) -> Option<Cap> {
    findings
        .iter()
        .filter(|finding| matches!(finding.category, Category::Security | Category::Bug | Category::Type))
        .filter_map(|finding| {
            let limit: f64 = match (finding.severity, finding.confidence) {
                (Severity::Critical, Confidence::High) => 4.0,
                (Severity::Critical, Confidence::Medium) => 5.5,
                (Severity::High, Confidence::High) => 7.0,
                (Severity::High, Confidence::Medium) => 8.0,
                _ => return None,
            };
            Some((limit, finding))
        })
        .min_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| (&x.region, &x.rule).cmp(&(&y.region, &y.rule))))
        .map(|(limit, finding)| Cap {
            limit,
            because: format!("{} in {}:{}", finding.rule, finding.region.path, finding.region.line),
        })
}

fn mean(dimensions: &[Dimension]) -> Option<f64> {
    let known = || dimensions.iter().filter_map(|dimension| Some((dimension.score?, dimension.weight)));
    let weight: f64 = known().map(|(_, weight)| weight).sum();
    (weight > 0.0).then(|| known().map(|(score, weight)| score * weight).sum::<f64>() / weight)
}
