//! The quality gate: when a report is good enough.

use serde::{Deserialize, Deserializer, Serialize};

use super::Report;
use crate::model::{Confidence, Finding, Severity};

/// When a report is good enough. What is absent does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// No finding may be this bad or worse (of medium or high confidence: a hint alone fails nothing); `never` lets all
    /// pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<Threshold>,
    /// Whether only findings count that are new against the baseline. Without this, they do where there is one; with no
    /// baseline, all are new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_only: Option<bool>,
    /// The score must be at least this, from 0 to 10.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "score")]
    #[schema(minimum = 0, maximum = 10)]
    pub min_score: Option<f64>,
    /// Tests must reach at least this percentage of the lines, from 1 to 100; 0 is no condition.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "percentage")]
    #[schema(minimum = 0, maximum = 100)]
    pub min_coverage: Option<f64>,
}

/// From where on a finding fails the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Fix it now.
    Critical,
    /// Fix it before the next release.
    High,
    /// Fix it soon.
    Medium,
    /// Fix it when you pass by.
    Low,
    /// Worth knowing.
    Info,
    /// Findings fail nothing.
    Never,
}

/// Whether a report passes its gate, condition by condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GateVerdict {
    /// Whether every condition holds.
    pub passed: bool,
    /// The conditions that the gate has.
    pub conditions: Vec<GateCondition>,
}

/// One condition of a gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GateCondition {
    /// `findings`, `score` or `coverage`.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// What is wanted, in words: `no finding is high or worse`.
    pub wanted: String,
    /// What was found, in words: `2 findings are high or worse`.
    pub found: String,
}

impl Gate {
    /// This gate, with the conditions of another where it says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            fail_on: self.fail_on.or(other.fail_on),
            new_only: self.new_only.or(other.new_only),
            min_score: self.min_score.or(other.min_score),
            min_coverage: self.min_coverage.or(other.min_coverage),
        }
    }

    /// Judges a report that was compared with its baseline, if there is one.
    pub fn judge(&self, report: &Report) -> GateVerdict {
        let conditions: Vec<GateCondition> =
            [self.findings(report), self.score(report), self.coverage(report)]
                .into_iter()
                .flatten()
                .collect();
        GateVerdict { passed: conditions.iter().all(|condition| condition.passed), conditions }
    }

    fn findings(&self, report: &Report) -> Option<GateCondition> {
        let threshold = self.fail_on?.severity()?;
        let compared = report.baseline.is_some() && self.new_only != Some(false);
        let fails = |finding: &&Finding| {
            let counts = !compared || finding.is_new();
            counts && finding.confidence >= Confidence::Medium && finding.severity >= threshold
        };
        let failing = report.findings().filter(fails).count();
        let new = if compared { "new " } else { "" };
        let bar = match threshold {
            Severity::Critical => "critical".to_owned(),
            other => format!("{} or worse", other.as_str()),
        };
        let wanted = format!("no {new}finding is {bar}");
        let found = match failing {
            0 => wanted.clone(),
            1 => format!("1 {new}finding is {bar}"),
            more => format!("{more} {new}findings are {bar}"),
        };
        Some(GateCondition { name: "findings".to_owned(), passed: failing == 0, wanted, found })
    }

    fn score(&self, report: &Report) -> Option<GateCondition> {
        let least = self.min_score.filter(|least| *least > 0.0)?;
        let found = match report.quality_score {
            Some(score) => format!("the score is {score:.1}"),
            None => "there is no code to judge".to_owned(),
        };
        // Where there is no code, there is no bad code.
        let passed = report.quality_score.is_none_or(|score| score >= least);
        let wanted = format!("the score is at least {least}");
        Some(GateCondition { name: "score".to_owned(), passed, wanted, found })
    }

    fn coverage(&self, report: &Report) -> Option<GateCondition> {
        let least = self.min_coverage.filter(|least| *least > 0.0)?;
        let share = report.metrics.project.coverage.map(|share| share * 100.0);
        let found = match share {
            // Rounded down: what is shown as reached is reached.
            Some(share) => format!("tests reach {:.1} % of the lines", (share * 10.0).floor() / 10.0),
            None => "there is no coverage report in the tree".to_owned(),
        };
        let passed = share.is_some_and(|share| share >= least);
        let wanted = format!("tests reach at least {least} % of the lines");
        Some(GateCondition { name: "coverage".to_owned(), passed, wanted, found })
    }
}

impl Threshold {
    /// Every threshold, the strictest last but for `never`.
    pub const ALL: [Self; 6] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info, Self::Never];

    /// The least severity that fails; none if none does.
    pub const fn severity(self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Info => Some(Severity::Info),
            Self::Never => None,
        }
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        self.severity().map_or("never", Severity::as_str)
    }
}

impl GateVerdict {
    /// What decides it, in words: what is wrong, or, where nothing is, all that holds.
    pub fn because(&self) -> String {
        let said = |passed: bool| -> Vec<&str> {
            let these = self.conditions.iter().filter(|condition| condition.passed == passed);
            these.map(|condition| condition.found.as_str()).collect()
        };
        match (self.passed, self.conditions.is_empty()) {
            (_, true) => "there is no condition".to_owned(),
            (passed, false) => said(passed).join("; "),
        }
    }
}

/// Refuses what is no score.
pub fn check_score(score: f64) -> Result<f64, &'static str> {
    if (0.0..=10.0).contains(&score) { Ok(score) } else { Err("a score is from 0 to 10") }
}

/// Refuses what is no percentage; a share such as 0.8 would be met by anything.
pub fn check_percentage(number: f64) -> Result<f64, &'static str> {
    let fine = number == 0.0 || (1.0..=100.0).contains(&number);
    if fine { Ok(number) } else { Err("a percentage is from 1 to 100, such as 80; 0 is no condition") }
}

fn score<'d, D: Deserializer<'d>>(from: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(from)?.map(check_score).transpose().map_err(serde::de::Error::custom)
}

fn percentage<'d, D: Deserializer<'d>>(from: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(from)?.map(check_percentage).transpose().map_err(serde::de::Error::custom)
}
