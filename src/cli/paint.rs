//! Colours, and text of others made safe for a terminal.

use std::fmt::{self, Display};

use anstyle::{AnsiColor, Style};

use crate::model::Severity;

/// Writes text in colours, or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

/// Text in a style.
pub(super) struct Painted<T>(Style, T);

impl Paint {
    pub(super) fn new(on: bool) -> Self {
        Self { on }
    }

    pub(super) fn bold<T: Display>(self, text: T) -> Painted<T> {
        self.with(Style::new().bold(), text)
    }

    pub(super) fn dim<T: Display>(self, text: T) -> Painted<T> {
        self.with(Style::new().dimmed(), text)
    }

    /// Green, yellow or red: well, not quite, not at all.
    pub(super) fn graded<T: Display>(self, grade: Grade, text: T) -> Painted<T> {
        let color = match grade {
            Grade::Good => AnsiColor::Green,
            Grade::Fair => AnsiColor::Yellow,
            Grade::Bad => AnsiColor::Red,
        };
        self.with(color.on_default().bold(), text)
    }

    pub(super) fn severity<T: Display>(self, severity: Severity, text: T) -> Painted<T> {
        let color = match severity {
            Severity::Critical => AnsiColor::Magenta,
            Severity::High => AnsiColor::Red,
            Severity::Medium => AnsiColor::Yellow,
            Severity::Low => AnsiColor::Cyan,
            Severity::Info => AnsiColor::Blue,
        };
        self.with(color.on_default().bold(), text)
    }

    fn with<T: Display>(self, style: Style, text: T) -> Painted<T> {
        Painted(if self.on { style } else { Style::new() }, text)
    }
}

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grade {
    /// Nothing to do.
    Good,
    /// Worth a look.
    Fair,
    /// Do something.
    Bad,
}

impl Grade {
    /// Of a score from 0 to 10.
    pub(super) fn of_score(score: f64) -> Self {
        match score {
            8.0.. => Self::Good,
            5.0.. => Self::Fair,
            _ => Self::Bad,
        }
    }
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(style, text) = self;
        write!(f, "{style}{text}{style:#}")
    }
}

/// Text of others for one line of a terminal: what would move the cursor, change colours or turn the line around
/// stands there as `\u{…}`.
pub(super) fn harmless(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push_str("    "),
            c if c.is_control() || turns(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// `1 file`, `2 files`, `1,234 files`.
pub(super) fn count(number: usize, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// `1,234,567`
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_move_the_cursor() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\u{202e}c\td"), "a\\u{1b}[2Jb\\u{d}\\u{202e}c    d");
        assert_eq!(harmless("naïve ✓"), "naïve ✓");
    }

    #[test]
    fn without_colours_there_is_nothing_but_the_text() {
        assert_eq!(Paint::new(false).bold("x").to_string(), "x");
        assert!(Paint::new(true).bold("x").to_string().starts_with("\u{1b}["));
    }

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".into(), "0 files".into()));
        assert_eq!(
            (grouped(999), grouped(1_000), grouped(1_234_567)),
            ("999".into(), "1,000".into(), "1,234,567".into())
        );
    }

    #[test]
    fn a_score_is_graded() {
        assert_eq!(
            [10.0, 8.0, 7.9, 5.0, 4.9, 0.0].map(Grade::of_score),
            [Grade::Good, Grade::Good, Grade::Fair, Grade::Fair, Grade::Bad, Grade::Bad]
        );
    }
}
