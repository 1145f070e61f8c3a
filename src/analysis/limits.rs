//! Findings about functions that are larger than people can hold in their heads.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::languages::Language;
use super::metrics::{FunctionMetrics, Walk};
use super::rules::{Match, Rule};
use super::score::COMPLEX;
use crate::model::{Category, Confidence, Severity};

/// What is too much of a function: a finding is made of what is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Cognitive complexity.
    pub complexity: usize,
    /// Lines of code of its own.
    pub lines: usize,
    /// Levels of nesting.
    pub nesting: usize,
    /// Parameters.
    pub parameters: usize,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { complexity: COMPLEX, lines: 100, nesting: 5, parameters: 8 }
    }
}

/// A measure of a function and what is too much of it.
struct Limit {
    id: &'static str,
    what: &'static str,
    /// Of the function, and of the lines of code that belong to no function inside it.
    measure: fn(&FunctionMetrics, usize) -> usize,
    most: fn(&Thresholds) -> usize,
    severity: Severity,
    why: &'static str,
    instead: &'static str,
    aliases: &'static [&'static str],
    /// A test may be a long list of cases.
    in_tests: bool,
}

static LIMITS: &[Limit] = &[
    Limit {
        id: "complex-function",
        what: "a cognitive complexity of",
        measure: |function, _| function.cognitive,
        most: |thresholds| thresholds.complexity,
        severity: Severity::Medium,
        why: "A reader has to keep all open branches in mind; mistakes hide in functions like this.",
        instead: "Return early, give the inner blocks a name and a function of their own.",
        aliases: &["C901", "PLR0912", "complexity", "too-many-branches", "gocognit", "gocyclo"],
        in_tests: true,
    },
    Limit {
        id: "long-function",
        what: "this many lines of code of its own:",
        measure: |_, own_lines| own_lines,
        most: |thresholds| thresholds.lines,
        severity: Severity::Low,
        why: "It does not fit on a screen, so nobody sees it as a whole.",
        instead: "Split it where its steps part.",
        aliases: &["PLR0915", "too-many-statements", "max-lines-per-function", "funlen"],
        in_tests: false,
    },
    Limit {
        id: "deep-nesting",
        what: "this many levels of nesting:",
        measure: |function, _| function.nesting,
        most: |thresholds| thresholds.nesting,
        severity: Severity::Low,
        why: "What holds at the innermost line follows from every line around it.",
        instead: "Return or continue early, or move the inner levels into a function.",
        aliases: &["PLR1702", "too-many-nested-blocks", "max-depth", "nestif"],
        in_tests: true,
    },
    Limit {
        id: "too-many-parameters",
        what: "this many parameters:",
        measure: |function, _| function.parameters,
        most: |thresholds| thresholds.parameters,
        severity: Severity::Low,
        why: "Callers mix them up, above all those of one type.",
        instead: "Group what belongs together into a type of its own.",
        aliases: &["PLR0913", "too-many-arguments", "max-params"],
        in_tests: false,
    },
];

/// The rules that stand for the limits, as they appear in the catalogue.
pub(super) fn rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| LIMITS.iter().map(rule).collect())
}

/// Every function of a file that goes beyond a limit; the finding stands on the line the function starts on.
pub(super) fn exceeded(walk: &Walk, text: &str, thresholds: &Thresholds) -> Vec<Match<'static>> {
    let mut matches = Vec::new();
    let (mut at, mut line) = (0, 1);
    for (function, own_lines) in walk.functions.iter().zip(own_lines(&walk.functions)) {
        let over = LIMITS.iter().zip(rules());
        let over = over.filter(|(limit, _)| (limit.measure)(function, own_lines) > (limit.most)(thresholds));
        let mut over = over.peekable();
        if over.peek().is_none() {
            continue;
        }
        // Functions come in the order of their start, so the lines are counted once for all of them.
        while line < function.line {
            at += text[at..].find('\n').map_or(text.len() - at, |end| end + 1);
            line += 1;
        }
        let first = text[at..].lines().next().unwrap_or_default();
        let start = at + first.len() - first.trim_start().len();
        for (limit, rule) in over {
            matches.push(Match {
                rule,
                range: start..at + first.len(),
                message: format!(
                    "`{}` has {} {}",
                    function.name,
                    limit.what,
                    (limit.measure)(function, own_lines)
                ),
                replacement: None,
                identity: Some(function.name.clone()),
                severity: None,
                confidence: None,
                flow: Vec::new(),
            });
        }
    }
    matches
}

/// The lines of code of each function without those of the functions inside it, apart from their first lines.
fn own_lines(functions: &[FunctionMetrics]) -> Vec<usize> {
    let mut own: Vec<usize> = functions.iter().map(|function| function.code_lines).collect();
    let mut open: Vec<usize> = Vec::new();
    for (index, function) in functions.iter().enumerate() {
        while open.pop_if(|around| functions[*around].end_line < function.line).is_some() {}
        if let Some(&around) = open.last() {
            own[around] = own[around].saturating_sub(function.code_lines.saturating_sub(1));
        }
        open.push(index);
    }
    own
}

fn rule(limit: &Limit) -> Rule {
    let most = (limit.most)(&Thresholds::default());
    Rule {
        id: limit.id.to_owned(),
        languages: Language::ALL.to_vec(),
        category: Category::Smell,
        severity: limit.severity,
        confidence: Confidence::High,
        cwe: vec!["CWE-1121".to_owned()],
        owasp: Vec::new(),
        message: format!("A function has {} more than {most}", limit.what),
        why: limit.why.to_owned(),
        instead: limit.instead.to_owned(),
        example: format!("a function with {} {}", limit.what, most + 1),
        references: vec!["https://cwe.mitre.org/data/definitions/1121.html".to_owned()],
        aliases: limit.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
        fix: None,
        builtin: true,
        files: None,
        ignores: None,
        in_tests: limit.in_tests,
    }
}
