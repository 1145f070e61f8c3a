//! The rules, tried at the nodes that they can match.

use std::ops::Range;

use ast_grep_core::matcher::MatcherExt as _;
use ast_grep_core::replacer::{Replacer as _, TemplateFix};
use ast_grep_core::tree_sitter::StrDoc;
use ast_grep_core::{AstGrep, NodeMatch};
use ast_grep_language::SupportLang;
use tree_sitter::Node;

use super::needs::Sightings;
use super::{Compiled, Fix, Ready, Rule, is_test_code};
use crate::model::{Confidence, FlowStep, Severity};

/// A rule and the place it matched.
pub struct Match<'r> {
    /// The rule.
    pub rule: &'r Rule,
    /// The bytes it matched.
    pub range: Range<usize>,
    /// The rule's message with the names filled in.
    pub message: String,
    /// The code that may stand there instead.
    pub replacement: Option<String>,
    /// What makes it the same finding in another run, where the matched tokens must not.
    pub identity: Option<String>,
    /// How bad it is here, where that differs from the rule.
    pub severity: Option<Severity>,
    /// How sure it is here, where that differs from the rule.
    pub confidence: Option<Confidence>,
    /// The way of the data, where the rule follows any.
    pub flow: Vec<FlowStep>,
}

/// Nodes between two looks at whether to stop.
const STOP_INTERVAL: usize = 4_096;
/// A name's text in a message is cut to so many characters.
const LONGEST_NAME: usize = 60;

/// Everything the rules find at the nodes of a file that they can match, in the order of the tree; nothing more
/// once `stopped` says so.
pub fn scan<'r>(
    root: &AstGrep<StrDoc<SupportLang>>,
    candidates: &[Node<'_>],
    path: &str,
    sets: &[&'r Compiled],
    stopped: &dyn Fn() -> bool,
) -> Vec<Match<'r>> {
    let mut matches: Vec<Match<'r>> = Vec::new();
    let source = root.source();
    let mut trials: Vec<Trial<'r>> = sets.iter().map(|set| Trial::of(set, path, source)).collect();
    for (count, node) in candidates.iter().enumerate() {
        if count % STOP_INTERVAL == STOP_INTERVAL - 1 && stopped() {
            break;
        }
        for trial in &mut trials {
            trial.at(node, root, &mut matches);
        }
    }
    drop_repeated(&mut matches);
    matches
}

/// The rules of a set that may match something in a file.
struct Trial<'r> {
    set: &'r Compiled,
    applies: Vec<bool>,
    sightings: Sightings,
}

impl<'r> Trial<'r> {
    fn of(set: &'r Compiled, path: &str, source: &str) -> Self {
        let sightings = set.texts.sight(source);
        let is_test = is_test_code(path);
        let applies =
            |ready: &Ready| sightings.somewhere(&ready.needs) && ready.rule.applies_to(path, is_test);
        Self { set, applies: set.rules.iter().map(applies).collect(), sightings }
    }

    fn at(&mut self, node: &Node<'_>, root: &AstGrep<StrDoc<SupportLang>>, matches: &mut Vec<Match<'r>>) {
        let (start, end) = (node.start_byte(), node.end_byte());
        for &index in self.set.by_kind.get(usize::from(node.kind_id())).into_iter().flatten() {
            let Ready { rule, matcher, needs } = &self.set.rules[index];
            if self.applies[index]
                && self.sightings.between(needs, start, end)
                && let Some(found) = matcher.match_node(root.adopt(*node))
            {
                matches.push(of(rule, &found));
            }
        }
    }
}

fn of<'r>(rule: &'r Rule, found: &NodeMatch<'_, StrDoc<SupportLang>>) -> Match<'r> {
    Match {
        rule,
        range: found.range(),
        message: fill(&rule.message, found),
        replacement: rule.fix.as_ref().map(|fix| mended(fix, found)),
        identity: None,
        severity: None,
        confidence: None,
        flow: Vec::new(),
    }
}

/// The code that may stand there instead, with the indentation of the place.
fn mended(fix: &Fix, found: &NodeMatch<'_, StrDoc<SupportLang>>) -> String {
    let template = TemplateFix::with_transform(&fix.template, found.lang(), &fix.made);
    String::from_utf8_lossy(&template.generate_replacement(found)).into_owned()
}

/// Puts what the pattern caught in the place of each `$NAME`.
fn fill(template: &str, found: &NodeMatch<'_, StrDoc<SupportLang>>) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(rest.len());
        match found.get_env().get_match(&rest[..end]) {
            Some(node) if end > 0 => text.push_str(&shorten(&node.text())),
            _ => {
                text.push('$');
                text.push_str(&rest[..end]);
            }
        }
        rest = &rest[end..];
    }
    text + rest
}

/// One line, and not a long one.
fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LONGEST_NAME {
        return line;
    }
    line.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

/// A rule that reaches the same place in several ways says it once.
fn drop_repeated(matches: &mut Vec<Match<'_>>) {
    let mut seen = std::collections::HashSet::new();
    matches.retain(|m| seen.insert((std::ptr::from_ref(m.rule), m.range.clone())));
}
