//! Collects what is kept of a source and notes what is not, within the caps.

use std::collections::HashSet;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{Error, Limits, Tree, path, recognise};
use crate::model::{Skipped, SourceFile};

/// More notes than this help nobody; the last one then says how many there were.
const MAX_SKIPPED: usize = 1_000;

/// What is kept so far. Every door puts files in here and nowhere else, so that the caps hold for all.
pub(super) struct Basket<'a> {
    limits: &'a Limits,
    filter: Filter,
    files: Vec<SourceFile>,
    skipped: Vec<Skipped>,
    unnamed: usize,
    bytes: u64,
    folders: HashSet<String>,
    paths: HashSet<String>,
}

impl<'a> Basket<'a> {
    pub(super) fn new(limits: &'a Limits) -> Result<Self, Error> {
        Ok(Self {
            limits,
            filter: Filter::new(limits)?,
            files: Vec::new(),
            skipped: Vec::new(),
            unnamed: 0,
            bytes: 0,
            folders: HashSet::new(),
            paths: HashSet::new(),
        })
    }

    pub(super) fn max_depth(&self) -> usize {
        self.limits.max_depth
    }

    pub(super) fn max_file_bytes(&self) -> u64 {
        self.limits.max_file_bytes
    }

    /// The path as it is kept, or nothing if it must not be: then it is noted, or, where nobody writes it by
    /// accident, the whole source is refused.
    pub(super) fn name(&mut self, raw: &str) -> Result<Option<String>, Error> {
        match path::clean(raw, self.limits.max_depth) {
            Ok(path) => Ok(Some(path)),
            Err(fault) if fault.is_hostile() => {
                Err(Error::Invalid(format!("the path `{}` {fault}", path::printable(raw))))
            }
            Err(fault) => {
                self.skip(&path::printable(raw), &format!("its path {fault}"));
                Ok(None)
            }
        }
    }

    /// Whether a file is worth reading at all, by its path and its size; notes why if it is not.
    pub(super) fn wants(&mut self, path: &str, size: u64, exists: &dyn Fn(&str) -> bool) -> bool {
        if self.leaves_out(path, exists) {
            return false;
        }
        if size > self.limits.max_file_bytes {
            let cap = self.limits.max_file_bytes;
            self.skip(path, &format!("larger than {cap} bytes (intake.max_file_bytes)"));
            return false;
        }
        true
    }

    /// Whether a file lies in a vendored folder or is excluded; notes it, a folder once.
    fn leaves_out(&mut self, path: &str, exists: &dyn Fn(&str) -> bool) -> bool {
        let Some(left_out) = self.filter.leaves_out(path, exists) else { return false };
        if left_out.path == path || self.folders.insert(left_out.path.clone()) {
            self.skip(&left_out.path, &left_out.reason);
        }
        true
    }

    /// Keeps a file, unless its content is nothing to read. The caps of the whole source are met here.
    pub(super) fn add(&mut self, path: String, content: Vec<u8>) -> Result<(), Error> {
        if let Some(what) = recognise::unreadable(&path, &content) {
            self.skip(&path, what);
            return Ok(());
        }
        self.keep(path, content)
    }

    /// Keeps a file whatever it holds.
    pub(super) fn keep(&mut self, path: String, content: Vec<u8>) -> Result<(), Error> {
        if self.files.len() >= self.limits.max_files {
            return Err(too_many_files(self.limits));
        }
        self.bytes = self.bytes.saturating_add(content.len() as u64);
        if self.bytes > self.limits.max_total_bytes {
            return Err(too_many_bytes(self.limits));
        }
        if !self.paths.insert(path.clone()) {
            return Err(Error::Invalid(format!("the path `{path}` is there twice")));
        }
        self.files.push(SourceFile { path, content });
        Ok(())
    }

    /// Notes a file or folder that is left out.
    pub(super) fn skip(&mut self, path: &str, reason: &str) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(Skipped { path: path.to_owned(), reason: reason.to_owned() });
        } else {
            self.unnamed += 1;
        }
    }

    /// What was collected, ordered by path: the same source gives the same tree.
    pub(super) fn into_tree(mut self, revision: Option<String>) -> Tree {
        self.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        self.skipped.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        if self.unnamed > 0 {
            let reason = format!("{} more files or folders were skipped", self.unnamed);
            self.skipped.push(Skipped { path: String::new(), reason });
        }
        Tree { files: self.files, skipped: self.skipped, revision }
    }
}

/// What is left out by its path alone.
#[derive(Clone)]
pub(super) struct Filter {
    exclude: Gitignore,
    skip_vendored: bool,
}

impl Filter {
    /// A bad glob is the caller's fault.
    pub(super) fn new(limits: &Limits) -> Result<Self, Error> {
        let mut builder = GitignoreBuilder::new("");
        let bad = |error| Error::Invalid(format!("a glob in `exclude` cannot be read: {error}"));
        for line in &limits.exclude {
            builder.add_line(None, line).map_err(bad)?;
        }
        Ok(Self { exclude: builder.build().map_err(bad)?, skip_vendored: limits.skip_vendored })
    }

    /// The file or folder (its path ends in `/`) to note when `path` is left out. `exists` knows the other
    /// paths of the tree.
    pub(super) fn leaves_out(&self, path: &str, exists: &dyn Fn(&str) -> bool) -> Option<Skipped> {
        if self.skip_vendored
            && let Some((folder, what)) = recognise::vendored(path, exists)
        {
            return Some(Skipped { path: folder.to_owned(), reason: what.to_owned() });
        }
        let bare = path.trim_end_matches('/');
        let excluded = self.exclude.matched_path_or_any_parents(bare, path.ends_with('/')).is_ignore();
        excluded.then(|| Skipped { path: bare.to_owned(), reason: "excluded by a glob".to_owned() })
    }
}

pub(super) fn too_large_file(limits: &Limits) -> Error {
    Error::TooLarge {
        what: "the code is too large for one file".to_owned(),
        cap: format!("{} bytes", limits.max_file_bytes),
        setting: "intake.max_file_bytes",
    }
}

pub(super) fn too_many_files(limits: &Limits) -> Error {
    Error::TooLarge {
        what: "the source has too many files".to_owned(),
        cap: format!("{} files", limits.max_files),
        setting: "intake.max_files",
    }
}

pub(super) fn too_many_bytes(limits: &Limits) -> Error {
    Error::TooLarge {
        what: "the source is too large".to_owned(),
        cap: format!("{} bytes", limits.max_total_bytes),
        setting: "intake.max_total_bytes",
    }
}

pub(super) fn too_many_entries(what: &str, limits: &Limits) -> Error {
    Error::TooLarge {
        what: format!("{what} has too many entries"),
        cap: format!("{} entries", limits.max_archive_entries),
        setting: "intake.max_archive_entries",
    }
}
