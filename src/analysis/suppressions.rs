//! Comments that say: this finding is known.
//!
//! Ours is `codeyard: ignore[rule, rule] reason`, on the line or on a line of its own above; without the
//! brackets it covers every rule, with `ignore-file` the whole file, and `until 2027-01-31` in the reason lets
//! it expire. The marks of other tools are honoured as those tools mean them: `noqa`, `nosec`, `nosemgrep`,
//! `eslint-disable`, `NOLINT`, `nolint`, `pylint: disable`. Where such a mark names rules, it covers the
//! findings of ours that go by that name or have it among their `aliases`.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::model::{Category, Finding};

/// A comment, or an entry of the project's file, that suppresses findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Suppression {
    /// The file.
    pub path: String,
    /// The line it is on.
    pub line: usize,
    /// Whose mark it is, for example `codeyard` or `noqa`; `codeyard.toml` if it stands there.
    pub mark: String,
    /// The rules it names; none means all.
    pub rules: Vec<String>,
    /// Why, in the author's words.
    pub reason: String,
    /// The last day on which it holds.
    pub until: Option<NaiveDate>,
    /// Whether that day has passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

impl Suppression {
    /// What to say of one that suppresses nothing: `expired on 2026-06-14: a calculator`.
    pub fn sentence(&self) -> String {
        let rules =
            if self.rules.is_empty() { String::new() } else { format!(" [{}]", self.rules.join(", ")) };
        let state = match self.until.filter(|_| self.expired) {
            Some(day) => format!("expired on {day}"),
            None => "unused".to_owned(),
        };
        let reason = if self.reason.is_empty() { String::new() } else { format!(": {}", self.reason) };
        format!("{state}{rules}{reason}")
    }
}

/// A finding that is suppressed. It counts for nothing, but it is not hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Suppressed {
    /// The finding.
    pub finding: Finding,
    /// By what.
    pub by: Suppression,
}

/// What is left of the findings of a file.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) kept: Vec<Finding>,
    pub(super) suppressed: Vec<Suppressed>,
    /// Comments of ours that suppress nothing.
    pub(super) unused: Vec<Suppression>,
    /// The last day on which it is so.
    pub(super) holds_until: Option<NaiveDate>,
}

/// A finding with the other names of its rule.
pub(super) struct Named {
    pub(super) finding: Finding,
    pub(super) aliases: Vec<String>,
}

/// Lines of comment that may stand between a mark and the code it is about.
const MOST_COMMENTS: usize = 20;

/// A suppression and the lines it covers.
struct Mark {
    suppression: Suppression,
    lines: RangeInclusive<usize>,
    /// Some marks speak of security only.
    security_only: bool,
}

/// Sorts findings by whether a comment suppresses them. Without a date nothing expires.
pub(super) fn apply(
    findings: Vec<Named>,
    path: &str,
    text: &str,
    comments: &[Range<usize>],
    today: Option<NaiveDate>,
) -> Outcome {
    let mut marks = marks(path, text, comments);
    let index = LineIndex::of(&marks);
    let mut used = vec![false; marks.len()];
    let mut outcome = Outcome::default();
    for named in findings {
        let covering = index.candidates(&named.finding).find(|&at| marks[at].covers(&named, today));
        match covering {
            Some(at) => {
                used[at] = true;
                let by = marks[at].suppression.clone();
                outcome.suppressed.push(Suppressed { finding: named.finding, by });
            }
            None => outcome.kept.push(named.finding),
        }
    }
    let dates = marks.iter().filter_map(|mark| mark.suppression.until);
    outcome.holds_until = dates.filter(|until| today.is_none_or(|today| today <= *until)).min();
    for mark in &mut marks {
        mark.suppression.expired = expired(mark.suppression.until, today);
    }
    let unused =
        marks.into_iter().zip(used).filter(|(mark, used)| !used && mark.suppression.mark == "codeyard");
    outcome.unused = unused.map(|(mark, _)| mark.suppression).collect();
    outcome
}

/// Whether a day has passed; without today's date, none has.
pub(super) fn expired(until: Option<NaiveDate>, today: Option<NaiveDate>) -> bool {
    until.zip(today).is_some_and(|(until, today)| today > until)
}

/// The marks by the lines they cover, so that a file full of them costs no more than its length.
struct LineIndex {
    by_line: HashMap<usize, Vec<usize>>,
    /// Those that cover many lines.
    wide: Vec<usize>,
}

impl LineIndex {
    fn of(marks: &[Mark]) -> Self {
        let mut index = Self { by_line: HashMap::new(), wide: Vec::new() };
        for (at, mark) in marks.iter().enumerate() {
            if mark.lines.end() - mark.lines.start() > MOST_COMMENTS + 1 {
                index.wide.push(at);
                continue;
            }
            for line in mark.lines.clone() {
                index.by_line.entry(line).or_default().push(at);
            }
        }
        index
    }

    fn candidates(&self, finding: &Finding) -> impl Iterator<Item = usize> {
        let at = |line: usize| self.by_line.get(&line).into_iter().flatten();
        at(finding.region.line).chain(at(finding.region.end_line)).chain(&self.wide).copied()
    }
}

impl Mark {
    fn covers(&self, named: &Named, today: Option<NaiveDate>) -> bool {
        let (finding, rules) = (&named.finding, &self.suppression.rules);
        let there =
            self.lines.contains(&finding.region.line) || self.lines.contains(&finding.region.end_line);
        let meant = rules.is_empty()
            || rules.iter().any(|rule| {
                let last = rule.rsplit('.').next().unwrap_or(rule);
                [rule.as_str(), last].iter().any(|name| {
                    *name == finding.rule
                        || named.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
                })
            });
        !expired(self.suppression.until, today)
            && there
            && meant
            && (!self.security_only || finding.category == Category::Security)
    }
}

/// Every mark in the comments of a file.
fn marks(path: &str, text: &str, comments: &[Range<usize>]) -> Vec<Mark> {
    let mut marks = Vec::new();
    let (mut line, mut counted) = (1, 0);
    let enables: Vec<usize> = text.match_indices("eslint-enable").map(|(at, _)| at).collect();
    for range in comments {
        let Some(comment) = text.get(range.clone()) else { continue };
        line += text[counted..range.start].matches('\n').count();
        counted = range.start;
        // Most comments are none; this is all that they cost.
        if !["codeyard:", "noqa", "nosec", "nosemgrep", "eslint-", "nolint", "NOLINT", "pylint"]
            .iter()
            .any(|word| comment.contains(word))
        {
            continue;
        }
        let place = Place::of(text, range, line);
        let body = comment.trim_start_matches(['/', '#', '*', '!', ' ', '\t', '-', '<']);
        let body = body.trim_end_matches(['*', '/', ' ', '\n', '\r', '-', '>']);
        marks.extend(read(body, &place, text, &enables).map(
            |(name, rules, reason, lines, security_only)| Mark {
                suppression: Suppression {
                    path: path.to_owned(),
                    line: place.line,
                    mark: name.to_owned(),
                    rules,
                    until: expiry(&reason),
                    reason,
                    expired: false,
                },
                lines,
                security_only,
            },
        ));
    }
    marks
}

type Read<'a> = (&'a str, Vec<String>, String, RangeInclusive<usize>, bool);

/// Reads one comment. The marks of other tools may stand behind other text, ours must come first.
fn read<'a>(body: &str, place: &Place, text: &str, enables: &[usize]) -> Option<Read<'a>> {
    if let Some(rest) = body.strip_prefix("codeyard: ignore") {
        let (whole_file, rest) = rest.strip_prefix("-file").map_or((false, rest), |rest| (true, rest));
        let (rules, reason) = bracketed(rest, '[', ']');
        let lines = if whole_file { 1..=usize::MAX } else { place.line_or_next(text) };
        return Some(("codeyard", rules, reason, lines, false));
    }
    if let Some(rest) = after(body, "eslint-disable") {
        let (lines, rest) = if let Some(rest) = rest.strip_prefix("-next-line") {
            (place.line + 1..=place.line + 1, rest)
        } else if let Some(rest) = rest.strip_prefix("-line") {
            (place.line..=place.line, rest)
        } else {
            let enabled = enables.get(enables.partition_point(|&at| at < place.end));
            let enabled = enabled.map(|&at| text[place.end..at].matches('\n').count());
            (place.line..=enabled.map_or(usize::MAX, |lines| place.line + lines), rest)
        };
        let (names, reason) = rest.split_once("--").unwrap_or((rest, ""));
        return Some(("eslint-disable", list(names), reason.trim().to_owned(), lines, false));
    }
    if let Some((_, rest)) = body.split_once("pylint: disable=") {
        let names = rest.split_whitespace().next().unwrap_or_default();
        let reason = rest[names.len()..].trim_start_matches([' ', '#', '-']).to_owned();
        return Some(("pylint", list(names), reason, place.line..=place.line, false));
    }
    if let Some(rest) = after(body, "NOLINTNEXTLINE") {
        let (rules, reason) = bracketed(rest, '(', ')');
        return Some(("NOLINT", rules, reason, place.line + 1..=place.line + 1, false));
    }
    if let Some(rest) = after(body, "NOLINT") {
        let (rules, reason) = bracketed(rest, '(', ')');
        return Some(("NOLINT", rules, reason, place.line..=place.line, false));
    }
    let (mark, lines, security_only) = [
        ("nosemgrep", place.line_or_next(text), false),
        ("nosec", place.line..=place.line, true),
        ("noqa", place.line..=place.line, false),
        ("nolint", place.line..=place.line, false),
    ]
    .into_iter()
    .find(|(mark, ..)| after(body, mark).is_some())?;
    let rest = after(body, mark)?;
    let named = rest.strip_prefix(':').or_else(|| rest.strip_prefix(' ').filter(|_| mark == "nosec"));
    let (codes, reason) = named.map_or(("", rest), |rest| rest.split_once(" -").unwrap_or((rest, "")));
    let codes = codes.split_once("//").map_or(codes, |(codes, _)| codes);
    Some((mark, list(codes), reason.trim().to_owned(), lines, security_only))
}

/// Where a comment is.
struct Place {
    line: usize,
    /// Whether nothing but blanks stands before it on its line.
    alone: bool,
    end: usize,
}

impl Place {
    fn of(text: &str, range: &Range<usize>, line: usize) -> Self {
        let before = &text[..range.start];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self { line, alone: before[start..].trim().is_empty(), end: range.end }
    }

    /// The comment's own line, or, if it stands alone, also the next line that is no comment.
    fn line_or_next(&self, text: &str) -> RangeInclusive<usize> {
        if !self.alone {
            return self.line..=self.line;
        }
        let below = text[self.end..].lines().skip(usize::from(!text[..self.end].ends_with('\n')));
        let comments = below
            .take(MOST_COMMENTS)
            .take_while(|line| {
                let line = line.trim_start();
                line.is_empty() || ["#", "//", "/*", "*"].iter().any(|mark| line.starts_with(mark))
            })
            .count();
        self.line..=self.line + comments + 1
    }
}

/// What follows a word that stands by itself.
fn after<'t>(body: &'t str, word: &str) -> Option<&'t str> {
    let at = body.find(word)?;
    let joined = |c: char| c.is_alphanumeric() || c == '_';
    let rest = &body[at + word.len()..];
    (!body[..at].ends_with(joined) && !rest.starts_with(joined)).then_some(rest)
}

/// Names in brackets right at the start, and the words behind them.
fn bracketed(rest: &str, open: char, close: char) -> (Vec<String>, String) {
    let inner = rest.strip_prefix(open).and_then(|rest| rest.split_once(close));
    let (names, reason) = inner.unwrap_or(("", rest));
    (list(names), reason.trim_start_matches([':', ' ', '-']).trim().to_owned())
}

/// Names separated by commas or blanks.
fn list(names: &str) -> Vec<String> {
    names.split([',', ' ', '\n']).map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The day in `… until 2027-01-31 …`.
fn expiry(reason: &str) -> Option<NaiveDate> {
    let (_, rest) = reason.split_once("until ")?;
    rest.get(..10)?.parse().ok()
}
