//! Rules as data: patterns over syntax trees with the texts that explain them.

mod list;
mod load;
mod needs;
mod places;
mod scan;

use std::sync::OnceLock;

use ast_grep_config::RuleCore;
use globset::GlobSet;

use super::languages::Language;
use super::{checks, flow, limits, secrets};
use crate::model::{Category, Confidence, Severity};

use needs::Texts;

pub use list::BUILTIN;
pub use load::{BadRule, compile, read};
pub use needs::Needs;
pub(super) use places::is_test_code;
pub use scan::{Match, scan};

/// What a rule says, apart from its pattern.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The stable id.
    pub id: String,
    /// The languages it is written for.
    pub languages: Vec<Language>,
    /// What kind of problem it finds.
    pub category: Category,
    /// How bad the problem is.
    pub severity: Severity,
    /// How sure a match is.
    pub confidence: Confidence,
    /// Weakness ids.
    pub cwe: Vec<String>,
    /// OWASP Top Ten entries.
    pub owasp: Vec<String>,
    /// One sentence about a match; `$NAME` stands for what the pattern caught under that name.
    pub message: String,
    /// Why it matters.
    pub why: String,
    /// What to do instead.
    pub instead: String,
    /// Code that the rule finds.
    pub example: String,
    /// Where to read more.
    pub references: Vec<String>,
    /// What other tools call it, so that their suppression marks count.
    pub aliases: Vec<String>,
    /// What certainly mends it.
    pub fix: Option<Fix>,
    /// Whether it comes with Codeyard.
    pub builtin: bool,
    /// The only files it looks at, if it names any.
    pub files: Option<GlobSet>,
    /// Files it leaves alone.
    pub ignores: Option<GlobSet>,
    /// Whether it is about tests as well. Few of the built-in rules are: a test may trust its input.
    pub in_tests: bool,
}

/// Code to put in the place of what a rule found, as `ast-grep` has it.
#[derive(Clone, Debug)]
pub struct Fix {
    /// The code; `$NAME` and `$$$NAMES` stand for what the pattern caught.
    pub template: String,
    /// The names that `transform` makes of others.
    pub made: Vec<String>,
}

impl Rule {
    /// Whether this is its id, or what another tool calls it.
    pub fn is_called(&self, name: &str) -> bool {
        self.id == name || self.aliases.iter().any(|alias| alias == name)
    }

    /// Whether the rule looks at this file at all; `is_test` says whether that is a test.
    fn applies_to(&self, path: &str, is_test: bool) -> bool {
        (self.in_tests || !is_test)
            && self.files.as_ref().is_none_or(|globs| globs.is_match(path))
            && self.ignores.as_ref().is_none_or(|globs| !globs.is_match(path))
    }
}

/// Rules made ready for one language.
#[derive(Default)]
pub struct Compiled {
    rules: Vec<Ready>,
    /// Which rules may match a node, by its kind.
    by_kind: Vec<Vec<usize>>,
    /// What the rules need.
    texts: Texts,
}

/// A rule that is ready to be tried.
struct Ready {
    rule: Rule,
    matcher: RuleCore,
    /// The texts that must stand in a node: one of each of these.
    needs: Vec<Vec<usize>>,
}

impl Compiled {
    /// Adds a rule with its matcher, which must name the kinds of node it can match.
    pub fn push(&mut self, rule: Rule, (matcher, needs): (RuleCore, Needs)) {
        use ast_grep_core::Matcher as _;
        let index = self.rules.len();
        for kind in matcher.potential_kinds().iter().flatten() {
            if self.by_kind.len() <= kind {
                self.by_kind.resize_with(kind + 1, Vec::new);
            }
            self.by_kind[kind].push(index);
        }
        let needs = self.texts.number(needs);
        self.rules.push(Ready { rule, matcher, needs });
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Which kinds of node some rule may match.
pub fn kinds(sets: &[&Compiled]) -> Vec<bool> {
    let most = sets.iter().map(|set| set.by_kind.len()).max().unwrap_or(0);
    let wanted =
        |kind: usize| sets.iter().any(|set| set.by_kind.get(kind).is_some_and(|rules| !rules.is_empty()));
    (0..most).map(wanted).collect()
}

/// The catalogue: every built-in rule, in the order of the list, then the checks in code, the rules about flows, the limits of
/// functions and the formats of secrets.
pub fn catalogue() -> Vec<Rule> {
    let patterns = BUILTIN.iter().filter_map(|(_, document)| read(document, true).ok()).flatten();
    patterns
        .map(|definition| definition.rule)
        .chain(checks::rules().iter().cloned())
        .chain(flow::rules().chain(limits::rules()).chain(secrets::rules()).cloned())
        .collect()
}

/// The built-in rules of a language, compiled on first use. The tests see to it that every one compiles.
pub fn builtin(language: Language) -> &'static Compiled {
    static COMPILED: [OnceLock<Compiled>; Language::ALL.len()] =
        [const { OnceLock::new() }; Language::ALL.len()];
    COMPILED[language as usize].get_or_init(|| {
        let mut compiled = Compiled::default();
        for (_, document) in BUILTIN {
            for definition in read(document, true).unwrap_or_default() {
                if definition.rule.languages.contains(&language)
                    && let Ok(matcher) = compile(&definition, language)
                {
                    compiled.push(definition.rule, matcher);
                }
            }
        }
        compiled
    })
}
