//! One thing the analysis has to say about one place in the code.

use serde::{Deserialize, Serialize};

/// A finding: which rule, where, how bad, how sure, why it matters and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// The stable id of the rule, for example `python-subprocess-shell`.
    pub rule: String,
    /// What kind of problem it is.
    pub category: Category,
    /// How bad it is if it is true.
    pub severity: Severity,
    /// How likely it is to be true.
    pub confidence: Confidence,
    /// Weakness ids, for example `CWE-89`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cwe: Vec<String>,
    /// OWASP Top Ten entries, for example `A03:2021`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owasp: Vec<String>,
    /// One sentence about this very place.
    pub message: String,
    /// Why it matters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How to fix it, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fix: String,
    /// The text that may replace the region, where the rule is certain of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement: Option<String>,
    /// Where it is.
    pub region: Region,
    /// The function or class around it, for example `Store.save`; empty at the top level of a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub symbol: String,
    /// Who it is across runs.
    pub fingerprints: Fingerprints,
    /// Who says so.
    pub origin: Origin,
    /// The rules of other analyzers that say the same about the place, for example `bandit/B602`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The way of the data from its source to the place, in order; empty where the rule follows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flow: Vec<FlowStep>,
    /// What became of it since the report that this one was compared with, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<FindingState>,
}

impl Finding {
    /// Whether it was not there before, as far as is known: without a baseline all are new.
    pub fn is_new(&self) -> bool {
        self.state.is_none_or(|state| state == FindingState::New)
    }
}

/// What became of a finding since an earlier report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// It was not there.
    New,
    /// It stands where it stood.
    Unchanged,
    /// It stood on another line or in another file.
    Moved,
}

/// What kind of problem a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Somebody could do harm through it.
    Security,
    /// The program does something else than it says.
    Bug,
    /// It works, but it is harder to change or read than it needs to be.
    Smell,
    /// The types do not fit.
    Type,
    /// It costs more time or memory than it needs to.
    Performance,
    /// It departs from the language's conventions.
    Style,
}

impl Category {
    /// Every category, in the order in which reports show them.
    pub const ALL: [Self; 6] =
        [Self::Security, Self::Bug, Self::Type, Self::Performance, Self::Smell, Self::Style];
}

/// How bad a finding is if it is true; greater is worse.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Fix it when you pass by.
    Low,
    /// Fix it soon.
    Medium,
    /// Fix it before the next release.
    High,
    /// Fix it now.
    Critical,
}

impl Severity {
    /// Every severity, worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// The word for it, as reports write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }
}

/// How likely a finding is to be true; greater is surer.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A hint that needs a look.
    Low,
    /// Usually right.
    Medium,
    /// Right unless something very unusual is going on.
    High,
}

/// A stretch of a file. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Region {
    /// The file, relative to the root of the source.
    pub path: String,
    /// The line it starts on.
    pub line: usize,
    /// The column it starts at.
    pub column: usize,
    /// The line it ends on.
    pub end_line: usize,
    /// The column just behind it.
    pub end_column: usize,
    /// The lines it stands on, cut to a sensible length.
    pub snippet: String,
}

/// Who a finding is across runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fingerprints {
    /// GitHub's `primaryLocationLineHash`: survives lines that are added or removed above.
    pub primary_location_line_hash: String,
    /// Ours, from rule, enclosing symbol and the matched tokens: survives moved lines, reformatting and
    /// renamed files.
    pub stable: String,
}

/// Who says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// A rule that comes with Codeyard.
    Builtin,
    /// A rule of the user's own.
    Custom,
    /// Another analyzer.
    External {
        /// Its name, for example `ruff`.
        tool: String,
    },
    /// A language model.
    Model {
        /// Its name.
        name: String,
    },
}

/// One step of the way that data takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FlowStep {
    /// Where.
    pub region: Region,
    /// What happens there, for example `comes from the request`.
    pub message: String,
}
