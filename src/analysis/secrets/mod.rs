//! Keys, tokens and passwords that stand in the code.
//!
//! The value itself never leaves this module: findings show it masked, and their fingerprint holds at most a
//! keyed hash of it.

mod formats;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use hmac::{Hmac, KeyInit, Mac};
use regex::Regex;
use sha2::Sha256;

use super::languages::Language;
use super::rules::{Match, Rule, is_test_code};
use crate::model::{Category, Confidence, Severity};
use formats::{FORMATS, Format};

/// What no real secret contains.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "xxxx",
    "changeme",
    "change_me",
    "change-me",
    "placeholder",
    "your",
    "dummy",
    "sample",
    "redacted",
    "todo",
    "fixme",
    "password",
    "passwd",
    "secret",
    "default",
    "abcdef",
    "123456",
    "qwerty",
    "****",
    "....",
    "<",
    ">",
    "${",
    "{{",
    "%(",
    "foobar",
    "insert",
    "replace",
    "fake",
    "test",
    "mock",
    "undefined",
    "null",
];
/// What a real secret of a published format may still contain.
const STRICT_PLACEHOLDERS: &[&str] =
    &["example", "xxxxx", "your", "<", "placeholder", "redacted", "*****", "....."];
/// Parts of paths in which secrets are usually made up.
const MADE_UP_PLACES: &[&str] = &[
    "test", "tests", "spec", "specs", "fixture", "fixtures", "testdata", "example", "examples", "docs",
    "doc", "mock", "mocks",
];

/// What is made anew for every test and every example, so that it opens nothing where secrets are usually made up: unlike the
/// key of a provider, which may be somebody's.
const MADE_UP_THERE: &[&str] =
    &["secret-private-key", "secret-json-web-token", "secret-in-url", "secret-in-connection-string"];

/// The rules that stand for the formats, as they appear in the catalogue.
pub fn rules() -> &'static [Rule] {
    static RULES: OnceLock<Vec<Rule>> = OnceLock::new();
    RULES.get_or_init(|| FORMATS.iter().map(rule).collect())
}

/// A text without its secrets, and the matches they are.
pub(super) struct Searched<'r> {
    pub(super) matches: Vec<Match<'r>>,
    /// The bytes of each secret, in order.
    hidden: Vec<Range<usize>>,
}

impl Searched<'_> {
    /// The text with the middle of every secret starred out; every other byte stays where it is.
    pub(super) fn masked(&self, text: &str) -> Option<String> {
        if self.hidden.is_empty() {
            return None;
        }
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        for range in &self.hidden {
            masked.push_str(text.get(at..range.start)?);
            masked.push_str(&mask(text.get(range.clone())?));
            at = range.end;
        }
        masked.push_str(text.get(at..)?);
        Some(masked)
    }

    /// Whether a range lies on or across a secret.
    pub(super) fn touches(&self, range: &Range<usize>) -> bool {
        let before = self.hidden.partition_point(|secret| secret.start < range.end);
        self.hidden[..before].last().is_some_and(|secret| range.start < secret.end)
    }
}

/// Finds the secrets of a text. With a key, their fingerprints tell equal values apart from different ones.
pub(super) fn search(path: &str, text: &str, key: Option<&[u8]>) -> Searched<'static> {
    let mut found = BTreeMap::<usize, (Range<usize>, usize)>::new();
    for index in candidates(text) {
        let format = &FORMATS[index];
        // What a text for people assigns is an example, unless it has a provider's own form.
        if format.id == "secret-in-assignment" && is_prose(path) {
            continue;
        }
        for captures in pattern(index).into_iter().flat_map(|pattern| pattern.captures_iter(text)) {
            let Some(secret) = captures.name("secret").or_else(|| captures.get(0)) else { continue };
            let range = secret.range();
            let before = found.range(..range.end).next_back();
            let taken = before.is_some_and(|(_, (other, _))| range.start < other.end);
            if !taken && is_real(secret.as_str(), format) {
                found.insert(range.start, (range, index));
            }
        }
    }
    let made_up = is_made_up_place(path);
    let reported = |index: usize| !made_up || !MADE_UP_THERE.contains(&FORMATS[index].id);
    let matches = found.values().filter(|(_, index)| reported(*index));
    let matches = matches.map(|(range, index)| of(path, text, range, *index, key)).collect();
    Searched { matches, hidden: found.into_values().map(|(range, _)| range).collect() }
}

/// Whether a file is written for people.
fn is_prose(path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ["md", "rst", "adoc"].contains(&ending.as_str()))
}

/// The formats whose keywords a text has, in the order of the list.
fn candidates(text: &str) -> Vec<usize> {
    static KEYWORDS: OnceLock<Option<(AhoCorasick, Vec<usize>)>> = OnceLock::new();
    let keywords = KEYWORDS.get_or_init(|| {
        let all =
            FORMATS.iter().enumerate().flat_map(|(index, f)| f.keywords.iter().map(move |k| (*k, index)));
        let (words, owners): (Vec<&str>, Vec<usize>) = all.unzip();
        let automaton = AhoCorasick::builder().ascii_case_insensitive(true).build(words).ok()?;
        Some((automaton, owners))
    });
    let Some((automaton, owners)) = keywords else { return Vec::new() };
    let mut present = vec![false; FORMATS.len()];
    for hit in automaton.find_overlapping_iter(text) {
        present[owners[hit.pattern().as_usize()]] = true;
    }
    (0..FORMATS.len()).filter(|&index| present[index]).collect()
}

/// The compiled pattern of a format. A test sees to it that every one compiles.
fn pattern(index: usize) -> Option<&'static Regex> {
    static PATTERNS: OnceLock<Vec<OnceLock<Option<Regex>>>> = OnceLock::new();
    let patterns = PATTERNS.get_or_init(|| FORMATS.iter().map(|_| OnceLock::new()).collect());
    patterns.get(index)?.get_or_init(|| Regex::new(FORMATS[index].pattern).ok()).as_ref()
}

fn of(path: &str, text: &str, range: &Range<usize>, index: usize, key: Option<&[u8]>) -> Match<'static> {
    let secret = text.get(range.clone()).unwrap_or_default();
    let rule = &rules()[index];
    let made_up = is_made_up_place(path);
    Match {
        rule,
        // A private key is shown by its first line only.
        range: range.start..range.start + secret.trim_end().find('\n').unwrap_or(secret.len()),
        message: format!("{} stands in the code: `{}`", FORMATS[index].name, shown(secret)),
        replacement: None,
        identity: Some(match key {
            Some(key) => keyed_hash(key, secret),
            None => shown(secret),
        }),
        severity: made_up.then(|| rule.severity.min(Severity::Medium)),
        confidence: made_up.then_some(Confidence::Low),
        flow: Vec::new(),
    }
}

/// Whether a value is one that somebody uses, not one that stands for it.
fn is_real(value: &str, format: &Format) -> bool {
    let lower = value.to_ascii_lowercase();
    let generic =
        matches!(format.id, "secret-in-assignment" | "secret-in-url" | "secret-in-connection-string");
    let placeholders = if generic { PLACEHOLDERS } else { STRICT_PLACEHOLDERS };
    if placeholders.iter().any(|word| lower.contains(word)) || entropy(value) < format.entropy {
        return false;
    }
    if format.id != "secret-in-assignment" {
        return true;
    }
    let reference = ["$", "%", "{", "env", "http", "/", "./", "process.", "os.", "config.", "@"];
    let mixed = value.chars().any(|c| c.is_ascii_digit()) && value.chars().any(|c| c.is_ascii_alphabetic());
    mixed && !reference.iter().any(|start| lower.starts_with(start)) && !value.contains(['(', ')', ' '])
}

/// Shannon's entropy in bits per character.
fn entropy(value: &str) -> f64 {
    let mut counts = BTreeMap::new();
    for character in value.chars() {
        *counts.entry(character).or_insert(0_usize) += 1;
    }
    let all = value.chars().count() as f64;
    counts.values().map(|&count| count as f64 / all).map(|share| -share * share.log2()).sum()
}

fn is_made_up_place(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    lower.ends_with(".md")
        || lower.ends_with(".rst")
        || lower.split(['/', '.', '_', '-']).any(|part| MADE_UP_PLACES.contains(&part))
        || is_test_code(path)
}

/// A value as it may be shown: at most its first four characters.
fn shown(value: &str) -> String {
    // What starts with a line end or a quote is the body of a key, which has no prefix to tell it by.
    let has_prefix = value.len() >= 16 && value.starts_with(|c: char| c.is_ascii_alphanumeric());
    let head: String = value.chars().take(if has_prefix { 4 } else { 0 }).collect();
    format!("{head}***")
}

/// Stars for all but the first characters, in as many bytes. Line ends stay, so that lines stay.
fn mask(value: &str) -> String {
    let clear = if value.len() >= 16 { 4 } else { 0 };
    let mut masked = String::with_capacity(value.len());
    for (at, character) in value.char_indices() {
        if at < clear || matches!(character, '\n' | '\r') {
            masked.push(character);
        } else {
            masked.extend(std::iter::repeat_n('*', character.len_utf8()));
        }
    }
    masked
}

fn keyed_hash(key: &[u8], value: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return shown(value) };
    mac.update(value.as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn rule(format: &Format) -> Rule {
    Rule {
        id: format.id.to_owned(),
        languages: Language::ALL.to_vec(),
        category: Category::Security,
        severity: format.severity,
        confidence: format.confidence,
        cwe: vec!["CWE-798".to_owned()],
        owasp: vec!["A07:2021".to_owned()],
        message: format!("{} stands in the code", format.name),
        why: "Everybody who can read the code, and its history, can use it.".to_owned(),
        instead: format!(
            "Withdraw it ({}), and read the new one from the environment or a secret store.",
            format.withdraw
        ),
        example: "password = \"…\"".to_owned(),
        references: vec!["https://cwe.mitre.org/data/definitions/798.html".to_owned()],
        aliases: ["S105", "S106", "S107", "B105", "B106", "B107", "gosec", "G101"]
            .map(str::to_owned)
            .to_vec(),
        fix: None,
        builtin: true,
        files: None,
        ignores: None,
        in_tests: !MADE_UP_THERE.contains(&format.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_finds_only_files_with_its_keywords() {
        for (index, format) in FORMATS.iter().enumerate() {
            assert!(pattern(index).is_some(), "{}", format.id);
            assert!(format.keywords.iter().all(|k| *k == k.to_ascii_lowercase()), "{}", format.id);
        }
    }

    #[test]
    fn masking_keeps_every_byte_in_its_place() {
        let text = "key = \"ab1xé\nd2fg3hij4klm\"; x";
        let searched = Searched { matches: Vec::new(), hidden: std::iter::once(7..26).collect() };
        let masked = searched.masked(text).unwrap();
        assert_eq!(masked.len(), text.len());
        assert_eq!(masked, "key = \"ab1x**\n************\"; x");
    }
}
