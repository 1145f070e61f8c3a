//! Looks for a pattern in the files.

use globset::Glob;
use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::{Bench, explain};
use crate::agent::workspace::Workspace;

/// Lines that are shown, and how much of each.
const MOST: usize = 200;
const LINE: usize = 300;

pub(super) struct SearchFiles;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// A regular expression; it is matched against single lines.
    pattern: String,
    /// Only files whose paths match this glob, such as `src/**/*.py`.
    #[serde(default)]
    files: Option<String>,
    /// Whether capitals and small letters are the same.
    #[serde(default)]
    ignore_case: bool,
}

impl Tool for SearchFiles {
    const NAME: &'static str = "search_files";
    const DESCRIPTION: &'static str = "Finds the lines of the workspace's text files that match a regular expression, as \
                                       `path:line: text`. At most 200 lines are shown.";
    const EFFECT: Effect = Effect::Look;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let pattern = RegexBuilder::new(&arguments.pattern)
            .case_insensitive(arguments.ignore_case)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| Error::BadPattern(error.to_string().replace('\n', " ")))?;
        let only = arguments.files.as_deref().map(Glob::new).transpose();
        let only =
            only.map_err(|error| Error::BadPattern(error.to_string()))?.map(|glob| glob.compile_matcher());
        let find = move |workspace: &mut Workspace| {
            let (mut lines, mut count) = (String::new(), 0_usize);
            for path in workspace.list()? {
                if only.as_ref().is_some_and(|only| !only.is_match(&path)) {
                    continue;
                }
                let Some(text) = workspace.read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok())
                else {
                    continue;
                };
                for (number, line) in
                    (1..).zip(text.lines()).filter(|(_, line): &(usize, &str)| pattern.is_match(line))
                {
                    count += 1;
                    if count <= MOST {
                        lines += &format!("{path}:{number}: {}\n", &line[..line.floor_char_boundary(LINE)]);
                    }
                }
            }
            Ok((lines, count))
        };
        let (lines, count) = bench.with(find).await.map_err(|error| explain("", error, &[]))?;
        Ok(match count {
            0 => Reply::note("No line matches. Try a shorter or looser pattern."),
            1..=MOST => Reply::note(format!("{count} lines match:")).data("a search", lines),
            _ => Reply::note(format!(
                "{count} lines match; the first {MOST} are shown. Narrow the pattern or name `files`:"
            ))
            .data("a search", lines),
        })
    }
}
