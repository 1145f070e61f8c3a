//! Reads a directory of this machine, as `codeyard analyze PATH` does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ignore::{DirEntry, Walk, WalkBuilder};
use tokio_util::sync::CancellationToken;

use super::basket::{Basket, Filter, too_large_file, too_many_entries};
use super::{Error, Limits, Tree, path};
use crate::model::Skipped;

/// Reads the directory, honouring its `.gitignore` files, or the one file. Symbolic links are never followed.
/// Blocking.
pub(super) fn read(root: &Path, limits: &Limits, stop: &CancellationToken) -> Result<Tree, Error> {
    let meta = root.metadata().map_err(|error| Error::Io("open the directory", error))?;
    if meta.is_file() {
        return read_file(root, limits);
    }
    if !meta.is_dir() {
        return Err(Error::Invalid(format!("`{}` is neither a directory nor a file", root.display())));
    }
    let mut basket = Basket::new(limits)?;
    let pruned = Arc::default();
    for (seen, entry) in walk(root, limits, Arc::clone(&pruned))?.enumerate() {
        if stop.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if seen > limits.max_archive_entries {
            return Err(too_many_entries("the directory", limits));
        }
        match entry {
            Ok(entry) => take(root, &entry, &mut basket)?,
            Err(error) => basket.skip("", &path::printable(&format!("cannot be read: {error}"))),
        }
    }
    for folder in lock(&pruned).drain(..) {
        basket.skip(&folder.path, &folder.reason);
    }
    Ok(basket.into_tree(None))
}

/// A file that somebody names is read whatever it looks like, up to the cap.
fn read_file(file: &Path, limits: &Limits) -> Result<Tree, Error> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut basket = Basket::new(limits)?;
    let file = file.canonicalize().map_err(|error| Error::Io("open the file", error))?;
    let content = content(&file, limits.max_file_bytes).map_err(|error| Error::Io("open the file", error))?;
    let content = content.ok_or_else(|| too_large_file(limits))?;
    basket.keep(name, content)?;
    Ok(basket.into_tree(None))
}

type Pruned = Arc<Mutex<Vec<Skipped>>>;

/// Walks in the order of the names, leaving out whole folders before they are opened.
fn walk(root: &Path, limits: &Limits, pruned: Pruned) -> Result<Walk, Error> {
    let filter = Filter::new(limits)?;
    let base = root.to_owned();
    let keep = move |entry: &DirEntry| {
        if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
            return true;
        }
        let Some(folder) = relative(&base, entry.path()) else { return true };
        let exists = |other: &str| base.join(other).symlink_metadata().is_ok();
        let Some(left_out) = filter.leaves_out(&format!("{folder}/"), &exists) else { return true };
        lock(&pruned).push(left_out);
        false
    };
    Ok(WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(Ord::cmp)
        .filter_entry(keep)
        .build())
}

/// Puts one file into the basket.
fn take(root: &Path, entry: &DirEntry, basket: &mut Basket<'_>) -> Result<(), Error> {
    let Some(kind) = entry.file_type().filter(|kind| !kind.is_dir()) else { return Ok(()) };
    let Some(raw) = relative(root, entry.path()) else {
        let shown = entry.path().strip_prefix(root).unwrap_or(entry.path()).to_string_lossy();
        basket.skip(&path::printable(&shown), "its name is not UTF-8");
        return Ok(());
    };
    let path = match path::clean(&raw, basket.max_depth()) {
        Ok(path) => path,
        Err(fault) => {
            basket.skip(&path::printable(&raw), &format!("its path {fault}"));
            return Ok(());
        }
    };
    if !kind.is_file() {
        let link = kind.is_symlink();
        let reason =
            if link { "a symbolic link; links are not followed" } else { "a device, pipe or socket" };
        basket.skip(&path, reason);
        return Ok(());
    }
    let size = entry.metadata().map_or(0, |meta| meta.len());
    let exists = |other: &str| root.join(other).symlink_metadata().is_ok();
    if !basket.wants(&path, size, &exists) {
        return Ok(());
    }
    if path.rsplit('/').next() == Some(".gitignore") {
        basket.skip(&path, "the files that it names are not read");
    }
    match content(entry.path(), basket.max_file_bytes()) {
        Ok(Some(content)) => basket.add(path, content)?,
        Ok(None) => basket.skip(&path, "changed while it was read"),
        Err(error) => basket.skip(&path, &format!("cannot be read: {error}")),
    }
    Ok(())
}

/// The bytes of a file; nothing if it has become something else, or larger, since it was looked at.
fn content(file: &Path, cap: u64) -> io::Result<Option<Vec<u8>>> {
    // A pipe in the place of the file must not hang us, a link must not lead us away.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut content = Vec::new();
    file.take(cap + 1).read_to_end(&mut content)?;
    Ok((content.len() as u64 <= cap).then_some(content))
}

fn relative(root: &Path, path: &Path) -> Option<String> {
    let relative: PathBuf = path.strip_prefix(root).ok()?.components().collect();
    relative.to_str().map(str::to_owned)
}

fn lock(pruned: &Pruned) -> std::sync::MutexGuard<'_, Vec<Skipped>> {
    pruned.lock().unwrap_or_else(PoisonError::into_inner)
}
