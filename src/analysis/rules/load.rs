//! YAML documents to rules, and every way in which that can go wrong, with its line.

use std::collections::HashMap;
use std::error::Error as _;

use ast_grep_config::{
    DeserializeEnv, GlobalRules, RuleCore, SerializableRule, SerializableRuleCore, Transformation, from_str,
};
use ast_grep_core::Matcher as _;
use ast_grep_core::replacer::TemplateFix;
use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::needs::{self, Needs};
use super::{Fix, Rule};
use crate::analysis::languages::Language;
use crate::model::{Category, Confidence, Severity};

/// Why a rule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}line {line}: {reason}", id.as_ref().map(|id| format!("rule `{id}`, ")).unwrap_or_default())]
pub struct BadRule {
    /// Its id, if it got as far as having one.
    pub id: Option<String>,
    /// The line of the document, from 1.
    pub line: usize,
    /// What is wrong, in a sentence.
    pub reason: String,
}

/// A rule that was read and not yet compiled.
pub struct Definition {
    /// What it says.
    pub rule: Rule,
    core: SerializableRuleCore,
    /// The lines that its pattern and its fix start on.
    line: usize,
    fix_line: usize,
}

impl Definition {
    /// Turns the rule down for a reason that has to do with other rules.
    pub fn refuse(&self, reason: &str) -> BadRule {
        BadRule { id: Some(self.rule.id.clone()), line: self.line, reason: reason.to_owned() }
    }
}

/// A rule as it is written: `ast-grep`'s keys, and ours for the texts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    id: String,
    language: Option<String>,
    #[serde(default)]
    languages: Vec<String>,
    message: String,
    #[serde(default = "Level::info")]
    severity: Level,
    category: Option<Category>,
    confidence: Option<Confidence>,
    #[serde(default)]
    cwe: Vec<String>,
    #[serde(default)]
    owasp: Vec<String>,
    #[serde(default)]
    why: String,
    #[serde(default)]
    instead: String,
    #[serde(default)]
    example: String,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    note: Option<String>,
    url: Option<String>,
    fix: Option<String>,
    files: Option<Vec<String>>,
    ignores: Option<Vec<String>>,
    in_tests: Option<bool>,
    rule: SerializableRule,
    constraints: Option<HashMap<String, SerializableRule>>,
    utils: Option<HashMap<String, SerializableRule>>,
    transform: Option<HashMap<String, Transformation>>,
    /// Whatever else the author keeps there.
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
}

/// A severity by our name or by `ast-grep`'s.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Critical,
    #[serde(alias = "error")]
    High,
    #[serde(alias = "warning")]
    Medium,
    Low,
    #[serde(alias = "hint")]
    Info,
    Off,
}

impl Level {
    const fn info() -> Self {
        Self::Info
    }

    const fn severity(&self) -> Option<Severity> {
        match self {
            Self::Critical => Some(Severity::Critical),
            Self::High => Some(Severity::High),
            Self::Medium => Some(Severity::Medium),
            Self::Low => Some(Severity::Low),
            Self::Info => Some(Severity::Info),
            Self::Off => None,
        }
    }
}

/// Reads the rules of a YAML text, which may hold several documents. Rules that are off are left out.
pub fn read(yaml: &str, builtin: bool) -> Result<Vec<Definition>, BadRule> {
    let mut definitions = Vec::new();
    for (offset, document) in documents(yaml) {
        if let Some(definition) = read_document(document, offset, builtin)? {
            definitions.push(definition);
        }
    }
    Ok(definitions)
}

/// Makes a rule ready for one of its languages, with what it needs to match.
pub fn compile(definition: &Definition, language: Language) -> Result<(RuleCore, Needs), BadRule> {
    let bad = |reason: String| BadRule {
        id: Some(definition.rule.id.clone()),
        line: definition.line,
        reason: format!("{reason} ({language})"),
    };
    let globals = GlobalRules::default();
    let env = DeserializeEnv::new(language.entry().grammar).with_globals(&globals);
    let matcher = definition.core.get_matcher(env).map_err(|error| {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{} {cause}", reason.trim_end_matches('.'));
            source = cause.source();
        }
        bad(reason)
    })?;
    if matcher.potential_kinds().is_none() {
        return Err(bad("it would have to look at every node: add a `kind` or a `pattern`".to_owned()));
    }
    if let Some(Fix { template, made }) = &definition.rule.fix {
        let template = TemplateFix::with_transform(template, &language.entry().grammar, made);
        let known = matcher.defined_vars();
        if let Some(name) = template.used_vars().into_iter().find(|name| !known.contains(name)) {
            let line = definition.fix_line;
            return Err(BadRule { line, ..bad(format!("`fix` names ${name}, which nothing catches")) });
        }
    }
    Ok((matcher, needs::of(&definition.core, language.entry().grammar)))
}

fn read_document(yaml: &str, offset: usize, builtin: bool) -> Result<Option<Definition>, BadRule> {
    let document: Document = from_str(yaml).map_err(|error| BadRule {
        id: None,
        line: offset + error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1)).max(1),
        reason: plain(&error.without_snippet().to_string()),
    })?;
    let id = document.id.clone();
    let bad = |key: &str, reason: String| BadRule {
        id: Some(id.clone()),
        line: offset + line_of(yaml, key),
        reason,
    };
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)) {
        return Err(bad("id", "an id is made of letters, digits, `-`, `_`, `.` and `/`".to_owned()));
    }
    let languages = languages(&document).map_err(|reason| bad("language", reason))?;
    if languages.is_empty() {
        return Err(bad("id", "it names no `language`".to_owned()));
    }
    let files = document.files.as_deref().map(globs).transpose().map_err(|e| bad("files", e))?;
    let ignores = document.ignores.as_deref().map(globs).transpose().map_err(|e| bad("ignores", e))?;
    let made = document.transform.iter().flat_map(HashMap::keys).cloned().collect();
    let Some(severity) = document.severity.severity() else { return Ok(None) };
    let rule = Rule {
        id,
        languages,
        category: document.category.unwrap_or(Category::Smell),
        severity,
        confidence: document.confidence.unwrap_or(Confidence::Medium),
        cwe: document.cwe,
        owasp: document.owasp,
        message: document.message,
        why: if document.why.is_empty() { document.note.unwrap_or_default() } else { document.why },
        instead: document.instead,
        example: document.example,
        references: document.references.into_iter().chain(document.url).collect(),
        aliases: document.aliases,
        fix: document.fix.map(|template| Fix { template, made }),
        builtin,
        files,
        ignores,
        in_tests: document.in_tests.unwrap_or(!builtin),
    };
    let core = SerializableRuleCore {
        rule: document.rule,
        constraints: document.constraints,
        utils: document.utils,
        transform: document.transform,
    };
    Ok(Some(Definition {
        rule,
        core,
        line: offset + line_of(yaml, "rule"),
        fix_line: offset + line_of(yaml, "fix"),
    }))
}

/// The languages that a rule names, or what is wrong with them.
fn languages(document: &Document) -> Result<Vec<Language>, String> {
    let known = || Language::ALL.map(Language::name).join(", ");
    let named = document.language.iter().chain(&document.languages).map(|name| {
        Language::from_name(name).ok_or_else(|| format!("unknown language `{name}`; known are {}", known()))
    });
    named.collect()
}

/// The documents of a YAML stream, each with the number of lines before it.
fn documents(yaml: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 0, 0);
    for (number, line) in yaml.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" {
            documents.push((start_line, &yaml[start..at]));
            (start, start_line) = (at + line.len(), number + 1);
        }
        at += line.len();
    }
    documents.push((start_line, &yaml[start..]));
    documents.retain(|(_, text)| {
        text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    });
    documents
}

/// The line, from 1, on which a key of the top level stands.
fn line_of(yaml: &str, key: &str) -> usize {
    let found =
        yaml.lines().position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with([':', 's'])));
    found.map_or(1, |index| index + 1)
}

/// An error message without the position it repeats.
fn plain(message: &str) -> String {
    let text = message.lines().next().unwrap_or(message).trim();
    text.strip_prefix("error: ").unwrap_or(text).to_owned()
}

fn globs(patterns: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| error.to_string())?);
    }
    set.build().map_err(|error| error.to_string())
}
