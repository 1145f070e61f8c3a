//! Models as they are written.

use std::collections::{HashMap, HashSet};

use regex::Regex;
use serde::Deserialize;

use super::{
    Check, Condition, Fill, FlowRule, Guard, KINDS, Method, Model, Parameters, Sanitizer, Sink, Source,
    Table, Test, Which, bit, name, word,
};
use crate::analysis::flow::ir::Const;
use crate::analysis::flow::values::Mask;
use crate::analysis::languages::Language;
use crate::analysis::rules::Rule;
use crate::model::{Category, Confidence, Severity};

/// A rule as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    languages: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    severity: Severity,
    confidence: Confidence,
    cwe: Vec<String>,
    owasp: Vec<String>,
    message: String,
    why: String,
    instead: String,
    example: String,
    references: Vec<String>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    replaces: Vec<String>,
}

/// A model as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// None: all of them.
    #[serde(default)]
    languages: Vec<String>,
    /// Words of which a file must have one to be looked at for the sake of this model.
    #[serde(default)]
    words: Vec<String>,
    /// The same, for data that comes from outside: files that use such a file are looked at, too.
    #[serde(default)]
    outside: Vec<String>,
    #[serde(default)]
    sources: Vec<SourceText>,
    #[serde(default)]
    parameters: Vec<ParametersText>,
    #[serde(default)]
    sinks: Vec<SinkText>,
    /// Objects that nothing should be put into.
    #[serde(default)]
    stores: Vec<SinkText>,
    /// Decorators of functions whose result goes out.
    #[serde(default)]
    returns: Vec<SinkText>,
    /// Variables and keys whose values should not come from this.
    #[serde(default)]
    named: Vec<NamedText>,
    #[serde(default)]
    checks: Vec<SinkText>,
    #[serde(default)]
    sanitizers: Vec<SanitizerText>,
    #[serde(default)]
    replacing: Vec<SanitizerText>,
    #[serde(default)]
    propagators: Vec<String>,
    #[serde(default)]
    mutators: Vec<String>,
    #[serde(default)]
    itself: Vec<String>,
    #[serde(default)]
    maps_over: Vec<String>,
    /// Calls that write into one of their arguments.
    #[serde(default)]
    fills: Vec<FillText>,
    #[serde(default)]
    guards: Vec<GuardText>,
    #[serde(default)]
    containing: Vec<SanitizerText>,
    #[serde(default)]
    allow_lists: Vec<SanitizerText>,
    #[serde(default)]
    lists: Vec<String>,
    #[serde(default)]
    maps: Vec<String>,
    #[serde(default)]
    methods: HashMap<Method, Vec<String>>,
    #[serde(default)]
    gives: HashMap<String, String>,
    #[serde(default)]
    globals: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceText {
    at: Vec<String>,
    #[serde(default)]
    kind: Option<String>,
    says: String,
    /// The rules that its data is harmless for.
    #[serde(default)]
    clears: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParametersText {
    #[serde(default)]
    named: Vec<String>,
    #[serde(default)]
    marked: Vec<String>,
    #[serde(default)]
    decorated: Vec<String>,
    becomes: Option<String>,
    says: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SinkText {
    rule: String,
    at: Vec<String>,
    #[serde(default)]
    args: Vec<WhichText>,
    #[serde(default)]
    shallow: bool,
    #[serde(default)]
    when: Vec<ConditionText>,
    #[serde(default)]
    unless: Vec<ConditionText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedText {
    rule: String,
    matches: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WhichText {
    At(usize),
    Word(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ConstText {
    Bool(bool),
    Int(i64),
    Str(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConditionText {
    /// One argument, by any of these names or places.
    arg: Vec<WhichText>,
    field: Option<ConstText>,
    is: Option<ConstText>,
    matches: Option<String>,
    path: Option<Vec<String>>,
    missing: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SanitizerText {
    #[serde(default)]
    at: Vec<String>,
    /// Instead of paths: functions with such a name.
    named: Option<String>,
    /// None: everything.
    #[serde(default)]
    clears: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FillText {
    at: Vec<String>,
    into: usize,
    #[serde(default)]
    from: Vec<WhichText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardText {
    at: Vec<String>,
    arg: WhichText,
    #[serde(default = "yes")]
    on: bool,
    #[serde(default)]
    clears: Vec<String>,
    #[serde(default)]
    requires: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// Reads the rules, a document each.
pub(super) fn rules(text: &str) -> Result<Vec<FlowRule>, String> {
    let mut rules = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let read = RuleText::deserialize(document).map_err(|error| format!("rules: {error}"))?;
        let languages = languages(&read.languages)?;
        let kinds = read.kinds.iter().map(|kind| kind_of(kind)).collect::<Result<_, _>>()?;
        let rule = Rule {
            id: read.id,
            languages,
            category: Category::Security,
            severity: read.severity,
            confidence: read.confidence,
            cwe: read.cwe,
            owasp: read.owasp,
            message: read.message,
            why: read.why,
            instead: read.instead,
            example: read.example,
            references: read.references,
            aliases: read.aliases,
            fix: None,
            builtin: true,
            files: None,
            ignores: None,
            in_tests: true,
        };
        rules.push(FlowRule { rule, kinds, mask: 1 << rules.len(), replaces: read.replaces });
    }
    Ok(rules)
}

/// Reads a model.
pub(super) fn read(text: &str) -> Result<Document, String> {
    serde_yaml_ng::from_str(text).map_err(|error| error.to_string())
}

impl Document {
    pub(super) fn is_about(&self, language: Language) -> bool {
        let named = |name: &String| Language::from_name(name) == Some(language);
        self.languages.is_empty() || self.languages.iter().any(named)
    }

    /// Adds what it says.
    pub(super) fn add_to(&self, model: &mut Model) -> Result<(), String> {
        languages(&self.languages)?;
        model.words.extend(self.words.iter().chain(&self.outside).map(|text| word(text)));
        model.outside.extend(self.outside.iter().map(|text| word(text)));
        for source in &self.sources {
            let kind = kind_of(source.kind.as_deref().unwrap_or(KINDS[0]))?;
            let clears = if source.clears.is_empty() { 0 } else { mask(&source.clears)? };
            model.sources.add(&source.at, Source { kind, says: name(&source.says), clears })?;
        }
        for text in &self.parameters {
            model.parameters.push(text.read()?);
        }
        for (texts, table) in [
            (&self.sinks, &mut model.sinks),
            (&self.stores, &mut model.stores),
            (&self.returns, &mut model.returns),
        ] {
            for text in texts {
                table.add(&text.at, text.sink()?)?;
            }
        }
        for text in &self.checks {
            let sink = text.sink()?;
            let check = Check { rule: sink.rule, when: sink.when, unless: sink.unless };
            model.checks.add(&text.at, check)?;
        }
        for text in &self.named {
            model.named.push((regex(&text.matches)?, rule_index(&text.rule)?));
        }
        self.add_calls(model)?;
        let containers = &mut model.containers;
        containers.lists.extend(self.lists.iter().cloned());
        containers.maps.extend(self.maps.iter().cloned());
        for (method, names) in &self.methods {
            containers.methods.extend(names.iter().map(|name| (name.clone(), *method)));
        }
        for (pattern, given) in &self.gives {
            model.gives.add(std::slice::from_ref(pattern), name(given))?;
        }
        model.globals.extend(self.globals.iter().map(|(from, to)| (from.clone(), name(to))));
        Ok(())
    }

    fn add_calls(&self, model: &mut Model) -> Result<(), String> {
        for text in &self.sanitizers {
            let clears = mask(&text.clears)?;
            if let Some(pattern) = &text.named {
                model.sanitizer_names.push((regex(pattern)?, clears));
            }
            if !text.at.is_empty() {
                model.sanitizers.add(&text.at, Sanitizer { clears })?;
            }
        }
        for text in &self.replacing {
            let clears = mask(&text.clears)?;
            model.replacing.extend(text.at.iter().map(|text| (text.clone(), clears)));
        }
        for text in &self.containing {
            let clears = mask(&text.clears)?;
            model.containing.extend(text.at.iter().map(|text| (text.clone(), clears)));
        }
        for text in &self.allow_lists {
            let names: HashSet<String> = text.at.iter().cloned().collect();
            model.allow_lists.push((names, mask(&text.clears)?));
        }
        if !self.propagators.is_empty() {
            model.propagators.add(&self.propagators, ())?;
        }
        model.mutators.extend(self.mutators.iter().cloned());
        model.itself.extend(self.itself.iter().cloned());
        model.maps_over.extend(self.maps_over.iter().cloned());
        for text in &self.fills {
            let from = text.from.iter().map(WhichText::read).collect::<Result<_, _>>()?;
            model.fills.add(&text.at, Fill { into: text.into, from })?;
        }
        for text in &self.guards {
            let guard = Guard {
                arg: text.arg.read()?,
                on: text.on,
                clears: mask(&text.clears)?,
                requires: if text.requires.is_empty() { 0 } else { mask(&text.requires)? },
            };
            model.guards.add(&text.at, guard)?;
        }
        Ok(())
    }
}

impl ParametersText {
    fn read(&self) -> Result<Parameters, String> {
        let decorated = match self.decorated.as_slice() {
            [] => None,
            patterns => Some(table(patterns)?),
        };
        let source = self.says.as_ref().map(|says| Source { kind: 0, says: name(says), clears: 0 });
        if source.is_none() == self.becomes.is_none() {
            return Err("a parameter either `becomes` something or `says` what it is".to_owned());
        }
        Ok(Parameters {
            named: self.named.iter().cloned().collect(),
            marked: self.marked.iter().cloned().collect(),
            decorated,
            becomes: self.becomes.as_deref().map(name),
            source,
        })
    }
}

impl SinkText {
    fn sink(&self) -> Result<Sink, String> {
        let conditions =
            |texts: &[ConditionText]| texts.iter().map(ConditionText::read).collect::<Result<Vec<_>, _>>();
        Ok(Sink {
            rule: rule_index(&self.rule)?,
            args: self.args.iter().map(WhichText::read).collect::<Result<_, _>>()?,
            deep: !self.shallow,
            when: conditions(&self.when)?,
            unless: conditions(&self.unless)?,
        })
    }
}

impl ConditionText {
    fn read(&self) -> Result<Condition, String> {
        let test = match (&self.is, &self.matches, &self.path, self.missing) {
            (Some(constant), None, None, None) => Test::Is(constant.read()),
            (None, Some(pattern), None, None) => Test::Matches(regex(pattern)?),
            (None, None, Some(patterns), None) => Test::Path(table(patterns)?),
            (None, None, None, Some(true)) => Test::Missing,
            _ => return Err("a condition has one of `is`, `matches`, `path`, `missing: true`".to_owned()),
        };
        let arg = self.arg.iter().map(WhichText::read).collect::<Result<_, _>>()?;
        Ok(Condition { arg, field: self.field.as_ref().map(ConstText::read), test })
    }
}

impl WhichText {
    fn read(&self) -> Result<Which, String> {
        Ok(match self {
            Self::At(index) => Which::At(*index),
            Self::Word(word) if word == "receiver" => Which::Receiver,
            Self::Word(word) if word == "all" => Which::From(0),
            Self::Word(word) => match word.strip_suffix("..") {
                Some(from) => Which::From(from.parse().map_err(|_| format!("`{word}` is no place"))?),
                None => Which::Named(word.clone()),
            },
        })
    }
}

impl ConstText {
    fn read(&self) -> Const {
        match self {
            Self::Bool(bool) => Const::Bool(*bool),
            Self::Int(int) => Const::Int(*int),
            Self::Str(text) => Const::text(text.as_str()),
        }
    }
}

fn table(patterns: &[String]) -> Result<Table<()>, String> {
    let mut table = Table::default();
    table.add(patterns, ())?;
    Ok(table)
}

fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| error.to_string())
}

fn languages(names: &[String]) -> Result<Vec<Language>, String> {
    names.iter().map(|n| Language::from_name(n).ok_or_else(|| format!("unknown language `{n}`"))).collect()
}

fn kind_of(kind: &str) -> Result<u8, String> {
    (0..)
        .zip(KINDS)
        .find(|(_, known)| *known == kind)
        .map(|(at, _)| at)
        .ok_or_else(|| format!("no kind `{kind}`"))
}

fn rule_index(id: &str) -> Result<usize, String> {
    super::rules().iter().position(|rule| rule.rule.id == id).ok_or_else(|| format!("no rule `{id}`"))
}

/// The bits of rules and facts; of all if none is named.
fn mask(ids: &[String]) -> Result<Mask, String> {
    if ids.is_empty() {
        return Ok(Mask::MAX);
    }
    ids.iter().try_fold(0, |mask, id| Ok(mask | bit(id).ok_or_else(|| format!("no rule or fact `{id}`"))?))
}
