//! What must stand in the text of a node for a rule to match it.
//!
//! Most rules name something: a function, a module, an argument. Where that text does not stand between the first and
//! the last byte of a node, the rule need not be tried there, and one search over the file says where each text stands.
//! What is needed is a conjunction of choices; leaving one out costs time and changes no finding.

use std::collections::HashMap;
use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use ast_grep_config::SerializableRuleCore;
use ast_grep_core::Pattern;
use ast_grep_core::matcher::PatternNode;
use ast_grep_core::meta_var::MetaVariable;
use ast_grep_language::SupportLang;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use serde_json::Value;

/// Texts of which one must be there.
type Choice = Vec<String>;
/// What a rule needs: one of the texts of each choice.
pub type Needs = Vec<Choice>;

/// Shorter texts stand everywhere.
const SHORTEST: usize = 3;
/// More texts than this are no help.
const MOST_TEXTS: usize = 64;

/// What a rule needs in the node that it matches.
pub(super) fn of(core: &SerializableRuleCore, grammar: SupportLang) -> Needs {
    let constraints = core.constraints.iter().flatten();
    let values =
        constraints.filter_map(|(name, rule)| Some((name.clone(), serde_json::to_value(rule).ok()?)));
    let reader = Reader { grammar, constraints: values.collect() };
    let mut needs = serde_json::to_value(&core.rule).map_or_else(|_| Vec::new(), |rule| reader.rule(&rule));
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// Reads rules in the form in which they are written.
struct Reader {
    grammar: SupportLang,
    constraints: HashMap<String, Value>,
}

impl Reader {
    /// All keys of a rule must hold. What it says of nodes outside of the one it matches needs nothing here.
    fn rule(&self, rule: &Value) -> Needs {
        let mut needs = Vec::new();
        let parts = |key: &str| rule.get(key).and_then(Value::as_array).into_iter().flatten();
        if let Some(pattern) = rule.get("pattern") {
            needs.extend(self.pattern(pattern));
        }
        if let Some(regex) = rule.get("regex").and_then(Value::as_str) {
            needs.extend(of_regex(regex));
        }
        if let Some(inner) = rule.get("has") {
            needs.extend(self.rule(inner));
        }
        needs.extend(parts("all").flat_map(|part| self.rule(part)));
        let any: Vec<Needs> = parts("any").map(|part| self.rule(part)).collect();
        needs.extend(one_of(any));
        needs
    }

    /// The names in a pattern, and what is asked of what its variables catch.
    fn pattern(&self, pattern: &Value) -> Needs {
        let text = |key: &str| pattern.get(key).and_then(Value::as_str);
        let parsed = match (pattern.as_str().or(text("context")), text("selector")) {
            // It compares kinds of nodes only.
            _ if text("strictness") == Some("signature") => return Vec::new(),
            (Some(code), None) => Pattern::try_new(code, self.grammar),
            (Some(code), Some(selector)) => Pattern::contextual(code, selector, self.grammar),
            (None, _) => return Vec::new(),
        };
        let mut needs = Vec::new();
        if let Ok(pattern) = parsed {
            self.node(&pattern.node, &mut needs);
        }
        needs
    }

    fn node(&self, node: &PatternNode, needs: &mut Needs) {
        match node {
            PatternNode::Terminal { text, is_named: true, .. } => needs.extend(choice(vec![text.clone()])),
            PatternNode::Internal { children, .. } => {
                children.iter().for_each(|child| self.node(child, needs));
            }
            PatternNode::MetaVar { meta_var: MetaVariable::Capture(name, _) } => {
                let asked = self.constraints.get(name).map(|rule| self.rule(rule)).unwrap_or_default();
                // The same code may be caught somewhere else first, with other blanks: only words are sure.
                let word = |text: &String| text.chars().all(|c| c.is_alphanumeric() || c == '_');
                needs.extend(asked.into_iter().filter(|choice| choice.iter().all(word)));
            }
            _ => {}
        }
    }
}

/// What is needed where one of several rules must hold: one choice of each of them.
fn one_of(rules: Vec<Needs>) -> Option<Choice> {
    let best = |needs: Needs| {
        needs
            .into_iter()
            .max_by_key(|choice| (choice.iter().map(String::len).min(), std::cmp::Reverse(choice.len())))
    };
    let choices: Vec<Choice> = rules.into_iter().map(best).collect::<Option<_>>()?;
    choice(choices.concat())
}

/// Texts of which every match of a regular expression starts or ends with one.
fn of_regex(regex: &str) -> Option<Choice> {
    let hir: Hir = regex_syntax::parse(regex).ok()?;
    let texts = |kind| {
        let found: Seq = Extractor::new().kind(kind).extract(&hir);
        let texts = found.literals()?.iter().map(|literal| String::from_utf8(literal.as_bytes().to_vec()));
        choice(texts.collect::<Result<_, _>>().ok()?)
    };
    let (starts, ends) = (texts(ExtractKind::Prefix), texts(ExtractKind::Suffix));
    let shortest = |choice: &Choice| choice.iter().map(String::len).min();
    [starts, ends].into_iter().flatten().max_by_key(shortest)
}

/// A choice that is worth a look.
fn choice(mut texts: Vec<String>) -> Option<Choice> {
    texts.sort_unstable();
    texts.dedup();
    let worth = !texts.is_empty() && texts.len() <= MOST_TEXTS;
    (worth && texts.iter().all(|text| text.len() >= SHORTEST)).then_some(texts)
}

/// The texts that the rules of a set need.
#[derive(Default)]
pub(super) struct Texts {
    numbers: HashMap<String, usize>,
    finder: OnceLock<Option<AhoCorasick>>,
}

impl Texts {
    /// The numbers of the texts, which are new if they were not known.
    pub(super) fn number(&mut self, needs: Needs) -> Vec<Vec<usize>> {
        self.finder = OnceLock::new();
        let mut number = |text| {
            let next = self.numbers.len();
            *self.numbers.entry(text).or_insert(next)
        };
        needs.into_iter().map(|choice| choice.into_iter().map(&mut number).collect()).collect()
    }

    /// Where they stand in a file.
    pub(super) fn sight(&self, text: &str) -> Sightings {
        let finder = self.finder.get_or_init(|| {
            let mut texts: Vec<_> = self.numbers.iter().collect();
            texts.sort_unstable_by_key(|(_, number)| **number);
            let texts = texts.into_iter().map(|(text, _)| text);
            AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(texts).ok()
        });
        let mut places = vec![Vec::new(); self.numbers.len()];
        for hit in finder.iter().flat_map(|finder| finder.find_overlapping_iter(text)) {
            places[hit.pattern().as_usize()].push((hit.start(), hit.end()));
        }
        Sightings { next: vec![0; places.len()], places, sure: finder.is_some() }
    }
}

/// Where the texts of a set stand in a file: their bytes, in order.
pub(super) struct Sightings {
    places: Vec<Vec<(usize, usize)>>,
    /// The first place of each that is not before the node that was asked about last.
    next: Vec<usize>,
    /// Whether they were looked for at all.
    sure: bool,
}

impl Sightings {
    /// Whether everything that is needed stands somewhere in the file.
    pub(super) fn somewhere(&self, needs: &[Vec<usize>]) -> bool {
        !self.sure || needs.iter().all(|choice| choice.iter().any(|&text| !self.places[text].is_empty()))
    }

    /// Whether everything that is needed stands between two bytes. The first must never be less than before.
    pub(super) fn between(&mut self, needs: &[Vec<usize>], start: usize, end: usize) -> bool {
        !self.sure || needs.iter().all(|choice| choice.iter().any(|&text| self.has(text, start, end)))
    }

    fn has(&mut self, text: usize, start: usize, end: usize) -> bool {
        let (places, next) = (&self.places[text], &mut self.next[text]);
        while places.get(*next).is_some_and(|place| place.0 < start) {
            *next += 1;
        }
        places.get(*next).is_some_and(|place| place.1 <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(yaml: &str) -> Needs {
        of(&ast_grep_config::from_str(yaml).unwrap(), SupportLang::Python)
    }

    #[test]
    fn a_rule_needs_the_names_of_its_patterns_and_the_ends_of_its_regular_expressions() {
        assert_eq!(needs("rule: { pattern: 'hashlib.md5($X)' }"), [["hashlib"], ["md5"]]);
        assert_eq!(needs("rule: { kind: call, regex: '^(load|loads)$' }"), [["load", "loads"]]);
        assert_eq!(needs("rule: { has: { field: x, regex: '\\w*(Parse|XML)$' } }"), [["Parse", "XML"]]);
        let constrained = "rule: { pattern: '$F($$$ARGS)' }\nconstraints: { F: { regex: ^(eval|exec)$ } }";
        assert_eq!(needs(constrained), [["eval", "exec"]]);
        let either = "rule: { any: [{ pattern: eval($X) }, { all: [{ kind: call }, { regex: ^exec }] }] }";
        assert_eq!(needs(either), [["eval", "exec"]]);
    }

    #[test]
    fn what_is_outside_or_must_not_be_there_is_not_needed() {
        for rule in [
            "kind: call, inside: { pattern: eval($X) }",
            "kind: call, not: { pattern: eval($X) }",
            "kind: call, follows: { regex: ^eval }",
            "any: [{ pattern: eval($X) }, { kind: call }]",
            "pattern: { context: eval($X), strictness: signature }",
            "kind: call, regex: 'eval|x'",
        ] {
            assert_eq!(needs(&format!("rule: {{ {rule} }}")), Needs::new(), "{rule}");
        }
    }

    #[test]
    fn texts_are_found_between_the_bytes_of_a_node_only() {
        let mut texts = Texts::default();
        let numbers = texts.number(vec![vec!["eval".to_owned(), "exec".to_owned()], vec!["val".to_owned()]]);
        let mut sightings = texts.sight("exec(x) + eval(y)");
        assert!(sightings.somewhere(&numbers));
        assert!(!sightings.between(&numbers, 0, 7), "`val` is not in the first call");
        assert!(sightings.between(&numbers, 0, 17));
        assert!(sightings.between(&numbers, 10, 17));
        assert!(!sightings.between(&numbers, 11, 17), "only a part of `eval` is left");
        assert!(!texts.sight("evil(y)").somewhere(&numbers));
    }
}
