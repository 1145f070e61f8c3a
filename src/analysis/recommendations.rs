//! What to do first: what raises the score most for the least work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::duplicates::DuplicateGroup;
use super::metrics::{Metrics, round};
use super::score::{self, COMPLEX, Score};
use crate::model::{Finding, Severity};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recommendation {
    /// What to do, in a sentence.
    pub title: String,
    /// Why and how.
    pub detail: String,
    /// The rule whose findings it is about, if it is about a rule.
    pub rule: Option<String>,
    /// How bad the worst of them is.
    pub severity: Severity,
    /// How many places there are.
    pub places: usize,
    /// By how much the score rises when all of them are mended.
    pub gain: f64,
    /// A rough estimate of the work, in minutes.
    pub effort_minutes: usize,
    /// The first places, as `path:line`.
    pub first: Vec<String>,
}

/// More would not be read.
const MOST: usize = 20;
const FIRST_PLACES: usize = 5;
/// Minutes for one finding, for one function that is too complex, for one piece of copied code.
const FINDING_MINUTES: usize = 10;
const FUNCTION_MINUTES: usize = 60;
const COPY_MINUTES: usize = 30;

/// What to do, worst severity and best gain per minute first.
pub(super) fn recommend(
    findings: &[&Finding],
    metrics: &Metrics,
    duplicates: &[DuplicateGroup],
    score: &Score,
) -> Vec<Recommendation> {
    let mut by_rule = BTreeMap::<&str, Vec<&Finding>>::new();
    for &finding in findings {
        by_rule.entry(&finding.rule).or_default().push(finding);
    }
    let mut all: Vec<_> = by_rule
        .into_iter()
        .map(|(rule, places)| {
            let rest: Vec<&Finding> = findings.iter().copied().filter(|f| f.rule != rule).collect();
            mend(rule, &places, gain(&rest, metrics, score))
        })
        .chain(simplify(findings, metrics, score))
        .chain(join_copies(findings, metrics, duplicates, score))
        .collect();
    all.sort_by(|a, b| {
        let worth = |r: &Recommendation| r.gain / r.effort_minutes.max(1) as f64;
        let urgent = |r: &Recommendation| r.severity.max(Severity::Medium);
        urgent(b)
            .cmp(&urgent(a))
            .then_with(|| worth(b).total_cmp(&worth(a)))
            .then_with(|| b.severity.cmp(&a.severity))
            .then_with(|| a.title.cmp(&b.title))
    });
    all.truncate(MOST);
    all
}

fn mend(rule: &str, places: &[&Finding], gain: f64) -> Recommendation {
    let first = places[0];
    let title = match places.len() {
        1 => first.message.clone(),
        n => format!("{} ({n} places)", first.message),
    };
    Recommendation {
        title,
        detail: [first.why.as_str(), first.fix.as_str()].join(" ").trim().to_owned(),
        rule: Some(rule.to_owned()),
        severity: places.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Info),
        places: places.len(),
        gain,
        effort_minutes: places.len() * FINDING_MINUTES,
        first: places.iter().take(FIRST_PLACES).map(|f| place(&f.region.path, f.region.line)).collect(),
    }
}

/// Splitting up the functions that are too complex.
fn simplify(findings: &[&Finding], metrics: &Metrics, score: &Score) -> Option<Recommendation> {
    let mut complex: Vec<_> = metrics
        .files
        .iter()
        .flat_map(|file| file.functions.iter().map(move |function| (file, function)))
        .filter(|(_, function)| function.cognitive > COMPLEX)
        .collect();
    complex.sort_by_key(|(_, function)| std::cmp::Reverse(function.cognitive));
    let (_, worst) = complex.first()?;
    let mut simpler = metrics.clone();
    for function in simpler.files.iter_mut().flat_map(|file| &mut file.functions) {
        function.cognitive = function.cognitive.min(COMPLEX);
    }
    Some(Recommendation {
        title: format!("Split up {} functions that are hard to understand", complex.len()),
        detail: format!(
            "The worst, `{}`, has a cognitive complexity of {}; above {COMPLEX} a reader loses the thread.",
            worst.name, worst.cognitive
        ),
        rule: None,
        severity: Severity::Medium,
        places: complex.len(),
        gain: gain(findings, &simpler, score),
        effort_minutes: complex.len() * FUNCTION_MINUTES,
        first: complex.iter().take(FIRST_PLACES).map(|(file, f)| place(&file.path, f.line)).collect(),
    })
}

/// Giving copied code one place.
fn join_copies(
    findings: &[&Finding],
    metrics: &Metrics,
    duplicates: &[DuplicateGroup],
    score: &Score,
) -> Option<Recommendation> {
    let largest = duplicates.first()?;
    let mut joined = metrics.clone();
    joined.project.duplicated_share = 0.0;
    Some(Recommendation {
        title: format!("Give {} pieces of copied code one place each", duplicates.len()),
        detail: format!(
            "The largest has {} lines in {} places; a mistake in it has to be mended in all of them.",
            largest.lines,
            largest.places.len()
        ),
        rule: None,
        severity: Severity::Low,
        places: duplicates.iter().map(|group| group.places.len()).sum(),
        gain: gain(findings, &joined, score),
        effort_minutes: duplicates.len() * COPY_MINUTES,
        first: largest.places.iter().take(FIRST_PLACES).map(|p| place(&p.path, p.line)).collect(),
    })
}

/// By how much the score would rise.
fn gain(findings: &[&Finding], metrics: &Metrics, score: &Score) -> f64 {
    let better = score::rate(findings, metrics).total.unwrap_or(0.0);
    round((better - score.total.unwrap_or(0.0)).max(0.0))
}

fn place(path: &str, line: usize) -> String {
    format!("{path}:{line}")
}
