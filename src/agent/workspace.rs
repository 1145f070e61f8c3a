//! The workspace of one build: a directory for commands, and a history that survives them.
//!
//! The history lies in the build's home, below the server's data; the directory is the sandbox's own kind, which
//! commands of another user can reach and which goes away with the run. A run that goes on after a crash gets a new
//! directory with the files of the last step that it knows of: half a step is never seen.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::{DirEntry, WalkBuilder};
use serde::{Deserialize, Serialize};
use similar::TextDiff;

use super::attached::{self, HISTORY};
use super::environment;
use super::history::{Blob, CommitId, Files, History, Mode};
use crate::proxy::{Proxy, Traffic};
use crate::sandbox::{self, Command, Sandbox};
use crate::source::{Tree, path};

/// Folders one below the other.
const MAX_DEPTH: usize = 32;
/// Files that are kept, and the size of each; what goes beyond stays in the directory and out of the history.
const MAX_FILES: usize = 20_000;
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Texts up to this size are compared line by line.
const MAX_DIFF_BYTES: usize = 256 << 10;
/// What tools write for themselves, and no project consists of.
const NOT_KEPT: &[&str] =
    &[".git", "node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", ".tox"];

/// A directory with a project in it, and every step that made it.
#[derive(Debug)]
pub struct Workspace {
    room: sandbox::Workspace,
    project: PathBuf,
    history: History,
    head: Option<CommitId>,
    number: usize,
    /// The files as of the last step, and how each looked on disk then, unless it was written since.
    files: Files,
    seen: BTreeMap<String, Stamp>,
    network: Option<Arc<Proxy>>,
}

/// A step that was kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub number: usize,
    /// What was done, in one line.
    pub name: String,
    /// Its commit.
    pub commit: CommitId,
    /// What it changed, ordered by path.
    pub changes: Vec<Change>,
    /// Files that are there and were not kept, with the reason.
    pub left_out: Vec<String>,
}

/// What a step did to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which file.
    pub path: String,
    /// What happened to it.
    pub change: Sort,
    /// Lines that came.
    pub added: usize,
    /// Lines that went.
    pub removed: usize,
    /// A unified diff; empty if the file is no text or too large to compare.
    pub diff: String,
}

/// What can happen to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// It is new.
    Added,
    /// It is another.
    Modified,
    /// It is gone.
    Deleted,
}

/// A file of the last step, with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Relative to the project, `/` between its parts.
    pub path: String,
    /// Whether it may be executed.
    pub executable: bool,
    /// The target, if it is a symbolic link.
    pub link: Option<String>,
    /// What it holds; nothing if it is a link.
    pub content: Vec<u8>,
}

/// Why something cannot be done in a workspace. Its text says what to do instead, and holds no path of the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path names no place in the project.
    #[error("the path `{path}` {fault}")]
    BadPath {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        fault: String,
    },
    /// There is nothing of that name.
    #[error("there is no file `{0}`")]
    NotThere(String),
    /// It is there, and no file.
    #[error("`{0}` is not a file")]
    NotAFile(String),
    /// Links are kept and never followed.
    #[error("`{0}` is or lies behind a symbolic link; links are not followed")]
    Link(String),
    /// More than a file may hold.
    #[error("`{0}` is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge(String),
    /// There is no such step.
    #[error("there is no step {0}")]
    NoSuchStep(usize),
    /// A later step has changed the same file.
    #[error("step {step} cannot be undone: `{path}` was changed again since")]
    ChangedSince {
        /// Which step.
        step: usize,
        /// Which file.
        path: String,
    },
    /// The commit is not in the history: another machine ran the build before, or its disk was lost.
    #[error("the history of this build does not reach back to where it was; it has to begin anew")]
    Lost(#[source] io::Error),
    /// The sandbox gave no directory.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The disk failed.
    #[error("cannot {0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

/// How a file looked when it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// All methods block; none takes longer than reading and writing the project once.
impl Workspace {
    /// Opens the workspace whose home is `home`, with the files as of commit `at`; without one it begins empty, and
    /// what was there before is forgotten.
    pub fn open(home: &Path, at: Option<CommitId>, sandbox: &Sandbox) -> Result<Self, Error> {
        let history = History::open(&home.join(HISTORY)).map_err(io_at("open the history"))?;
        let room = sandbox.workspace()?;
        let project = room.path().join("project");
        for folder in [&project, &room.path().join("home")] {
            fs::create_dir(folder).and_then(|()| room.hand_over(folder)).map_err(io_at("make a folder"))?;
        }
        let (files, seen) = (Files::new(), BTreeMap::new());
        let mut workspace = Self { room, project, history, head: at, number: 0, files, seen, network: None };
        workspace.history.set_head(at).map_err(io_at("set the history"))?;
        if let Some(at) = at {
            let commits = workspace.history.commits(at).map_err(Error::Lost)?;
            workspace.number = commits.len();
            let last = commits.last().map(|commit| workspace.history.files(commit)).transpose();
            workspace.files = last.map_err(Error::Lost)?.unwrap_or_default();
            workspace.history.go_on_from(at).map_err(Error::Lost)?;
            for (path, blob) in workspace.files.clone() {
                workspace.restore(&path, blob)?;
            }
        }
        Ok(workspace)
    }

    /// What came to the history since the last time, as files for [`super::bring_home`].
    pub fn take_news(&mut self) -> Vec<(String, Vec<u8>)> {
        self.history.take_news().into_iter().map(attached::of_object).collect()
    }

    /// Whether [`Workspace::take_news`] gives all that there is. A history that grew too large is kept here alone.
    #[must_use]
    pub fn all_is_told(&self) -> bool {
        self.history.all_is_told()
    }

    /// Where the project lies, for the server and for commands alike.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.project
    }

    /// A directory beside the project that commands may write to, for caches and reports.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.room.path().join("home")
    }

    /// The last step's commit.
    #[must_use]
    pub fn head(&self) -> Option<CommitId> {
        self.head
    }

    /// How many steps there are.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.number
    }

    /// Lets its commands reach whom this lets through.
    pub fn connect(&mut self, network: Option<Arc<Proxy>>) {
        self.network = network;
    }

    /// What its commands have reached, and tried to, since this was asked last.
    pub fn take_traffic(&self) -> Vec<Traffic> {
        self.network.as_ref().map(|network| network.take_traffic()).unwrap_or_default()
    }

    /// A command that runs in the project and may change it, without a network unless it was connected to one.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program, &self.project).env("HOME", self.home());
        command.writable.push(self.home());
        environment::dress(command, self.network.as_ref())
    }

    /// The place of a path. It lies in the project, whatever the path says, and no link leads there.
    pub fn resolve(&self, raw: &str) -> Result<PathBuf, Error> {
        self.place(raw).map(|(_, place)| place)
    }

    /// What a file holds.
    pub fn read(&self, raw: &str) -> Result<Vec<u8>, Error> {
        let (path, place) = self.place(raw)?;
        read_file(&path, &place)
    }

    /// Writes a file, with the folders above it, in place of a former one.
    pub fn write(&mut self, raw: &str, content: &[u8]) -> Result<(), Error> {
        let (path, place) = self.place(raw)?;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::TooLarge(path));
        }
        let before = place.symlink_metadata().ok();
        if before.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(Error::NotAFile(path));
        }
        let mode = before.map_or(0o644, |meta| meta.permissions().mode() & 0o777);
        self.put(&path, &place, content, mode)
    }

    /// Removes a file.
    pub fn remove(&mut self, raw: &str) -> Result<(), Error> {
        let (path, place) = self.place(raw)?;
        let meta = place.symlink_metadata().map_err(|_| Error::NotThere(path.clone()))?;
        if meta.is_dir() {
            return Err(Error::NotAFile(path));
        }
        fs::remove_file(place).map_err(io_at("remove a file"))
    }

    /// Writes the files of a source that was taken in.
    pub fn fill(&mut self, tree: &Tree) -> Result<(), Error> {
        tree.files.iter().try_for_each(|file| self.write(&file.path, &file.content))
    }

    /// The paths of all files as they are now, in order, without what tools keep for themselves.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        Ok(self.walk()?.0.into_keys().collect())
    }

    /// Keeps what has changed as a step of this name; nothing if nothing has.
    pub fn commit(&mut self, name: &str) -> Result<Option<Step>, Error> {
        let (found, mut left_out) = self.walk()?;
        let mut files = Files::new();
        let mut seen = BTreeMap::new();
        for (path, stamp) in found {
            let known = self.files.get(&path).filter(|_| self.seen.get(&path) == Some(&stamp));
            match known.copied().map_or_else(|| self.keep(&path), |blob| Ok(Some(blob)))? {
                Some(blob) => {
                    files.insert(path.clone(), blob);
                    seen.insert(path, stamp);
                }
                None => left_out.push(format!("{path}: a link that leads out of the project, or too large")),
            }
        }
        self.seen = seen;
        if files == self.files {
            return Ok(None);
        }
        let changes = self.changes(&self.files, &files)?;
        let number = self.number + 1;
        let failed = io_at("write the history");
        let commit = self.history.commit(&files, self.head, number, name).map_err(failed)?;
        self.history.set_head(Some(commit)).map_err(io_at("write the history"))?;
        (self.head, self.number, self.files) = (Some(commit), number, files);
        Ok(Some(Step { number, name: name.to_owned(), commit, changes, left_out }))
    }

    /// What step `number` was called and what it changed.
    pub fn step(&self, number: usize) -> Result<Step, Error> {
        let (commit, before, after) = self.around(number)?;
        let changes = self.changes(&before, &after)?;
        let (name, commit) = (commit.message, commit.id);
        Ok(Step { number, name, commit, changes, left_out: Vec::new() })
    }

    /// Takes back what step `number` did, as a step of its own. Files that a later step has changed again are a
    /// conflict, and then nothing is done.
    pub fn undo(&mut self, number: usize) -> Result<Option<Step>, Error> {
        let (commit, before, after) = self.around(number)?;
        let touched = |path: &&String| before.get(*path) != after.get(*path);
        let paths: Vec<String> = before.keys().chain(after.keys()).filter(touched).cloned().collect();
        if let Some(path) = paths.iter().find(|path| self.files.get(*path) != after.get(*path)) {
            return Err(Error::ChangedSince { step: number, path: path.clone() });
        }
        for path in &paths {
            match before.get(path) {
                Some(blob) => self.restore(path, *blob)?,
                None => self.remove(path).or_else(|error| match error {
                    Error::NotThere(_) => Ok(()),
                    other => Err(other),
                })?,
            }
        }
        self.commit(&format!("Undo step {number}: {}", commit.message))
    }

    /// The files of the last step.
    pub fn kept(&self) -> Result<Vec<Kept>, Error> {
        let read = |(path, blob): (&String, &Blob)| {
            let content = self.history.blob(blob.id).map_err(Error::Lost)?;
            let is_link = blob.mode == Mode::Link;
            Ok(Kept {
                path: path.clone(),
                executable: blob.mode == Mode::Executable,
                link: is_link.then(|| String::from_utf8_lossy(&content).into_owned()),
                content: if is_link { Vec::new() } else { content },
            })
        };
        self.files.iter().map(read).collect()
    }

    /// Every step as a git bundle; nothing before the first.
    pub fn bundle(&self) -> Result<Option<Vec<u8>>, Error> {
        self.head.map(|head| self.history.bundle(head).map_err(Error::Lost)).transpose()
    }

    /// A commit with the files before and after it.
    fn around(&self, number: usize) -> Result<(super::history::Commit, Files, Files), Error> {
        let none = || Error::NoSuchStep(number);
        let commits = self.history.commits(self.head.ok_or_else(none)?).map_err(Error::Lost)?;
        let at = number.checked_sub(1).ok_or_else(none)?;
        let commit = commits.get(at).ok_or_else(none)?;
        let files = |commit| self.history.files(commit).map_err(Error::Lost);
        let before = at.checked_sub(1).and_then(|at| commits.get(at)).map(files).transpose()?;
        Ok((commit.clone(), before.unwrap_or_default(), files(commit)?))
    }

    /// The clean form of a path, and its place.
    fn place(&self, raw: &str) -> Result<(String, PathBuf), Error> {
        let bad = |fault: String| Error::BadPath { path: raw.chars().take(200).collect(), fault };
        let path = path::clean(raw, MAX_DEPTH).map_err(|fault| bad(fault.to_string()))?;
        if path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
            return Err(bad("belongs to the history, which keeps itself".to_owned()));
        }
        let mut place = self.project.clone();
        for part in path.split('/') {
            place.push(part);
            if place.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
                return Err(Error::Link(path));
            }
        }
        Ok((path, place))
    }

    /// Whether a folder on the way to this path is a link: what lies there is none of the project's.
    fn is_behind_link(&self, path: &str) -> bool {
        path.rsplit_once('/').is_some_and(|(folder, _)| matches!(self.place(folder), Err(Error::Link(_))))
    }

    /// Writes a file or link of the history back.
    fn restore(&mut self, path: &str, blob: Blob) -> Result<(), Error> {
        let content = self.history.blob(blob.id).map_err(Error::Lost)?;
        let place = self.project.join(path);
        if self.is_behind_link(path) {
            return Err(Error::Link(path.to_owned()));
        }
        // Whatever lies there now may be a link itself; it is to be replaced, not followed.
        if place.symlink_metadata().is_ok() {
            fs::remove_file(&place).map_err(io_at("replace a file"))?;
        }
        let (clean, place) = self.place(path)?;
        match blob.mode {
            Mode::Plain => self.put(&clean, &place, &content, 0o644),
            Mode::Executable => self.put(&clean, &place, &content, 0o755),
            Mode::Link => {
                self.make_folders(&place)?;
                let target = String::from_utf8_lossy(&content).into_owned();
                symlink(target, &place)
                    .and_then(|()| self.room.hand_over(&place))
                    .map_err(io_at("write a link"))
            }
        }
    }

    fn put(&mut self, path: &str, place: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
        self.make_folders(place)?;
        let folder = place.parent().unwrap_or(&self.project);
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(content)?;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            self.room.hand_over(file.path())?;
            // In place of what is there, be it a file, a link or a pipe.
            file.persist(place).map(drop).map_err(|error| error.error)
        });
        written.map_err(io_at("write a file"))?;
        // The clock of a file system is too coarse to tell a second write from the first.
        self.seen.remove(path);
        Ok(())
    }

    fn make_folders(&self, place: &Path) -> Result<(), Error> {
        let missing: Vec<&Path> = place.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            fs::create_dir(folder)
                .and_then(|()| self.room.hand_over(folder))
                .map_err(io_at("make a folder"))?;
        }
        Ok(())
    }

    /// What lies in the project, and what of it cannot be kept.
    fn walk(&self) -> Result<(BTreeMap<String, Stamp>, Vec<String>), Error> {
        let (mut found, mut left_out) = (BTreeMap::new(), Vec::new());
        let walk = WalkBuilder::new(&self.project)
            .hidden(false)
            .ignore(false)
            .parents(false)
            .git_global(false)
            .git_exclude(false)
            .require_git(false)
            .follow_links(false)
            .filter_entry(is_kept)
            .build();
        // What was kept once is kept until it is gone, ignored or not.
        let known = self.files.keys().filter(|path| !self.is_behind_link(path));
        let known = known.map(|path| self.project.join(path));
        for place in walk.flatten().map(DirEntry::into_path).chain(known) {
            let Ok(meta) = place.symlink_metadata() else { continue };
            if !meta.is_file() && !meta.is_symlink() {
                continue;
            }
            let shown = place.strip_prefix(&self.project).unwrap_or(&place).to_string_lossy().into_owned();
            if found.contains_key(&shown) {
                continue;
            }
            match path::clean(&shown, MAX_DEPTH) {
                Ok(path) if path == shown && !shown.contains('\u{fffd}') && found.len() < MAX_FILES => {
                    found.insert(path, Stamp::of(&meta));
                }
                Ok(_) if found.len() >= MAX_FILES => {
                    left_out.push(format!("{shown}: more than {MAX_FILES} files"));
                    return Ok((found, left_out));
                }
                _ => left_out.push(format!("{}: a name that cannot be kept", shown.escape_debug())),
            }
        }
        Ok((found, left_out))
    }

    /// Puts what lies there into the history, if it may be there.
    fn keep(&mut self, path: &str) -> Result<Option<Blob>, Error> {
        let place = self.project.join(path);
        let meta = place.symlink_metadata().map_err(|_| Error::NotThere(path.to_owned()))?;
        let (mode, content) = if meta.is_symlink() {
            let target = fs::read_link(&place).map_err(io_at("read a link"))?;
            let Some(target) = target.to_str().filter(|target| stays_inside(path, target)) else {
                return Ok(None);
            };
            (Mode::Link, target.as_bytes().to_vec())
        } else {
            let executable = meta.permissions().mode() & 0o100 != 0;
            let mode = if executable { Mode::Executable } else { Mode::Plain };
            match read_file(path, &place) {
                Ok(content) => (mode, content),
                Err(Error::TooLarge(_) | Error::Link(_) | Error::NotAFile(_)) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        let id = self.history.put_blob(&content).map_err(io_at("write the history"))?;
        Ok(Some(Blob { mode, id }))
    }

    fn changes(&self, before: &Files, after: &Files) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        let paths: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for path in paths {
            let (old, new) = (before.get(path), after.get(path));
            let change = match (old, new) {
                (None, _) => Sort::Added,
                (_, None) => Sort::Deleted,
                (old, new) if old == new => continue,
                _ => Sort::Modified,
            };
            let text = |blob: Option<&Blob>| -> Result<Option<String>, Error> {
                let bytes = blob.map(|blob| self.history.blob(blob.id)).transpose().map_err(Error::Lost)?;
                let bytes = bytes.unwrap_or_default();
                Ok(String::from_utf8(bytes).ok().filter(|t| t.len() <= MAX_DIFF_BYTES && !t.contains('\0')))
            };
            let (added, removed, diff) = match (text(old)?, text(new)?) {
                (Some(old), Some(new)) => compare(path, change, &old, &new),
                _ => (0, 0, String::new()),
            };
            changes.push(Change { path: path.clone(), change, added, removed, diff });
        }
        Ok(changes)
    }
}

fn is_kept(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_str().unwrap_or_default();
    let is_build_output =
        || name == "target" && entry.path().with_file_name("Cargo.toml").symlink_metadata().is_ok();
    entry.depth() == 0 || !(NOT_KEPT.contains(&name) || is_build_output())
}

/// Whether a link from `path` to `target` ends in the project, by its text alone.
fn stays_inside(path: &str, target: &str) -> bool {
    let mut depth = path.matches('/').count();
    !target.starts_with('/')
        && target.split('/').all(|part| match part {
            "" | "." => true,
            ".." => depth.checked_sub(1).map(|less| depth = less).is_some(),
            _ => {
                depth += 1;
                true
            }
        })
}

/// The bytes of a file, up to the cap. A pipe in its place does not hang us, a link does not lead us away.
fn read_file(path: &str, place: &Path) -> Result<Vec<u8>, Error> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let open: io::Result<File> = OpenOptions::new().read(true).custom_flags(flags).open(place);
    let file = open.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => Error::Link(path.to_owned()),
        Some(libc::ENOENT | libc::ENOTDIR) => Error::NotThere(path.to_owned()),
        _ => Error::Io("open a file", error),
    })?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(Error::NotAFile(path.to_owned()));
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(io_at("read a file"))?;
    if content.len() as u64 > MAX_FILE_BYTES { Err(Error::TooLarge(path.to_owned())) } else { Ok(content) }
}

/// Lines that came, lines that went, and the diff.
fn compare(path: &str, change: Sort, old: &str, new: &str) -> (usize, usize, String) {
    let diff = TextDiff::from_lines(old, new);
    let count = |tag| diff.iter_all_changes().filter(|change| change.tag() == tag).count();
    let (added, removed) = (count(similar::ChangeTag::Insert), count(similar::ChangeTag::Delete));
    let from = if change == Sort::Added { "/dev/null".to_owned() } else { format!("a/{path}") };
    let to = if change == Sort::Deleted { "/dev/null".to_owned() } else { format!("b/{path}") };
    (added, removed, diff.unified_diff().context_radius(3).header(&from, &to).to_string())
}

impl Stamp {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            inode: meta.ino(),
            length: meta.len(),
            mode: meta.mode(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

fn io_at(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |error| Error::Io(what, error)
}
