//! What libraries do to data, as data: sources, sanitizers, propagators, sinks, checks and guards.
//!
//! A model names things by their path from the library's root: `flask.request.args`, `hashlib.new`,
//! `HttpServletRequest().getParameter` (`T()` is an instance of `T`). `*.` in front stands for anything,
//! `.**.` for anything in between.

mod document;
mod list;
mod pattern;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use regex::Regex;

use super::ir::{Const, Name};
use super::values::{Mask, Value};
use crate::analysis::languages::Language;
use crate::analysis::rules::Rule;

pub use list::MODELS;
use list::RULES;
pub(super) use pattern::Table;

/// A rule about flows and the kinds of source it listens to.
pub(super) struct FlowRule {
    pub(super) rule: Rule,
    pub(super) kinds: Vec<u8>,
    pub(super) mask: Mask,
    /// Patterns that only guess what this knows, in files where data from outside was followed.
    pub(super) replaces: Vec<String>,
}

/// Something that a path is tainted by.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) kind: u8,
    pub(super) says: Name,
    /// The rules that its data is harmless for.
    pub(super) clears: Mask,
}

/// What makes a parameter more than unknown.
pub(super) struct Parameters {
    pub(super) named: HashSet<String>,
    pub(super) marked: HashSet<String>,
    pub(super) decorated: Option<Table<()>>,
    pub(super) becomes: Option<Name>,
    pub(super) source: Option<Source>,
}

/// Where an argument stands.
#[derive(Clone, Debug)]
pub(super) enum Which {
    Receiver,
    At(usize),
    Named(String),
    /// Every argument from this position on.
    From(usize),
}

/// A place that data should not reach.
pub(super) struct Sink {
    /// Index into the rules.
    pub(super) rule: usize,
    pub(super) args: Vec<Which>,
    /// Whether what containers hold counts.
    pub(super) deep: bool,
    pub(super) when: Vec<Condition>,
    pub(super) unless: Vec<Condition>,
}

/// A call that is wrong by itself.
pub(super) struct Check {
    pub(super) rule: usize,
    pub(super) when: Vec<Condition>,
    pub(super) unless: Vec<Condition>,
}

/// Something about an argument.
pub(super) struct Condition {
    pub(super) arg: Vec<Which>,
    /// A field of the object that it is.
    pub(super) field: Option<Const>,
    pub(super) test: Test,
}

/// What a condition asks for.
pub(super) enum Test {
    Is(Const),
    Matches(Regex),
    Missing,
    Path(Table<()>),
}

/// Something that makes data harmless.
#[derive(Clone)]
pub(super) struct Sanitizer {
    pub(super) clears: Mask,
}

/// A call that writes into one of its arguments.
pub(super) struct Fill {
    pub(super) into: usize,
    /// What it writes; none: what the call is a source of.
    pub(super) from: Vec<Which>,
}

/// A call in a condition that makes data harmless when it comes out this way.
pub(super) struct Guard {
    pub(super) arg: Which,
    pub(super) on: bool,
    pub(super) clears: Mask,
    /// Marks must have been cleared of this before.
    pub(super) requires: Mask,
}

/// What containers and their methods are called.
#[derive(Default)]
pub(super) struct Containers {
    pub(super) lists: HashSet<String>,
    pub(super) maps: HashSet<String>,
    pub(super) methods: HashMap<String, Method>,
}

/// What a method of a container does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    Append,
    Prepend,
    Insert,
    Pop,
    PopFirst,
    Extend,
    Put,
    Get,
    Get2,
    Put2,
    Clear,
    Items,
    Remove,
    First,
    Last,
}

/// Everything known about the libraries of a language.
#[derive(Default)]
pub(super) struct Model {
    pub(super) sources: Table<Source>,
    pub(super) parameters: Vec<Parameters>,
    pub(super) sinks: Table<Sink>,
    pub(super) stores: Table<Sink>,
    pub(super) returns: Table<Sink>,
    pub(super) named: Vec<(Regex, usize)>,
    pub(super) checks: Table<Check>,
    pub(super) sanitizers: Table<Sanitizer>,
    pub(super) sanitizer_names: Vec<(Regex, Mask)>,
    pub(super) replacing: Vec<(String, Mask)>,
    pub(super) propagators: Table<()>,
    pub(super) mutators: HashSet<String>,
    /// Methods that give their receiver as it is.
    pub(super) itself: HashSet<String>,
    /// Methods that give what the function they are given returns.
    pub(super) maps_over: HashSet<String>,
    pub(super) fills: Table<Fill>,
    pub(super) guards: Table<Guard>,
    pub(super) containing: Vec<(String, Mask)>,
    pub(super) allow_lists: Vec<(HashSet<String>, Mask)>,
    pub(super) containers: Containers,
    /// Words without which a file has nothing to do with any source or check, hashed as tokens are.
    pub(super) words: HashSet<u32>,
    /// Those that belong to sources from outside.
    pub(super) outside: HashSet<u32>,
    /// What a call of a library gives, where that has another name.
    pub(super) gives: Table<Name>,
    /// Names without an import that mean something.
    pub(super) globals: HashMap<String, Name>,
}

/// The kinds of source.
pub(super) const KINDS: [&str; 2] = ["request", "random"];

/// Pseudo-rules behind the real ones: facts that guards build on.
pub(super) const FACTS: [&str; 3] = ["normalised", "quoted", "without-quotes"];

/// The rules about flows, in the order of their file.
pub(super) fn rules() -> &'static [FlowRule] {
    static READ: OnceLock<Vec<FlowRule>> = OnceLock::new();
    READ.get_or_init(|| document::rules(RULES).unwrap_or_default())
}

/// The model of a language.
pub(super) fn model(language: Language) -> &'static Model {
    static READ: [OnceLock<Model>; Language::ALL.len()] = [const { OnceLock::new() }; Language::ALL.len()];
    READ[language as usize].get_or_init(|| {
        let mut model = Model::default();
        for (_, text) in MODELS {
            // Tests see to it that every model reads.
            if let Ok(document) = document::read(text)
                && document.is_about(language)
            {
                let _ = document.add_to(&mut model);
            }
        }
        model
    })
}

/// Reads everything, and says what is wrong with it.
pub fn problems() -> Vec<String> {
    let mut wrong: Vec<String> = document::rules(RULES).err().into_iter().collect();
    for (name, text) in MODELS {
        let read = document::read(text).and_then(|document| document.add_to(&mut Model::default()));
        wrong.extend(read.err().map(|problem| format!("{name}: {problem}")));
    }
    wrong
}

/// The bit of a rule or fact.
pub(super) fn bit(id: &str) -> Option<Mask> {
    let known = rules().iter().position(|rule| rule.rule.id == id);
    let fact = || Some(rules().len() + FACTS.iter().position(|fact| *fact == id)?);
    known.or_else(fact).map(|index| 1 << index)
}

impl Condition {
    /// Whether it holds for these arguments; `look` finds one, `field` reads a field of one.
    pub(super) fn holds(
        &self,
        look: &dyn Fn(&Which) -> Option<Value>,
        field: &dyn Fn(&Value, &Const) -> Option<Value>,
    ) -> bool {
        let arg = self.arg.iter().find_map(look);
        // Of something that was made elsewhere nobody knows what it lacks.
        let known = self.field.is_none() || arg.as_ref().is_some_and(|arg| !arg.objects.is_empty());
        let value = arg.and_then(|value| match &self.field {
            Some(name) => field(&value, name),
            None => Some(value),
        });
        match (&self.test, value) {
            (Test::Missing, value) => value.is_none() && known,
            (_, None) => false,
            (Test::Is(constant), Some(value)) => value.constant.as_ref() == Some(constant),
            (Test::Matches(regex), Some(value)) => {
                value.as_str().is_some_and(|text| regex.is_match(text))
                    || value.path.as_ref().is_some_and(|path| regex.is_match(&path.text()))
            }
            (Test::Path(table), Some(value)) => {
                value.path.as_ref().is_some_and(|path| table.find(path).next().is_some())
            }
        }
    }
}

/// FNV-1a, as the tokens of a file are hashed.
pub(super) fn word(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Shares a text.
pub(super) fn name(text: &str) -> Name {
    Arc::from(text)
}
