//! One page that needs nothing else: no network, no other file, and, for reading, no script.
//!
//! The content policy in the page's head allows this very style and script by their hashes, and nothing else; what
//! comes from the code stands in the page as text only.

mod page;
mod parts;

use std::borrow::Borrow;

use askama::Template as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Document, Error, word};
use page::Page;

/// Writes the report as a page.
pub(super) fn write(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    Ok(Page::of(document).render()?.into_bytes())
}

/// What a browser may do for a page of ours: apply this style, run this script, and nothing else.
pub(super) fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; base-uri 'none'; \
         form-action 'none'",
        hash(style),
        hash(script)
    )
}

/// Text from the code, with nothing in it that would be invisible or turn the line around: control characters and
/// those that Unicode's Trojan Source report warns of (CVE-2021-42574) are shown by their numbers.
fn shown(text: impl AsRef<str>) -> String {
    let mut clean = String::with_capacity(text.as_ref().len());
    for letter in text.as_ref().chars() {
        match letter {
            '\t' | '\n' => clean.push(letter),
            '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{61c}'
            | '\u{feff}' => {
                clean.push_str(&format!("‹U+{:04X}›", u32::from(letter)));
            }
            letter if letter.is_control() => clean.push_str(&format!("‹U+{:04X}›", u32::from(letter))),
            letter => clean.push(letter),
        }
    }
    clean
}

/// The same, as markup: what stands between backticks is set as code.
pub(super) fn rich(text: impl AsRef<str>) -> String {
    let mut markup = String::new();
    let clean = shown(text);
    let parts: Vec<&str> = clean.split('`').collect();
    for (at, part) in parts.iter().enumerate() {
        let part = escaped(part);
        match at % 2 {
            1 if at + 1 < parts.len() => markup.push_str(&format!("<code>{part}</code>")),
            1 => markup.push_str(&format!("`{part}")),
            _ => markup.push_str(&part),
        }
    }
    markup
}

/// The same for what may be missing.
fn maybe(text: &Option<String>) -> String {
    text.as_deref().map_or_else(|| "–".to_owned(), shown)
}

/// Text as markup that means just that text.
fn escaped(text: &str) -> String {
    let mut markup = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => markup.push_str("&amp;"),
            '<' => markup.push_str("&lt;"),
            '>' => markup.push_str("&gt;"),
            '"' => markup.push_str("&quot;"),
            '\'' => markup.push_str("&#39;"),
            letter => markup.push(letter),
        }
    }
    markup
}

/// `12345` as `12,345`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn tenths(number: impl Borrow<f64>) -> String {
    format!("{:.1}", number.borrow())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `one finding`, `3 findings`.
fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("one {noun}") } else { format!("{} {noun}s", grouped(number)) }
}

/// An estimate of work, for people.
fn effort(minutes: impl Borrow<usize>) -> String {
    match *minutes.borrow() {
        minutes if minutes < 60 => format!("about {minutes} min"),
        minutes if minutes < 8 * 60 => format!("about {:.0} h", minutes as f64 / 60.0),
        minutes => format!("about {:.0} days", (minutes as f64 / 480.0).max(1.0)),
    }
}
