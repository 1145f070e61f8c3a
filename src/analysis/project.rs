//! `codeyard.toml`: what a project says about its own analysis, in a file at the root of its tree.
//!
//! Whatever cannot be meant is refused with its line: a setting that is silently not heard is worse than none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::NaiveDate;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use super::file::FileAnalysis;
use super::gate::Gate;
use super::limits::Thresholds;
use super::suppressions::{Suppressed, Suppression, expired};
use super::{Error, Language, Options, rules};
use crate::model::{Finding, Severity, Skipped, SourceFile};

/// What the file is called.
pub const PROJECT_FILE: &str = "codeyard.toml";
/// A larger one, and one with more globs or suppressions, is refused: each costs something for each file.
const LARGEST: usize = 256 << 10;
const MOST_GLOBS: usize = 500;
const MOST_SUPPRESSIONS: usize = 1_000;
/// Bytes of rules in files of the tree.
const LARGEST_RULES: usize = 1 << 20;

/// What a project says about its analysis.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// When it is good enough.
    pub gate: Gate,
    /// Globs, as in `.gitignore`, of files to leave out.
    pub exclude: Vec<String>,
    languages: Option<Vec<Language>>,
    disabled_rules: Vec<Spanned<String>>,
    rule_files: Vec<Spanned<String>>,
    rules: Vec<Spanned<String>>,
    severities: Vec<(Spanned<String>, Level)>,
    thresholds: Thresholds,
    suppressions: Vec<Known>,
    text: String,
}

/// A suppression of the project: findings that are known and need nobody's attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Known {
    line: usize,
    rule: Option<String>,
    path: Option<String>,
    fingerprint: Option<String>,
    reason: String,
    until: Option<NaiveDate>,
}

/// Why a project's file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct BadProject {
    /// The file, with a line where that is known: `codeyard.toml, line 3`.
    pub place: String,
    /// What is wrong, in a sentence.
    pub reason: String,
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    analysis: Choices,
    severity: BTreeMap<Spanned<String>, Level>,
    thresholds: Thresholds,
    gate: Gate,
    suppress: Vec<Spanned<Entry>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Choices {
    languages: Option<Vec<Spanned<String>>>,
    exclude: Vec<Spanned<String>>,
    disabled_rules: Vec<Spanned<String>>,
    rule_files: Vec<Spanned<String>>,
    rules: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    rule: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    fingerprint: Option<String>,
    reason: Spanned<String>,
    #[serde(default, deserialize_with = "day")]
    until: Option<NaiveDate>,
}

/// What a finding of a rule weighs in this project.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Critical,
    High,
    Medium,
    Low,
    Info,
    Off,
}

impl Level {
    const fn severity(self) -> Option<Severity> {
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

impl Project {
    /// What the file at the root says; nothing, if there is none.
    pub fn of(files: &[SourceFile]) -> Result<Self, BadProject> {
        let file = files.iter().find(|file| file.path == PROJECT_FILE);
        file.map_or_else(|| Ok(Self::default()), |file| Self::read(&file.content))
    }

    /// Reads the file.
    pub fn read(content: &[u8]) -> Result<Self, BadProject> {
        let whole = |reason: String| BadProject { place: PROJECT_FILE.to_owned(), reason };
        if content.len() > LARGEST {
            return Err(whole(format!("it has more than {LARGEST} bytes")));
        }
        let text = std::str::from_utf8(content).map_err(|error| whole(error.to_string()))?;
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            bad(text, &at, error.message().trim())
        })?;
        let Document { analysis, severity, thresholds, gate, suppress } = document;
        if analysis.exclude.len() + analysis.rule_files.len() > MOST_GLOBS {
            return Err(whole(format!("it has more than {MOST_GLOBS} globs")));
        }
        if suppress.len() > MOST_SUPPRESSIONS {
            return Err(whole(format!("it has more than {MOST_SUPPRESSIONS} suppressions")));
        }
        let language = |name: &Spanned<String>| {
            let known = || Language::ALL.map(Language::name).join(", ");
            Language::from_name(name.get_ref()).ok_or_else(|| {
                bad(
                    text,
                    &name.span(),
                    &format!("unknown language `{}`; known are {}", name.get_ref(), known()),
                )
            })
        };
        let languages = analysis
            .languages
            .map(|names| names.iter().map(language).collect::<Result<_, _>>())
            .transpose()?;
        for glob in analysis.exclude.iter().chain(&analysis.rule_files) {
            globs(std::slice::from_ref(glob.get_ref())).map_err(|why| bad(text, &glob.span(), &why))?;
        }
        Ok(Self {
            gate,
            exclude: analysis.exclude.into_iter().map(Spanned::into_inner).collect(),
            languages,
            disabled_rules: analysis.disabled_rules,
            rule_files: analysis.rule_files,
            rules: analysis.rules,
            severities: severity.into_iter().collect(),
            thresholds,
            suppressions: suppress.iter().map(|entry| known(text, entry)).collect::<Result<_, _>>()?,
            text: text.to_owned(),
        })
    }

    /// Takes away what the project excludes, and notes it: a folder once.
    pub fn leave_out(&self, files: &mut Vec<SourceFile>, skipped: &mut Vec<Skipped>) {
        let Some(globs) = globs(&self.exclude).ok().filter(|globs| !globs.is_empty()) else { return };
        let mut left_out = BTreeSet::new();
        files.retain(|file| {
            let ends = file.path.match_indices('/').map(|(at, _)| (at, true));
            let mut parts = ends.chain([(file.path.len(), false)]);
            let out = parts.find(|(end, is_dir)| globs.matched(&file.path[..*end], *is_dir).is_ignore());
            left_out.extend(out.map(|(end, _)| file.path[..end].to_owned()));
            out.is_none()
        });
        let reason = format!("excluded by {PROJECT_FILE}");
        skipped.extend(left_out.into_iter().map(|path| Skipped { path, reason: reason.clone() }));
    }

    /// A caller's options, with what the project says: it adds, and where the caller has chosen, the caller's choice
    /// holds. `files` are those of the tree; rules may stand in them.
    pub fn complete(&self, mut options: Options, files: &[SourceFile]) -> Result<Options, BadProject> {
        options.languages = options.languages.or_else(|| self.languages.clone());
        let given = options.rules.len();
        let mut places = Vec::new();
        for (place, text) in self.rule_files(files)? {
            options.rules.push(text);
            places.push((place, 0));
        }
        for rule in &self.rules {
            // The first line of a text in three quotes is the one behind them.
            let below = ["'''\n", "\"\"\"\n", "'''\r\n", "\"\"\"\r\n"];
            let source = self.text.get(rule.span()).unwrap_or_default();
            let below = usize::from(below.iter().any(|quotes| source.starts_with(quotes)));
            places.push((PROJECT_FILE.to_owned(), line_of(&self.text, rule.span().start) - 1 + below));
            options.rules.push(rule.get_ref().clone());
        }
        options.validate().map_err(|error| refused(error, given, &places))?;
        self.know_rules(&options)?;
        options.disabled_rules.extend(self.disabled_rules.iter().map(|id| id.get_ref().clone()));
        for (id, level) in &self.severities {
            match level.severity() {
                Some(severity) => drop(options.severities.insert(id.get_ref().clone(), severity)),
                None => options.disabled_rules.push(id.get_ref().clone()),
            }
        }
        options.thresholds = self.thresholds;
        options.suppressions.extend(self.suppressions.iter().cloned());
        Ok(options)
    }

    /// The files of the tree that hold rules, each with its text.
    fn rule_files(&self, files: &[SourceFile]) -> Result<Vec<(String, String)>, BadProject> {
        let mut found = Vec::new();
        for glob in &self.rule_files {
            let refuse = |reason: &str| bad(&self.text, &glob.span(), reason);
            let globs = globs(std::slice::from_ref(glob.get_ref())).map_err(|why| refuse(&why))?;
            let named = files.iter().filter(|file| globs.matched(&file.path, false).is_ignore());
            let before = found.len();
            for file in named {
                let text = String::from_utf8(file.content.clone());
                let text = text.map_err(|_| refuse(&format!("{} is no text", file.path)))?;
                found.push((file.path.clone(), text));
            }
            if found.iter().map(|(_, text)| text.len()).sum::<usize>() > LARGEST_RULES {
                return Err(refuse(&format!("the rules have more than {LARGEST_RULES} bytes")));
            }
            if found.len() == before {
                return Err(refuse(&format!("no file of the tree is called `{}`", glob.get_ref())));
            }
        }
        Ok(found)
    }

    /// Refuses the names of rules that nobody has. Those of other analyzers have a `/` in them and may be anything.
    fn know_rules(&self, options: &Options) -> Result<(), BadProject> {
        let suppressed =
            self.suppressions.iter().filter_map(|known| Some((known.line, known.rule.as_deref()?)));
        let line = |id: &Spanned<String>| line_of(&self.text, id.span().start);
        let disabled = self.disabled_rules.iter().map(|id| (line(id), id.get_ref().as_str()));
        let severities = self.severities.iter().map(|(id, _)| (line(id), id.get_ref().as_str()));
        let named: Vec<(usize, &str)> = disabled.chain(severities).chain(suppressed).collect();
        if named.is_empty() {
            return Ok(());
        }
        let custom = options.rules.iter().filter_map(|yaml| rules::read(yaml, false).ok()).flatten();
        let known: BTreeSet<String> = rules::catalogue()
            .into_iter()
            .chain(custom.map(|definition| definition.rule))
            .map(|rule| rule.id)
            .collect();
        match named.into_iter().find(|(_, id)| !id.contains('/') && !known.contains(*id)) {
            None => Ok(()),
            Some((line, id)) => Err(BadProject {
                place: format!("{PROJECT_FILE}, line {line}"),
                reason: format!("no rule is called `{id}`; `codeyard analyze --explain all` lists them"),
            }),
        }
    }
}

/// What the project's own words change in the findings: their severity, and whether they count. Returns the
/// suppressions that suppress nothing.
pub(super) fn apply(analyses: &mut [FileAnalysis], options: &Options) -> Vec<Suppression> {
    let Options { severities, suppressions, today, .. } = options;
    let matchers: Vec<Matcher<'_>> = suppressions.iter().filter_map(Matcher::new).collect();
    let mut used = vec![false; matchers.len()];
    let holds = |matcher: &Matcher<'_>| !expired(matcher.known.until, *today);
    for analysis in analyses {
        let named = |finding: &&mut Finding| severities.contains_key(&finding.rule);
        for finding in analysis.findings.iter_mut().filter(named) {
            finding.severity = severities[&finding.rule];
        }
        let Some(path) = analysis.findings.first().map(|finding| finding.region.path.clone()) else {
            continue;
        };
        let covering = matchers.iter().enumerate();
        let here: Vec<_> = covering.filter(|(_, matcher)| holds(matcher) && matcher.covers(&path)).collect();
        let mut known = |finding: &Finding| {
            let (at, _) = *here.iter().find(|(_, matcher)| matcher.known.means(finding))?;
            used[at] = true;
            Some(matchers[at].known.to_suppression(*today))
        };
        for finding in std::mem::take(&mut analysis.findings) {
            match known(&finding) {
                Some(by) => analysis.suppressed.push(Suppressed { finding, by }),
                None => analysis.findings.push(finding),
            }
        }
    }
    let unused = matchers.iter().zip(used).filter(|(_, used)| !used);
    unused.map(|(matcher, _)| matcher.known.to_suppression(*today)).collect()
}

/// The last days of the suppressions that hold: on the day after, the report is another.
pub(super) fn dates(options: &Options) -> impl Iterator<Item = NaiveDate> {
    let dates = options.suppressions.iter().filter_map(|known| known.until);
    dates.filter(|until| !expired(Some(*until), options.today))
}

/// A suppression, ready to be compared with findings.
struct Matcher<'k> {
    known: &'k Known,
    path: Option<Gitignore>,
}

impl<'k> Matcher<'k> {
    /// None for a glob that cannot be read, which [`Project::read`] refuses.
    fn new(known: &'k Known) -> Option<Self> {
        let path = known.path.as_ref().map(|path| globs(std::slice::from_ref(path))).transpose().ok()?;
        Some(Self { known, path })
    }

    fn covers(&self, path: &str) -> bool {
        let matched = |globs: &Gitignore| globs.matched_path_or_any_parents(path, false).is_ignore();
        self.path.as_ref().is_none_or(matched)
    }
}

impl Known {
    /// Whether it speaks of such a finding, wherever that is.
    fn means(&self, finding: &Finding) -> bool {
        self.rule.as_ref().is_none_or(|rule| *rule == finding.rule)
            && self.fingerprint.as_ref().is_none_or(|print| *print == finding.fingerprints.stable)
    }

    fn to_suppression(&self, today: Option<NaiveDate>) -> Suppression {
        Suppression {
            path: PROJECT_FILE.to_owned(),
            line: self.line,
            mark: PROJECT_FILE.to_owned(),
            rules: self.rule.iter().cloned().collect(),
            reason: self.reason.clone(),
            until: self.until,
            expired: expired(self.until, today),
        }
    }
}

fn known(text: &str, entry: &Spanned<Entry>) -> Result<Known, BadProject> {
    let Entry { rule, path, fingerprint, reason, until } = entry.get_ref();
    if reason.get_ref().trim().is_empty() {
        return Err(bad(text, &reason.span(), "a suppression needs a reason"));
    }
    if rule.is_none() && path.is_none() && fingerprint.is_none() {
        return Err(bad(text, &entry.span(), "a suppression names a rule, a path or a fingerprint"));
    }
    if let Some(path) = path {
        globs(std::slice::from_ref(path.get_ref())).map_err(|why| bad(text, &path.span(), &why))?;
    }
    Ok(Known {
        line: line_of(text, entry.span().start),
        rule: rule.as_ref().map(|rule| rule.get_ref().clone()),
        path: path.as_ref().map(|path| path.get_ref().clone()),
        fingerprint: fingerprint.clone(),
        reason: reason.get_ref().trim().to_owned(),
        until: *until,
    })
}

/// Why the rules are refused, in the place where the rule stands: `places` are those of the documents behind `given`.
fn refused(error: Error, given: usize, places: &[(String, usize)]) -> BadProject {
    let Error::BadRule { document, mut bad } = error else {
        return BadProject { place: PROJECT_FILE.to_owned(), reason: error.to_string() };
    };
    let Some((place, above)) = document.checked_sub(given).and_then(|at| places.get(at)) else {
        return BadProject { place: format!("custom rule {}", document + 1), reason: bad.to_string() };
    };
    bad.line += above;
    BadProject { place: place.clone(), reason: bad.to_string() }
}

fn bad(text: &str, at: &Range<usize>, reason: &str) -> BadProject {
    let place = format!("{PROJECT_FILE}, line {}", line_of(text, at.start));
    BadProject { place, reason: reason.to_owned() }
}

/// The line, from 1, of a byte.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// Globs as in `.gitignore`.
fn globs(patterns: &[String]) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("");
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|error| error.to_string())?;
    }
    builder.build().map_err(|error| error.to_string())
}

/// A day as TOML writes it, or as text.
fn day<'d, D: Deserializer<'d>>(from: D) -> Result<Option<NaiveDate>, D::Error> {
    let no_day = || serde::de::Error::custom("a day is wanted, such as 2027-01-31");
    let text = match toml::Value::deserialize(from)? {
        toml::Value::Datetime(time) if time.time.is_none() => time.to_string(),
        toml::Value::String(text) => text,
        _ => return Err(no_day()),
    };
    text.parse().map(Some).map_err(|_| no_day())
}
