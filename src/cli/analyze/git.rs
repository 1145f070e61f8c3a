//! What git knows about the code under analysis: which lines have changed, and what a commit held.
//!
//! The repository is the user's own, on this machine, so git runs as the user would run it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};
use tempfile::TempDir;

use crate::model::{Finding, Region};

/// A repository, seen from a folder in it.
pub(super) struct Repository {
    folder: PathBuf,
}

/// The lines of each file that have changed; paths are relative to the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(HashMap<String, Vec<RangeInclusive<usize>>>);

impl Repository {
    /// The repository that a folder, or the folder of a file, lies in.
    pub(super) fn around(path: &Path) -> anyhow::Result<Self> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let found = Self { folder: folder.to_owned() };
        found.git(["rev-parse", "--git-dir"]).context("there is no git repository here")?;
        Ok(found)
    }

    /// The id of a commit.
    pub(super) fn commit(&self, revision: &str) -> anyhow::Result<String> {
        let wanted = format!("{revision}^{{commit}}");
        let found = self.git(["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted]);
        let id = found.map_err(|_| anyhow!("`{revision}` is no commit of this repository"))?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// What is not as in a commit: committed since, staged, not staged, and files that git does not know yet. With three
    /// dots behind it, the commit is where this branch and the one that is named have parted.
    pub(super) fn changes(&self, revision: &str) -> anyhow::Result<Changes> {
        let commit = match revision.strip_suffix("...") {
            None => self.commit(revision)?,
            Some(other) => {
                let parted = self.git(["merge-base", &self.commit(other)?, "HEAD"])?;
                String::from_utf8_lossy(&parted).trim().to_owned()
            }
        };
        let form = ["--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames"];
        let paths = ["--relative", "--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules"];
        let diff = self.git([&["diff"], &form[..], &paths[..], &[&commit, "--"]].concat())?;
        let mut changes = Changes::of_diff(&String::from_utf8_lossy(&diff));
        let unknown = self.git(["ls-files", "--others", "--exclude-standard", "-z"])?;
        for path in String::from_utf8_lossy(&unknown).split('\0').filter(|path| !path.is_empty()) {
            changes.0.insert(path.to_owned(), vec![1..=usize::MAX]);
        }
        Ok(changes)
    }

    /// Puts the files of a commit into a folder of their own; returns it and, in it, the place of `path`. The index and
    /// the files of the repository stay as they are.
    pub(super) fn check_out(&self, commit: &str, path: &Path) -> anyhow::Result<(TempDir, PathBuf)> {
        let place = tempfile::tempdir()?;
        let tree = place.path().join("tree");
        std::fs::create_dir(&tree)?;
        let top = self.git(["rev-parse", "--show-toplevel"])?;
        let below = self.git(["rev-parse", "--show-prefix"])?;
        let top = Self { folder: PathBuf::from(text(&top)) };
        let index = place.path().join("index");
        top.run(top.command(["read-tree", commit]).env("GIT_INDEX_FILE", &index))?;
        let into = format!("--prefix={}/", tree.display());
        top.run(top.command(["checkout-index", "--all", "--quiet", &into]).env("GIT_INDEX_FILE", &index))?;
        let mut inside = tree.join(text(&below));
        std::fs::create_dir_all(&inside)?;
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            inside.push(name);
        }
        Ok((place, inside))
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder).args(["-c", "core.quotePath=false"]).args(arguments);
        command
    }

    fn git<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> anyhow::Result<Vec<u8>> {
        self.run(&mut self.command(arguments))
    }

    fn run(&self, command: &mut Command) -> anyhow::Result<Vec<u8>> {
        let ended = command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow!("git is not installed"),
            _ => error.into(),
        })?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr);
            bail!("git: {}", said.lines().next().unwrap_or("it failed").trim());
        }
        Ok(ended.stdout)
    }
}

impl Changes {
    /// Reads a unified diff without context.
    fn of_diff(diff: &str) -> Self {
        let mut changes = Self::default();
        let mut path = None;
        // Lines of the hunk under way: what is added may look like a header.
        let mut left = 0;
        for line in diff.lines() {
            if left > 0 && line.starts_with(['+', '-']) {
                left -= 1;
            } else if let Some(name) = line.strip_prefix("+++ ") {
                path = unquoted(name).strip_prefix("b/").map(str::to_owned);
            } else if let Some((old, new)) = line.strip_prefix("@@ -").and_then(hunk) {
                left = old.1 + new.1;
                if let Some(path) = path.clone().filter(|_| new.1 > 0) {
                    changes.0.entry(path).or_default().push(new.0..=new.0 + new.1 - 1);
                }
            }
        }
        changes
    }

    /// Whether a finding stands on a line that has changed, or a step of its way does.
    pub(super) fn touch(&self, finding: &Finding) -> bool {
        let touches = |region: &Region| {
            let last = if region.end_column == 1 { region.end_line - 1 } else { region.end_line };
            let last = last.max(region.line);
            let ranges = self.0.get(&region.path).into_iter().flatten();
            ranges.into_iter().any(|range| region.line <= *range.end() && *range.start() <= last)
        };
        touches(&finding.region) || finding.flow.iter().any(|step| touches(&step.region))
    }
}

/// A start and a count.
type Span = (usize, usize);

/// The two spans of a hunk's header, behind `@@ -`.
fn hunk(header: &str) -> Option<(Span, Span)> {
    let span = |text: &str| -> Option<Span> {
        let (start, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((start.parse().ok()?, count.parse().ok()?))
    };
    let (old, rest) = header.split_once(" +")?;
    Some((span(old)?, span(rest.split(' ').next()?)?))
}

/// A path as git writes it: one with special characters stands in quotes, as a C string.
fn unquoted(name: &str) -> String {
    // A tab follows a name with blanks.
    let name = name.strip_suffix('\t').unwrap_or(name);
    let Some(quoted) = name.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return name.to_owned();
    };
    let (mut bytes, mut letters) = (Vec::new(), quoted.bytes().peekable());
    while let Some(letter) = letters.next() {
        if letter != b'\\' {
            bytes.push(letter);
            continue;
        }
        match letters.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(b'r') => bytes.push(b'\r'),
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                while let Some(digit) = letters.next_if(|next| (b'0'..=b'7').contains(next)) {
                    value = value * 8 + u32::from(digit - b'0');
                }
                bytes.push(u8::try_from(value).unwrap_or(b'?'));
            }
            other => bytes.extend(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_says_which_lines_are_there_now_whatever_they_hold() {
        let diff = "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,0 +2,3 @@ def f():\n+one\n\
                    +++ b/other.py\n+three\n@@ -9 +12 @@\n-old\n+new\n@@ -20,2 +23,0 @@\n-gone\n-gone\n\
                    diff --git \"a/t\\303\\244b\\t.py\" \"b/t\\303\\244b\\t.py\"\n--- /dev/null\n\
                    +++ \"b/t\\303\\244b\\t.py\"\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n\
                    --- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n";
        let expected =
            HashMap::from([("a.py".to_owned(), vec![2..=4, 12..=12]), ("täb\t.py".to_owned(), vec![1..=1])]);
        assert_eq!(Changes::of_diff(diff).0, expected);
    }
}
