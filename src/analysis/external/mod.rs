//! What other analyzers say, taken in as findings of the same form.
//!
//! Which tools there are and how their output is read stands in one table ([`TOOLS`]); running them is somebody
//! else's business. `apply` puts what they found among the findings of the files: what a rule of ours or another
//! tool has said already is not said twice, and comments suppress these findings as they do ours.

mod formats;
mod sarif;
mod tools;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::Options;
use super::file::{FileAnalysis, Places, marked_lines};
use super::fingerprint;
use super::languages::{Content, FileKind, classify};
use super::metrics::{self, Walk};
use super::parse::parse;
use super::rules;
use super::secrets;
use super::suppressions::{self, Named};
use crate::model::{Category, Confidence, Finding, Fingerprints, Origin, Severity, SourceFile};

pub use tools::{Output, SARIF, TOOLS, Tool, When, tool};

/// Something that a tool says about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The file, as the tool writes it.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1 and in characters; 0 if the whole line is meant.
    pub column: usize,
    /// The line it ends on; 0 if the tool does not say.
    pub end_line: usize,
    /// The column just behind it; 0 if the tool does not say.
    pub end_column: usize,
    /// The tool's own name of the rule.
    pub rule: String,
    /// What it says.
    pub message: String,
    /// What kind of problem it is.
    pub category: Category,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the tool is.
    pub confidence: Confidence,
    /// Weakness ids, where the tool states them.
    pub cwe: Vec<String>,
    /// Where to read more.
    pub url: Option<String>,
    /// What to do, in words, if the tool says it.
    pub fix: String,
}

/// An external analyzer that was asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Analyzer {
    /// Its name, for example `ruff`.
    pub name: String,
    /// How it went.
    pub state: AnalyzerState,
    /// Its version, as it tells it.
    pub version: Option<String>,
    /// Whether it checks types.
    pub checks_types: bool,
    /// How many places it reported, those that others reported too included.
    pub findings: usize,
    /// Why it did not run, or what it complained of.
    pub detail: String,
}

/// How the run of an external analyzer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnalyzerState {
    /// It ran to its end.
    Ran,
    /// It ran, and failed or took too long.
    Failed,
    /// It is not there.
    NotInstalled,
    /// There is nothing here that it looks at.
    NotApplicable,
}

impl AnalyzerState {
    /// The state in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Failed => "failed",
            Self::NotInstalled => "not installed",
            Self::NotApplicable => "nothing to look at",
        }
    }
}

/// One analyzer and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How it went.
    pub analyzer: Analyzer,
    /// What it found; the paths are relative to the root of the source.
    pub hits: Vec<Hit>,
}

/// Puts what the tools found among the findings of the files, which are in the same order as their analyses.
pub(super) fn apply(analyses: &mut [FileAnalysis], files: &[&SourceFile], options: &Options) {
    let mut by_path = BTreeMap::<&str, Vec<(&str, &Hit)>>::new();
    for run in &options.external {
        for hit in &run.hits {
            by_path.entry(&hit.path).or_default().push((&run.analyzer.name, hit));
        }
    }
    if by_path.is_empty() {
        return;
    }
    let aliases: HashMap<String, Vec<String>> =
        rules::catalogue().into_iter().map(|rule| (rule.id, rule.aliases)).collect();
    for (analysis, file) in analyses.iter_mut().zip(files) {
        if let Some(hits) = by_path.get(file.path.as_str()) {
            take(analysis, file, hits, &aliases, options);
        }
    }
}

/// Takes the hits of one file in.
fn take(
    analysis: &mut FileAnalysis,
    file: &SourceFile,
    hits: &[(&str, &Hit)],
    aliases: &HashMap<String, Vec<String>>,
    options: &Options,
) {
    let Content::Text(text) = Content::read(&file.content) else { return };
    let kind = classify(&file.path, &text);
    let is_code = matches!(kind, FileKind::Code(_));
    if is_code && !analysis.metrics.as_ref().is_some_and(|metrics| metrics.analysed) {
        return;
    }
    let walk = match kind {
        FileKind::Code(language) => {
            let code = language.entry().code(&text);
            parse(&code, language, &|| false)
                .map_or_else(|_| Walk::default(), |tree| metrics::walk(&tree, &code, language, &[]).0)
        }
        FileKind::Text(_) => Walk::default(),
    };
    let comments = if walk.tokens.is_empty() { marked_lines(&text) } else { walk.comments.clone() };
    let named = Reader::new(file, &text, &walk, options).findings(hits);
    let mut fresh = Vec::new();
    for (named, code) in named {
        let known =
            analysis.findings.iter_mut().find(|known| says_the_same(known, &named.finding, &code, aliases));
        if let Some(known) = known {
            known.also.push(named.finding.rule);
            known.also.sort();
            known.also.dedup();
            continue;
        }
        let hidden =
            |known: &suppressions::Suppressed| says_the_same(&known.finding, &named.finding, &code, aliases);
        if !analysis.suppressed.iter().any(hidden) {
            fresh.push(named);
        }
    }
    let outcome = suppressions::apply(fresh, &file.path, &text, &comments, options.today);
    analysis.unused_suppressions.retain(|unused| outcome.unused.contains(unused));
    for finding in outcome.kept {
        join(&mut analysis.findings, finding, aliases);
    }
    analysis.findings.sort_by(|a, b| (&a.region, &a.rule).cmp(&(&b.region, &b.rule)));
    analysis.suppressed.extend(outcome.suppressed);
}

/// Adds a finding of a tool, unless another tool has said the same by now.
fn join(findings: &mut Vec<Finding>, finding: Finding, aliases: &HashMap<String, Vec<String>>) {
    let code = finding.rule.split_once('/').map_or("", |(_, code)| code).to_owned();
    match findings.iter_mut().find(|known| says_the_same(known, &finding, &code, aliases)) {
        Some(known) => known.also.push(finding.rule),
        None => findings.push(finding),
    }
}

/// Whether a finding is about the same problem as one of another origin: on the same line, and by a rule that is
/// known to be the same or with a weakness in common.
fn says_the_same(
    known: &Finding,
    other: &Finding,
    code: &str,
    aliases: &HashMap<String, Vec<String>>,
) -> bool {
    if known.origin == other.origin || known.region.line != other.region.line {
        return false;
    }
    let own = known.rule.split_once('/').map_or(known.rule.as_str(), |(_, code)| code);
    let named = aliases
        .get(&known.rule)
        .is_some_and(|names| names.iter().any(|name| name.eq_ignore_ascii_case(code)));
    named
        || plain_code(own) == plain_code(code)
        || (known.category == other.category && known.cwe.iter().any(|cwe| other.cwe.contains(cwe)))
}

/// Ruff calls bandit's B602 S602.
fn plain_code(code: &str) -> &str {
    match code.strip_prefix(['S', 'B']) {
        Some(digits) if digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()) => digits,
        _ => code,
    }
}

/// Turns hits of one file into findings.
struct Reader<'t> {
    path: &'t str,
    text: &'t str,
    walk: &'t Walk,
    options: &'t Options,
    hashes: Vec<String>,
}

impl<'t> Reader<'t> {
    fn new(file: &'t SourceFile, text: &'t str, walk: &'t Walk, options: &'t Options) -> Self {
        Self { path: &file.path, text, walk, options, hashes: fingerprint::line_hashes(text) }
    }

    /// The findings, each with the tool's name of its rule.
    fn findings(&self, hits: &[(&str, &Hit)]) -> Vec<(Named, String)> {
        let searched = secrets::search(self.path, self.text, self.options.fingerprint_key.as_deref());
        let masked = searched.masked(self.text);
        let places = Places::new(masked.as_deref().unwrap_or(self.text));
        let mut ordinals = HashMap::new();
        let mut findings = Vec::new();
        for (tool, hit) in hits {
            let rule = format!("{tool}/{}", hit.rule);
            if self.options.disabled_rules.contains(&rule) {
                continue;
            }
            let range = places.range((hit.line, hit.column), (hit.end_line, hit.end_column));
            let tokens = match self.walk.tokens_in(&range, self.text) {
                tokens if tokens.is_empty() => places.line_of(range.start).split_whitespace().collect(),
                tokens => tokens,
            };
            let region = places.region(self.path, &range);
            let symbol = self.walk.symbol_at(range.start).to_owned();
            let ordinal = ordinals.entry((rule.clone(), symbol.clone(), tokens.clone())).or_insert(0_usize);
            let fingerprints = Fingerprints {
                primary_location_line_hash: self.hashes.get(region.line - 1).cloned().unwrap_or_default(),
                stable: fingerprint::stable(&rule, &symbol, &tokens, *ordinal),
            };
            *ordinal += 1;
            let message = if searched.touches(&range) {
                // Some tools repeat the secret that they have found.
                format!("{tool} reports {} for a line with a secret", hit.rule)
            } else {
                hit.message.clone()
            };
            let finding = Finding {
                rule,
                category: hit.category,
                severity: hit.severity,
                confidence: hit.confidence,
                cwe: hit.cwe.clone(),
                owasp: Vec::new(),
                message,
                why: hit.url.as_ref().map(|url| format!("{tool} explains it at {url}")).unwrap_or_default(),
                fix: hit.fix.clone(),
                replacement: None,
                region,
                symbol,
                fingerprints,
                origin: Origin::External { tool: (*tool).to_owned() },
                also: Vec::new(),
                flow: Vec::new(),
                state: None,
            };
            findings.push((Named { finding, aliases: vec![hit.rule.clone()] }, hit.rule.clone()));
        }
        findings
    }
}
