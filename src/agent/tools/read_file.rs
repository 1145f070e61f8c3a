//! Shows a file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::Bench;

/// Lines and bytes that are shown at once.
const MOST_LINES: usize = 2_000;
const MOST_BYTES: usize = 64 << 10;

pub(super) struct ReadFile;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The file, relative to the workspace. The whole output of a command lies under the path that its result names.
    path: String,
    /// The first line to show, from 1; from the beginning if absent.
    #[serde(default)]
    first_line: Option<usize>,
    /// The last line to show; to the end if absent.
    #[serde(default)]
    last_line: Option<usize>,
}

impl Tool for ReadFile {
    const NAME: &'static str = "read_file";
    const DESCRIPTION: &'static str = "Shows a text file with line numbers. The number and the tab before each line are \
                                       not part of the file. At most 2000 lines or 64 KiB are shown at once.";
    const EFFECT: Effect = Effect::Look;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let text = bench.read_text(&arguments.path).await?;
        let all = text.lines().count();
        let first = arguments.first_line.unwrap_or(1).max(1);
        let last = arguments.last_line.unwrap_or(usize::MAX).min(all);
        if first > all && all > 0 {
            let path = &arguments.path;
            return Err(Error::BadValue(format!(
                "`{path}` has only {all} lines; choose `first_line` below that."
            )));
        }
        let (shown, upto) = number(&text, first, last);
        let note = match all {
            0 => format!("`{}` is empty.", arguments.path),
            _ if first == 1 && upto == all => format!("`{}`, {all} lines:", arguments.path),
            _ if upto < last => format!(
                "`{}`, lines {first} to {upto} of {all}; call again with first_line = {} for more:",
                arguments.path,
                upto + 1
            ),
            _ => format!("`{}`, lines {first} to {upto} of {all}:", arguments.path),
        };
        let reply = Reply::note(note);
        Ok(if all == 0 { reply } else { reply.data(arguments.path, shown) })
    }
}

/// These lines with their numbers, as many as are shown at once, and the number of the last.
fn number(text: &str, first: usize, last: usize) -> (String, usize) {
    let (mut shown, mut upto) = (String::new(), first.saturating_sub(1));
    let most = last.min(first + MOST_LINES - 1);
    for (number, line) in (1..).zip(text.lines()).skip(first - 1).take_while(|(number, _)| *number <= most) {
        let cut = line.floor_char_boundary(MOST_BYTES / 8);
        if shown.len() + cut > MOST_BYTES {
            break;
        }
        shown +=
            &format!("{number:>5}\t{}{}\n", &line[..cut], if cut < line.len() { " [… cut]" } else { "" });
        upto = number;
    }
    (shown, upto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_cut_at_the_caps() {
        assert_eq!(number("a\nb\nc\n", 2, 3), ("    2\tb\n    3\tc\n".to_owned(), 3));
        let long = "x\n".repeat(5000);
        assert_eq!(number(&long, 1, 5000).1, 2000);
        let (shown, upto) = number(&"y".repeat(1 << 20), 1, 1);
        assert!(shown.len() < 9000 && shown.ends_with("[… cut]\n") && upto == 1);
    }
}
