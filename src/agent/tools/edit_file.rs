//! Replaces a piece of a file, exactly.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

pub(super) struct EditFile;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The file, relative to the workspace.
    path: String,
    /// The text to replace, exactly as it stands in the file: same indentation, same line breaks, without line
    /// numbers. It must stand there exactly once.
    old: String,
    /// The text to put there instead; empty to remove it.
    new: String,
    /// Replace every place where `old` stands.
    #[serde(default)]
    replace_all: bool,
}

impl Tool for EditFile {
    const NAME: &'static str = "edit_file";
    const DESCRIPTION: &'static str = "Replaces one piece of a file by another. `old` must be copied exactly from the \
                                       file and be unique in it: take a line or two around the place. The result shows \
                                       the lines around the change.";
    const EFFECT: Effect = Effect::Change;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let Arguments { path, old, new, replace_all } = arguments;
        let text = bench.read_text(&path).await?;
        let (changed, place) = replace(&path, &text, &old, &new, replace_all)?;
        bench.write_text(&path, &changed).await?;
        let shown = around(&changed, place, new.matches('\n').count());
        Ok(Reply::note(format!("Changed `{path}`. The lines around it are now:")).data(path, shown))
    }
}

/// The text with the change, and where in it the first change stands.
fn replace(path: &str, text: &str, old: &str, new: &str, all: bool) -> Result<(String, usize), Error> {
    if old.is_empty() {
        let why =
            "`old` is empty. To write a whole file use `write_file`; to insert, repeat a neighbouring line.";
        return Err(Error::BadValue(why.to_owned()));
    }
    if old == new {
        return Err(Error::Unchanged("`old` and `new` are the same.".to_owned()));
    }
    // Models write `\n`; a file from elsewhere may not.
    let windows = text.contains("\r\n") && !old.contains('\r');
    let fit = |piece: &str| if windows { piece.replace('\n', "\r\n") } else { piece.to_owned() };
    let (old, new) = (fit(old), fit(new));
    let places: Vec<usize> = text.match_indices(old.as_str()).map(|(place, _)| place).collect();
    match places[..] {
        [] => {
            let (hint, actual) = hint(text, &old);
            Err(Error::NoMatch { path: path.to_owned(), hint, actual })
        }
        [place] => Ok((text.replacen(&old, &new, 1), place)),
        [place, ..] if all => Ok((text.replace(&old, &new), place)),
        _ => {
            let lines: Vec<_> =
                places.iter().take(10).map(|place| line_of(text, *place).to_string()).collect();
            Err(Error::Ambiguous { path: path.to_owned(), count: places.len(), lines: lines.join(", ") })
        }
    }
}

/// What most likely went wrong (line numbers that were copied along, spaces, or a text that is another by now), and
/// what stands in the file there.
fn hint(text: &str, old: &str) -> (String, String) {
    let numbered = |line: &str| {
        line.trim_start().split_once('\t').is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    };
    if old.lines().all(numbered) {
        let hint = "It begins with line numbers, which are not part of the file: leave them out.";
        return (hint.to_owned(), String::new());
    }
    let wanted: Vec<&str> = old.lines().map(str::trim).collect();
    let lines: Vec<&str> = text.lines().collect();
    let mut windows = lines.windows(wanted.len().max(1));
    let loosely = windows.position(|window| window.iter().map(|line| line.trim()).eq(wanted.iter().copied()));
    if let Some(at) = loosely {
        let (first, last) = (at + 1, at + wanted.len());
        let hint = format!(
            "Lines {first} to {last} differ from it only in spaces or indentation; copy them exactly:"
        );
        return (hint, lines[at..last].join("\n"));
    }
    let first = wanted.iter().find(|line| !line.is_empty()).copied().unwrap_or_default();
    let alike = (1..).zip(&lines).map(|(number, line)| (likeness(line.trim(), first), number, *line));
    match alike.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, ..)| *likeness > 0.6) {
        Some((_, number, line)) => {
            let number: usize = number;
            let look = "read the file around it with `read_file` and copy the text exactly. It is:";
            (format!("The most similar line is line {number}; {look}"), line.to_owned())
        }
        None => ("Read the file with `read_file` and copy the text exactly.".to_owned(), String::new()),
    }
}

/// How alike two lines are, from 0 to 1: the share of pairs of letters that they have in common (Dice).
fn likeness(a: &str, b: &str) -> f64 {
    let pairs = |text: &str| -> Vec<(char, char)> {
        let mut pairs: Vec<_> = text.chars().zip(text.chars().skip(1)).take(400).collect();
        pairs.sort_unstable();
        pairs
    };
    let (a, b) = (pairs(a), pairs(b));
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    let (mut i, mut j, mut common) = (0, 0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => i += 1,
            std::cmp::Ordering::Greater => j += 1,
            std::cmp::Ordering::Equal => (i, j, common) = (i + 1, j + 1, common + 1),
        }
    }
    2.0 * f64::from(common) / (a.len() + b.len()) as f64
}

fn line_of(text: &str, place: usize) -> usize {
    text[..place].matches('\n').count() + 1
}

/// The changed lines with three before and after, numbered; at most forty.
fn around(text: &str, place: usize, length: usize) -> String {
    let first = line_of(text, place).saturating_sub(3).max(1);
    let count = (length + 7).min(40);
    let lines = (1..).zip(text.lines()).skip(first - 1).take(count);
    lines.map(|(number, line): (usize, &str)| format!("{number:>5}\t{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "def f():\n    return 1\n\ndef g():\n    return 1\n";

    fn told(old: &str) -> String {
        let error = replace("a.py", TEXT, old, "x", false).unwrap_err();
        format!("{error}{}", error.quote().map_or("", |(_, text)| text))
    }

    #[test]
    fn a_unique_piece_is_replaced_and_an_ambiguous_one_only_on_demand() {
        let (changed, place) =
            replace("a.py", TEXT, "def g():\n    return 1", "def g():\n    return 2", false).unwrap();
        assert_eq!(changed, "def f():\n    return 1\n\ndef g():\n    return 2\n");
        assert_eq!(line_of(&changed, place), 4);
        assert!(told("return 1").contains("2 times") && told("return 1").contains("lines 2, 5"));
        assert_eq!(replace("a.py", TEXT, "return 1", "pass", true).unwrap().0.matches("pass").count(), 2);
    }

    #[test]
    fn a_miss_says_what_stands_there() {
        assert!(
            told("def f():\n  return 1").contains("only in spaces or indentation"),
            "{}",
            told("def f():\n  return 1")
        );
        assert!(told("    1\tdef f():").contains("line numbers"));
        assert!(told("def ff():").contains("line 1;") && told("def ff():").ends_with("def f():"));
        assert!(told("completely different").contains("Read the file"));
        assert!(told("").contains("`old` is empty"));
    }

    #[test]
    fn windows_line_ends_stay() {
        let (changed, _) = replace("a", "a\r\nb\r\n", "a\nb", "c\nd", false).unwrap();
        assert_eq!(changed, "c\r\nd\r\n");
    }
}
