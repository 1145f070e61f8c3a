//! Changes several places at once by a unified diff.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Effect, Error, Reply, Tool};
use crate::agent::bench::{Bench, explain};

pub(super) struct ApplyPatch;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// A unified diff as `git diff` writes it: `--- a/path`, `+++ b/path` (`/dev/null` for files that come or go), then
    /// hunks with at least two lines around each change, copied exactly from the file.
    patch: String,
}

impl Tool for ApplyPatch {
    const NAME: &'static str = "apply_patch";
    const DESCRIPTION: &'static str = "Applies a unified diff, all of it or nothing. Good for changes in several places \
                                       or files at once; for one place `edit_file` is simpler. Line numbers in the hunk \
                                       headers may be off, the lines themselves may not.";
    const EFFECT: Effect = Effect::Change;
    type Arguments = Arguments;

    async fn call(arguments: Arguments, bench: &Bench<'_>) -> Result<Reply, Error> {
        let patch = arguments.patch.replace("\r\n", "\n");
        if patch.contains("*** Begin Patch") || !patch.contains("@@") {
            return Err(Error::BadPatch("it is no unified diff".to_owned()));
        }
        let patch = recount(&patch);
        // Git itself refuses paths that leave the workspace or lead through links.
        let strip = if patch.contains("+++ b/") || patch.contains("--- a/") { "-p1" } else { "-p0" };
        let command = bench.with(|workspace| Ok(workspace.command("git"))).await;
        let mut command = command.map_err(|error| explain("", error, &[]))?;
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CEILING_DIRECTORIES", "/"),
            ("GIT_DIR", "/nonexistent"),
            ("LC_ALL", "C"),
        ] {
            command = command.env(name, value);
        }
        command = command.args(["apply", "--whitespace=nowarn", strip, "-"]).stdin(patch);
        command.limits.wall = Duration::from_secs(60);
        let finished = bench.run(command).await?;
        if finished.succeeded() {
            return Ok(Reply::note("The patch was applied."));
        }
        let said = String::from_utf8_lossy(&finished.stderr);
        let said: Vec<&str> = said.lines().take(8).map(|line| line.trim_start_matches("error: ")).collect();
        Err(Error::BadPatch(said.join("; ").chars().take(1000).collect()))
    }
}

/// The patch with the counts in its hunk headers as the hunks are: models count badly. Lines that lost the space of
/// their margin get it back.
fn recount(patch: &str) -> String {
    let lines: Vec<&str> = patch.trim_end_matches('\n').split('\n').collect();
    let begins_file = |at: usize| {
        let next = lines.get(at + 1).is_some_and(|line| line.starts_with("+++ "));
        lines[at].starts_with("diff --git ") || (lines[at].starts_with("--- ") && next)
    };
    let mut out = String::with_capacity(patch.len() + 16);
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].starts_with("@@") {
            out += &format!("{}\n", lines[at]);
            at += 1;
            continue;
        }
        let end = (at + 1..lines.len()).find(|&next| lines[next].starts_with("@@") || begins_file(next));
        let end = end.unwrap_or(lines.len());
        let hunk = &lines[at + 1..end];
        let without = |margin: char| hunk.iter().filter(|line| !line.starts_with(['\\', margin])).count();
        let (old, new) = (without('+'), without('-'));
        let (old_start, new_start) = starts(lines[at]);
        out += &format!("@@ -{old_start},{old} +{new_start},{new} @@\n");
        for line in hunk {
            out += if line.is_empty() { " " } else { line };
            out.push('\n');
        }
        at = end;
    }
    out
}

/// The line numbers of a hunk header, `@@ -OLD,COUNT +NEW,COUNT @@`. Where there are none, somewhere: git looks for the
/// place, but takes line 1 for a promise.
fn starts(header: &str) -> (usize, usize) {
    let after = |sign: char| {
        let digits = header.split(sign).nth(1).unwrap_or_default();
        digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
    };
    (after('-').unwrap_or(2), after('+').unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_made_anew_and_file_headers_are_no_lines_of_a_hunk() {
        let patch = "--- a/a\n+++ b/a\n@@ -1,9 +1 @@ fn f\n one\n\n-two\n+2\n+3\n\\ No newline at end of file\n--- /dev/null\n+++ b/b\n@@ -0,0 +1,7 @@\n+x\n";
        let counted = recount(patch);
        assert_eq!(
            counted,
            "--- a/a\n+++ b/a\n@@ -1,3 +1,4 @@\n one\n \n-two\n+2\n+3\n\\ No newline at end of file\n--- /dev/null\n+++ b/b\n@@ -0,0 +1,1 @@\n+x\n"
        );
        assert_eq!(recount(&counted), counted);
    }

    #[test]
    fn a_line_that_takes_dashes_away_is_no_header() {
        let patch = "--- a/a\n+++ b/a\n@@ -4,2 +4,1 @@\n x\n--- old\n";
        assert_eq!(recount(patch), patch);
    }
}
