//! Gets code onto disk safely: inline, files, ZIP, git.
//!
//! Whatever comes in is hostile until it went through here: paths, archives, addresses. Every door ends in one
//! basket, which keeps the caps; what is left out is noted with its reason, and what looks like an attack, or
//! is larger than this server takes, refuses the whole source with an [`Error`] that names the cap.

pub mod address;
mod archive;
mod basket;
mod directory;
mod error;
mod limits;
pub mod page;
pub mod path;
mod recognise;
mod remote;
mod repository;
mod text;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use limits::Limits;

use crate::model::{Skipped, SourceFile};
use crate::sandbox::Sandbox;

/// Where code comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A piece of code in the request.
    Inline {
        /// The code.
        code: String,
        /// Its language, if there is no file name that shows it.
        language: Option<String>,
        /// Its file name.
        filename: Option<String>,
    },
    /// Files in the request.
    Files(Vec<SourceFileText>),
    /// A ZIP archive on this server's disk, sent by somebody.
    Archive(PathBuf),
    /// A git repository elsewhere.
    Repository {
        /// Its `https` address, without credentials.
        url: String,
        /// A branch, a tag or a commit; the default branch if there is none.
        reference: Option<String>,
    },
    /// A directory, or one file, of this machine. Trusted: never built from what a caller of the server sent.
    Directory(PathBuf),
}

/// A file as it stands in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceFileText {
    /// Relative to the root of the source, with `/` between its parts.
    pub path: String,
    /// The text.
    pub content: String,
}

/// A source, taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The files, ordered by path.
    pub files: Vec<SourceFile>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// The commit, if it came from git.
    pub revision: Option<String>,
}

impl Tree {
    /// Writes the files into an empty directory. Their paths were checked when they were taken in; nothing that
    /// is already there is overwritten or followed. Blocking.
    pub fn write_to(&self, folder: &Path) -> Result<(), Error> {
        let failed = |error| Error::Io("write the source to disk", error);
        for file in &self.files {
            let path = folder.join(&file.path);
            fs::create_dir_all(path.parent().unwrap_or(folder)).map_err(failed)?;
            File::create_new(path).and_then(|mut to| to.write_all(&file.content)).map_err(failed)?;
        }
        Ok(())
    }
}

/// Takes a source in. `note` is told what is going on, in short sentences for the caller to read.
pub async fn take_in(
    source: Source,
    limits: &Limits,
    sandbox: &Sandbox,
    stop: &CancellationToken,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Tree, Error> {
    check(&source, limits)?;
    match source {
        Source::Inline { code, language, filename } => {
            text::inline(code, language.as_deref(), filename.as_deref(), limits)
        }
        Source::Files(list) => text::files(list, limits),
        Source::Archive(file) => {
            note("Unpacking the archive");
            blocking(limits, stop, move |limits, stop| archive::read(&file, limits, stop)).await
        }
        Source::Directory(root) => {
            note("Reading the directory");
            blocking(limits, stop, move |limits, stop| directory::read(&root, limits, stop)).await
        }
        Source::Repository { url, reference } => {
            repository::read(&url, reference.as_deref(), limits, sandbox, stop, note).await
        }
    }
}

/// Checks what can be checked without touching disk or network, before a job is accepted.
pub fn check(source: &Source, limits: &Limits) -> Result<(), Error> {
    basket::Filter::new(limits)?;
    match source {
        Source::Inline { code, language, filename } => {
            text::check_inline(code, language.as_deref(), filename.as_deref(), limits)
        }
        Source::Files(list) => text::check_files(list, limits),
        Source::Repository { url, reference } => repository::check(url, reference.as_deref(), limits),
        Source::Archive(_) | Source::Directory(_) => Ok(()),
    }
}

/// Runs slow disk work off the async threads; it stops when the caller stops waiting.
async fn blocking<F>(limits: &Limits, stop: &CancellationToken, work: F) -> Result<Tree, Error>
where
    F: FnOnce(&Limits, &CancellationToken) -> Result<Tree, Error> + Send + 'static,
{
    let stop = stop.child_token();
    let _stop_when_dropped = stop.clone().drop_guard();
    let limits = limits.clone();
    tokio::task::spawn_blocking(move || work(&limits, &stop))
        .await
        .unwrap_or_else(|error| Err(Error::Io("finish reading", std::io::Error::other(error))))
}
