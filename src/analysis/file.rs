//! Everything that can be said about one file without knowing the others.

use ast_grep_core::AstGrep;
use ast_grep_core::tree_sitter::StrDoc;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::checks;
use super::coverage::{self, Imported};
use super::duplicates::Stream;
use super::fingerprint;
use super::flow::{self, FileFlows, Part};
use super::languages::{Content, FileKind, Language, classify};
use super::limits;
use super::memory::{Key, Recalled};
use super::metrics::{self, FileMetrics, Lines, Walk};
use super::parse::{NoTree, parse};
use super::rules::{self, Compiled, Match};
use super::secrets::{self, Searched};
use super::suppressions::{self, Named, Suppressed, Suppression};
use super::technologies::{self, Dependency};
use super::trace;
use super::{Error, Options};
use crate::model::{Finding, Fingerprints, Origin, Region, Skipped, SourceFile};

/// What one file contributes to the report.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct FileAnalysis {
    /// None for binary files.
    pub(super) metrics: Option<FileMetrics>,
    pub(super) findings: Vec<Finding>,
    pub(super) suppressed: Vec<Suppressed>,
    pub(super) unused_suppressions: Vec<Suppression>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) dependencies: Vec<Dependency>,
    /// A tool that the file belongs to.
    pub(super) tool: Option<String>,
    /// What the file says about coverage, if it is a report of that.
    pub(super) coverage: Option<Imported>,
    /// The last day on which it is so: the day after, a suppression has expired.
    pub(super) holds_until: Option<NaiveDate>,
    /// For the comparison with other files.
    pub(super) stream: Stream,
}

/// The user's own rules, ready for each language; empty if there are none.
#[derive(Default)]
pub(super) struct CustomRules {
    by_language: Vec<Compiled>,
}

/// Larger files are counted and not analysed.
const LARGEST_FILE: usize = 5_000_000;
/// Patterns that look upwards and downwards get slow in trees deeper than this.
const DEEPEST_TREE: usize = 1_000;
/// Lines of a snippet, and characters of each of its lines.
const SNIPPET_LINES: usize = 6;
const SNIPPET_WIDTH: usize = 200;

/// Directories that hold other people's code.
const VENDORED: &[&str] = &[
    "node_modules",
    "bower_components",
    "vendor",
    "third_party",
    "third-party",
    "site-packages",
    "dist-packages",
    ".venv",
    ".tox",
    ".git",
];

impl CustomRules {
    /// Compiles the rules of the options, or says what is wrong with the first bad one.
    pub(super) fn compile(options: &Options) -> Result<Self, Error> {
        if options.rules.is_empty() {
            return Ok(Self::default());
        }
        let mut by_language: Vec<Compiled> = Language::ALL.iter().map(|_| Compiled::default()).collect();
        let mut ids: Vec<String> = rules::catalogue().into_iter().map(|rule| rule.id).collect();
        for (document, yaml) in options.rules.iter().enumerate() {
            let bad = |bad| Error::BadRule { document, bad };
            for definition in rules::read(yaml, false).map_err(bad)? {
                if ids.contains(&definition.rule.id) {
                    return Err(bad(definition.refuse("another rule has this id")));
                }
                ids.push(definition.rule.id.clone());
                for &language in &definition.rule.languages {
                    let matcher = rules::compile(&definition, language).map_err(bad)?;
                    by_language[language as usize].push(definition.rule.clone(), matcher);
                }
            }
        }
        Ok(Self { by_language })
    }
}

/// A file that was looked at by itself. Its findings are made when the flows through all files are known.
#[derive(Default)]
pub(super) struct Examined<'r> {
    analysis: FileAnalysis,
    walk: Walk,
    matches: Vec<Match<'r>>,
    /// What it brings to the analysis of flows.
    pub(super) part: Part,
    /// What was found in it with the flows of this print, if that is remembered: all that is above is empty then.
    pub(super) known: Option<(Key, FileAnalysis)>,
}

impl From<Recalled> for Examined<'_> {
    fn from(Recalled { part, flows, analysis }: Recalled) -> Self {
        Self { part, known: Some((flows, analysis)), ..Self::default() }
    }
}

/// Looks at one file. The only error is that it was asked to stop.
pub(super) fn examine<'r>(
    (index, file): (usize, &SourceFile),
    options: &Options,
    custom: &'r CustomRules,
    stopped: &dyn Fn() -> bool,
) -> Result<Examined<'r>, Error> {
    let counted = |analysis| Ok(Examined { analysis, ..Examined::default() });
    let (text, unwritten) = match Content::read(&file.content) {
        Content::Binary => return counted(FileAnalysis::default().noting(file, "binary")),
        Content::Text(text) => (text, None),
        Content::Uncharted(text, reason) => (text, Some(reason)),
    };
    let mut examined = match classify(&file.path, &text) {
        FileKind::Text(name) => counted(FileAnalysis::counted(file, name, &text)),
        FileKind::Code(language) => match unwritten.or_else(|| left_out(file, language, options)) {
            Some(reason) => counted(FileAnalysis::counted(file, language.name(), &text).noting(file, reason)),
            None => look((index, file), &text, language, custom, stopped),
        },
    }?;
    examined.analysis = examined.analysis.with_manifest(file, &text).with_coverage(file, &text);
    Ok(examined)
}

/// Makes the findings of a file that was looked at; `flows` are those that end in it.
pub(super) fn finish(
    index: usize,
    files: &[&SourceFile],
    examined: Examined<'_>,
    flows: FileFlows,
    options: &Options,
) -> FileAnalysis {
    let file = files[index];
    let Examined { mut analysis, walk, mut matches, .. } = examined;
    let (Content::Text(text) | Content::Uncharted(text, _)) = Content::read(&file.content) else {
        return analysis;
    };
    matches.extend(limits::exceeded(&walk, &text, &options.thresholds));
    let is_test = rules::is_test_code(&file.path);
    matches.retain(|found| {
        (found.rule.in_tests || !is_test) && !flows.replaces(&found.rule.id, &options.disabled_rules)
    });
    trace::add(&mut matches, flows.found, files, options);
    let searched = secrets::search(&file.path, &text, options.fingerprint_key.as_deref());
    let findings = findings(&text, &file.path, &walk, matches, searched, options);
    let marked = if walk.tokens.is_empty() { Some(marked_lines(&text)) } else { None };
    let comments = marked.as_deref().unwrap_or(&walk.comments);
    let outcome = suppressions::apply(findings, &file.path, &text, comments, options.today);
    analysis.findings = outcome.kept;
    analysis.suppressed = outcome.suppressed;
    analysis.unused_suppressions = outcome.unused;
    analysis.holds_until = outcome.holds_until;
    analysis.stream = Stream::of(&walk.tokens);
    if flows.cut {
        analysis.noting(file, "data flow: followed only in part, it takes too long")
    } else {
        analysis
    }
}

/// Parses a file of code, measures it and tries the rules.
fn look<'r>(
    (index, file): (usize, &SourceFile),
    text: &str,
    language: Language,
    custom: &'r CustomRules,
    stopped: &dyn Fn() -> bool,
) -> Result<Examined<'r>, Error> {
    let code = language.entry().code(text);
    let tree = match parse(&code, language, stopped) {
        Ok(tree) => tree,
        Err(NoTree::Stopped) => return Err(Error::Stopped),
        Err(NoTree::TooHard) => {
            let counted = FileAnalysis::counted(file, language.name(), text);
            let reason = "not parsed: its syntax takes too long for its size";
            return Ok(Examined { analysis: counted.noting(file, reason), ..Examined::default() });
        }
    };
    let mut sets = vec![rules::builtin(language)];
    sets.extend(custom.by_language.get(language as usize));
    let doc = StrDoc { src: code.into_owned(), lang: language.entry().grammar, tree };
    let root = AstGrep::doc(doc);
    let top = root.root();
    let (tree, code) = (&top.get_doc().tree, &top.get_doc().src);
    let (walk, nodes) = metrics::walk(tree, code, language, &wanted(language, &sets));
    let analysis = FileAnalysis::measured(file, language, &walk);
    if walk.depth > DEEPEST_TREE {
        let reason = "measured, but not checked against the rules: nested too deeply";
        return Ok(Examined { analysis: analysis.noting(file, reason), walk, ..Examined::default() });
    }
    let mut matches = checks::run(&nodes, code, language);
    let part = flow::part(tree, code, language, &file.path, index, &walk.tokens);
    matches.extend(rules::scan(&root, &nodes, &file.path, &sets, stopped));
    if stopped() { Err(Error::Stopped) } else { Ok(Examined { analysis, walk, matches, part, known: None }) }
}

/// The kinds of node that somebody looks at.
fn wanted(language: Language, sets: &[&Compiled]) -> Vec<bool> {
    let mut wanted = rules::kinds(sets);
    for (kind, looked_at) in checks::kinds(language).enumerate() {
        match wanted.get_mut(kind) {
            Some(wanted) => *wanted |= looked_at,
            None => wanted.push(looked_at),
        }
    }
    wanted
}

/// Where a suppression may stand in a text without a grammar: on any line.
pub(super) fn marked_lines(text: &str) -> Vec<std::ops::Range<usize>> {
    let marks = text.match_indices("codeyard: ignore");
    marks.map(|(at, _)| at..text[at..].find('\n').map_or(text.len(), |end| at + end)).collect()
}

/// Why a file of code is not analysed, if it is not.
fn left_out(file: &SourceFile, language: Language, options: &Options) -> Option<&'static str> {
    if options.languages.as_ref().is_some_and(|wanted| !wanted.contains(&language)) {
        return Some("counted only: its language was not asked for");
    }
    if file.path.split('/').any(|part| VENDORED.contains(&part)) {
        return Some("vendored: it stands in a directory for other people's code");
    }
    (file.content.len() > LARGEST_FILE).then_some("counted only: larger than 5000000 bytes")
}

impl FileAnalysis {
    /// A file whose lines are counted and no more.
    fn counted(file: &SourceFile, language: &str, text: &str) -> Self {
        let metrics = FileMetrics {
            path: file.path.clone(),
            language: language.to_owned(),
            bytes: file.content.len(),
            lines: Lines::of_text(text),
            ..FileMetrics::default()
        };
        Self { metrics: Some(metrics), ..Self::default() }
    }

    /// A file that was parsed and measured.
    fn measured(file: &SourceFile, language: Language, walk: &Walk) -> Self {
        let halstead = metrics::Halstead::of(&walk.tokens);
        let index = metrics::maintainability_index(halstead.volume, walk.cyclomatic, walk.lines.code);
        let metrics = FileMetrics {
            path: file.path.clone(),
            language: language.name().to_owned(),
            bytes: file.content.len(),
            lines: walk.lines,
            cyclomatic: walk.cyclomatic,
            cognitive: walk.cognitive,
            max_nesting: walk.max_nesting,
            maintainability_index: (walk.lines.code > 0).then_some(index),
            syntax_errors: walk.syntax_errors,
            analysed: true,
            functions: walk.functions.clone(),
        };
        let analysis = Self { metrics: Some(metrics), ..Self::default() };
        match walk.syntax_errors {
            0 => analysis,
            1 => analysis.noting(file, "analysed as far as it parses: 1 syntax error"),
            n => analysis.noting(file, &format!("analysed as far as it parses: {n} syntax errors")),
        }
    }

    /// Adds what the file says about packages, if it is one of those that do.
    fn with_manifest(mut self, file: &SourceFile, text: &str) -> Self {
        let manifest = technologies::read(&file.path, text);
        self.dependencies = manifest.dependencies;
        self.tool = manifest.tool.map(str::to_owned);
        match manifest.problem {
            Some(problem) => self.noting(file, &format!("its dependencies were not read: {problem}")),
            None => self,
        }
    }

    /// Adds what the file says about coverage, if it is a report of that.
    fn with_coverage(mut self, file: &SourceFile, text: &str) -> Self {
        match coverage::read(&file.path, text) {
            None => self,
            Some(Ok(hits)) => {
                self.coverage = Some((file.path.clone(), hits));
                self
            }
            Some(Err(problem)) => self.noting(file, &format!("its coverage was not read: {problem}")),
        }
    }

    fn noting(mut self, file: &SourceFile, reason: &str) -> Self {
        self.skipped.push(Skipped { path: file.path.clone(), reason: reason.to_owned() });
        self
    }
}

/// Turns matches into findings, in the order of their places. No secret is shown in any of them.
fn findings<'r>(
    text: &str,
    path: &str,
    walk: &Walk,
    mut matches: Vec<Match<'r>>,
    mut searched: Searched<'r>,
    options: &Options,
) -> Vec<Named> {
    matches.append(&mut searched.matches);
    matches.retain(|m| !options.disabled_rules.contains(&m.rule.id));
    if matches.is_empty() {
        return Vec::new();
    }
    matches.sort_by(|a, b| {
        (a.range.start, a.range.end, &a.rule.id).cmp(&(b.range.start, b.range.end, &b.rule.id))
    });
    let hashes = fingerprint::line_hashes(text);
    let masked = searched.masked(text);
    let text = masked.as_deref().unwrap_or(text);
    let places = Places::new(text);
    let mut ordinals = std::collections::HashMap::new();
    let mut findings = Vec::with_capacity(matches.len());
    for mut found in matches {
        let region = places.region(path, &found.range);
        let symbol = walk.symbol_at(found.range.start).to_owned();
        let tokens = found.identity.take().unwrap_or_else(|| walk.tokens_in(&found.range, text));
        if !found.rule.id.starts_with("secret-") && searched.touches(&found.range) {
            // What the pattern caught may be the secret; the rule's own sentence is not.
            found.message = found.rule.message.clone();
            found.replacement = None;
        }
        let ordinal = ordinals.entry((found.rule.id.clone(), symbol.clone(), tokens.clone())).or_insert(0);
        let fingerprints = Fingerprints {
            primary_location_line_hash: hashes.get(region.line - 1).cloned().unwrap_or_default(),
            stable: fingerprint::stable(&found.rule.id, &symbol, &tokens, *ordinal),
        };
        *ordinal += 1;
        let aliases = found.rule.aliases.clone();
        findings.push(Named { finding: finding(found, region, symbol, fingerprints), aliases });
    }
    findings
}

fn finding(found: Match<'_>, region: Region, symbol: String, fingerprints: Fingerprints) -> Finding {
    let rule = found.rule;
    Finding {
        rule: rule.id.clone(),
        category: rule.category,
        severity: found.severity.unwrap_or(rule.severity),
        confidence: found.confidence.unwrap_or(rule.confidence),
        cwe: rule.cwe.clone(),
        owasp: rule.owasp.clone(),
        message: found.message,
        why: rule.why.clone(),
        fix: rule.instead.clone(),
        replacement: found.replacement,
        region,
        symbol,
        fingerprints,
        origin: if rule.builtin { Origin::Builtin } else { Origin::Custom },
        also: Vec::new(),
        flow: found.flow,
        state: None,
    }
}

/// Bytes of a text to lines and columns.
pub(super) struct Places<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Places<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The bytes from one line and column to another, which may be anything: a place that is not there becomes the
    /// nearest that is, the column 0 the first that is not blank, and an end before the start the end of the line.
    pub(super) fn range(&self, from: (usize, usize), to: (usize, usize)) -> std::ops::Range<usize> {
        let line_end = |line: usize| {
            let end = self.starts.get(line).map_or(self.text.len(), |next| next - 1);
            self.starts[line - 1] + self.text[self.starts[line - 1]..end].trim_end().len()
        };
        let byte = |(line, column): (usize, usize)| {
            let start = self.starts[line - 1];
            let text = &self.text[start..line_end(line).max(start)];
            match column.checked_sub(1) {
                None => start + text.len() - text.trim_start().len(),
                Some(before) => start + text.char_indices().nth(before).map_or(text.len(), |(at, _)| at),
            }
        };
        let clamped = |line: usize| line.clamp(1, self.starts.len());
        let start = byte((clamped(from.0), from.1));
        let end = if to.0 == 0 || to.1 == 0 { 0 } else { byte((clamped(to.0), to.1)) };
        if end > start { start..end } else { start..line_end(clamped(from.0)).max(start) }
    }

    /// The line that a byte is on.
    pub(super) fn line_of(&self, byte: usize) -> &'t str {
        let (line, _) = self.place(byte);
        self.text[self.starts[line - 1]..].lines().next().unwrap_or_default()
    }

    pub(super) fn region(&self, path: &str, range: &std::ops::Range<usize>) -> Region {
        let (line, column) = self.place(range.start);
        let (end_line, end_column) = self.place(range.end);
        Region {
            path: path.to_owned(),
            line,
            column,
            end_line,
            end_column,
            snippet: self.snippet(line, end_line),
        }
    }

    fn place(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= byte).max(1);
        let before = self.text.get(self.starts[line - 1]..byte).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    fn snippet(&self, line: usize, end_line: usize) -> String {
        let last = end_line.min(line + SNIPPET_LINES - 1);
        let from = self.starts[line - 1];
        let to = self.starts.get(last).copied().unwrap_or(self.text.len());
        let lines = self.text.get(from..to).unwrap_or_default().lines();
        let cut: Vec<String> = lines.map(|line| line.chars().take(SNIPPET_WIDTH).collect()).collect();
        cut.join("\n")
    }
}
