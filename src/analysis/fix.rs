//! Puts into the files what rules are certain of.
//!
//! An edit is made only where the code is still what the report speaks of, where no other edit has been, and where the
//! file has no more syntax errors afterwards than before.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Report;
use super::file::Places;
use super::languages::{Content, FileKind, Language, classify};
use super::parse::parse;
use crate::model::{Finding, SourceFile};

/// A file that was mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// The file.
    pub path: String,
    /// Its text as it was.
    pub before: String,
    /// Its text as it is to be; the same, if every edit was refused.
    pub after: String,
    /// The findings that are mended, in the order of their places.
    pub done: Vec<Finding>,
    /// Those whose edit would have broken the syntax.
    pub refused: Vec<Finding>,
}

/// A finding, the bytes to take out, and what to put in.
struct Edit<'f> {
    finding: &'f Finding,
    range: Range<usize>,
    text: &'f str,
}

/// Mends what a report on these files has a certain fix for. Where edits overlap, the first is made; a second round on
/// what comes out may make the next. Suppressed findings stay as they are.
pub fn mend(files: &[SourceFile], report: &Report) -> Vec<Mended> {
    let mut by_file = BTreeMap::<&str, Vec<&Finding>>::new();
    for finding in report.findings().filter(|finding| finding.replacement.is_some()) {
        by_file.entry(&finding.region.path).or_default().push(finding);
    }
    let mended = by_file.into_iter().filter_map(|(path, findings)| {
        let file = files.iter().find(|file| file.path == path)?;
        // What is not UTF-8 would not survive.
        let text = std::str::from_utf8(&file.content).ok()?;
        let Content::Text(read) = Content::read(&file.content) else { return None };
        let FileKind::Code(language) = classify(path, text) else { return None };
        let edits = if read == text { edits(text, &findings) } else { Vec::new() };
        (!edits.is_empty()).then(|| mend_file(path, text, language, edits))
    });
    mended.collect()
}

fn mend_file(path: &str, text: &str, language: Language, edits: Vec<Edit<'_>>) -> Mended {
    let sound = |after: &str| errors(after, language) <= errors(text, language);
    let all = applied(text, &edits);
    let (mut done, mut refused) = (edits, Vec::new());
    let after = if sound(&all) {
        all
    } else {
        // One of them is bad: see which, from the first on.
        let mut kept: Vec<Edit<'_>> = Vec::new();
        for edit in done {
            kept.push(edit);
            if !sound(&applied(text, &kept)) {
                refused.extend(kept.pop().map(|edit| edit.finding.clone()));
            }
        }
        done = kept;
        applied(text, &done)
    };
    let done = done.into_iter().map(|edit| edit.finding.clone()).collect();
    Mended { path: path.to_owned(), before: text.to_owned(), after, done, refused }
}

/// The edits that can be made together, in the order of their places.
fn edits<'f>(text: &str, findings: &[&'f Finding]) -> Vec<Edit<'f>> {
    let places = Places::new(text);
    let mut edits: Vec<Edit<'f>> = findings
        .iter()
        .filter_map(|finding| {
            let region = &finding.region;
            let range = places.range((region.line, region.column), (region.end_line, region.end_column));
            // Secrets are masked in a report, and files change: both show in the snippet.
            if places.region(&region.path, &range) != *region {
                return None;
            }
            let replacement = finding.replacement.as_deref()?;
            let range = if replacement.is_empty() { whole_lines(text, range) } else { range };
            Some(Edit { finding, range, text: replacement })
        })
        .collect();
    edits.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut end = 0;
    edits.retain(|edit| {
        let free = edit.range.start >= end;
        if free {
            end = edit.range.end;
        }
        free
    });
    edits
}

/// The lines of a range with their end, if nothing else stands on them; else the range itself.
fn whole_lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1);
    let alone = text[start..range.start].trim().is_empty() && text[range.end..end].trim().is_empty();
    if alone { start..end } else { range }
}

fn applied(text: &str, edits: &[Edit<'_>]) -> String {
    let mut after = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        after.push_str(&text[at..edit.range.start]);
        after.push_str(edit.text);
        at = edit.range.end;
    }
    after + &text[at..]
}

/// How many nodes the parser could not make sense of; as many as can be, if it gave up.
fn errors(text: &str, language: Language) -> usize {
    let code = language.entry().code(text);
    let Ok(tree) = parse(&code, language, &|| false) else { return usize::MAX };
    if !tree.root_node().has_error() {
        return 0;
    }
    let (mut count, mut cursor) = (0, tree.walk());
    loop {
        count += usize::from(cursor.node().is_error() || cursor.node().is_missing());
        if cursor.node().has_error() && cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return count;
            }
        }
    }
}
