//! The history of a workspace: a git repository of loose objects, written without git.
//!
//! A build commits after every step, thousands of times a minute on a busy server, and a process for each would cost
//! more than the step. The formats are those of git's documentation (`gitrepository-layout`, "Git Objects" in Pro Git,
//! `gitformat-pack`, `gitformat-bundle`), in their simplest form: SHA-1, loose objects, packs without deltas. Authors
//! and dates are fixed, so that the same steps give the same commits on every machine.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// The time of the commit before the first: 1980-01-01, the oldest that ZIP archives know. Each step is a minute later.
pub(super) const EPOCH: i64 = 315_532_800;
/// No object is larger: what is larger does not get into a history.
const LARGEST_OBJECT: u64 = 64 << 20;
/// Bytes of objects that one run of a build passes on to the database, so that another server can go on.
const MOST_NEWS: u64 = 64 << 20;
const BRANCH: &str = "refs/heads/main";

/// The name of a commit: 40 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(pub(super) Id);

/// The name of any object: the SHA-1 of what it holds.
pub(super) type Id = [u8; 20];

/// A file of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) mode: Mode,
    pub(super) id: Id,
}

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Plain,
    Executable,
    Link,
}

/// All files of a commit, by path.
pub(super) type Files = BTreeMap<String, Blob>;

/// A commit, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) id: CommitId,
    pub(super) tree: Id,
    pub(super) parent: Option<CommitId>,
    pub(super) message: String,
}

/// A bare repository.
#[derive(Debug)]
pub(super) struct History {
    folder: PathBuf,
    /// The objects that the state of the build needs no more copies of.
    known: HashSet<Id>,
    news: Vec<Object>,
    news_bytes: u64,
}

/// An object as it lies on disk: deflated, with its head.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) id: CommitId,
    pub(super) deflated: Vec<u8>,
}

impl History {
    /// Opens it, or makes it where there is none.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        for name in ["objects", "refs/heads"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let history =
            Self { folder: folder.to_owned(), known: HashSet::new(), news: Vec::new(), news_bytes: 0 };
        if !folder.join("HEAD").exists() {
            let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
            history.replace("config", config.as_bytes())?;
            history.replace("HEAD", format!("ref: {BRANCH}\n").as_bytes())?;
        }
        Ok(history)
    }

    /// Makes a commit the newest, or forgets all of them.
    pub(super) fn set_head(&self, commit: Option<CommitId>) -> io::Result<()> {
        match commit {
            Some(commit) => self.replace(BRANCH, format!("{commit}\n").as_bytes()),
            None => match fs::remove_file(self.folder.join(BRANCH)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        }
    }

    /// Goes on from a commit, all of which is here: what belongs to it is no news.
    pub(super) fn go_on_from(&mut self, commit: CommitId) -> io::Result<()> {
        self.known = self.reachable(commit)?.into_iter().map(|(_, id)| id).collect();
        Ok(())
    }

    /// The objects that came since the last time, for other machines.
    pub(super) fn take_news(&mut self) -> Vec<Object> {
        std::mem::take(&mut self.news)
    }

    /// Whether all that came was told as news. A history that grew too large is on this machine alone.
    pub(super) fn all_is_told(&self) -> bool {
        self.news_bytes <= MOST_NEWS
    }

    /// Takes in an object from another machine. It is believed when it is read, if it is what its name says.
    pub(super) fn take_in(&self, object: &Object) -> io::Result<()> {
        let path = self.place(object.id.0);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        write_whole(&path, &object.deflated)
    }

    /// Keeps the bytes of a file.
    pub(super) fn put_blob(&mut self, bytes: &[u8]) -> io::Result<Id> {
        self.put("blob", bytes)
    }

    /// The bytes of a file.
    pub(super) fn blob(&self, id: Id) -> io::Result<Vec<u8>> {
        self.get("blob", id)
    }

    /// Writes a commit of these files on top of `parent`; `number` counts the commits from 1 and is its time.
    pub(super) fn commit(
        &mut self,
        files: &Files,
        parent: Option<CommitId>,
        number: usize,
        message: &str,
    ) -> io::Result<CommitId> {
        let entries: Vec<(&str, Blob)> = files.iter().map(|(path, blob)| (path.as_str(), *blob)).collect();
        let tree = self.put_tree(&entries)?;
        let parent = parent.map(|parent| format!("parent {parent}\n")).unwrap_or_default();
        let when = format!("Codeyard <codeyard@localhost> {} +0000", time_of(number));
        let tree = hex::encode(tree);
        let text =
            format!("tree {tree}\n{parent}author {when}\ncommitter {when}\n\n{}\n", message.trim_end());
        Ok(CommitId(self.put("commit", text.as_bytes())?))
    }

    /// A commit, without its files.
    pub(super) fn find(&self, id: CommitId) -> io::Result<Commit> {
        let text = String::from_utf8(self.get("commit", id.0)?).map_err(|_| damaged(id.0))?;
        let (head, message) = text.split_once("\n\n").ok_or_else(|| damaged(id.0))?;
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let tree: CommitId = field("tree").and_then(|id| id.parse().ok()).ok_or_else(|| damaged(id.0))?;
        let parent = field("parent").map(CommitId::from_str).transpose().map_err(|_| damaged(id.0))?;
        Ok(Commit { id, tree: tree.0, parent, message: message.trim_end().to_owned() })
    }

    /// The files of a commit.
    pub(super) fn files(&self, commit: &Commit) -> io::Result<Files> {
        let mut files = Files::new();
        let mut open = vec![(String::new(), commit.tree)];
        while let Some((prefix, tree)) = open.pop() {
            for (name, entry) in entries_of(&self.get("tree", tree)?).ok_or_else(|| damaged(tree))? {
                let path = format!("{prefix}{name}");
                match entry {
                    Entry::Folder(id) => open.push((format!("{path}/"), id)),
                    Entry::File(blob) => drop(files.insert(path, blob)),
                }
            }
        }
        Ok(files)
    }

    /// The commits up to this one, oldest first.
    pub(super) fn commits(&self, last: CommitId) -> io::Result<Vec<Commit>> {
        let mut commits = Vec::new();
        let mut next = Some(last);
        while let Some(id) = next {
            let commit = self.find(id)?;
            next = commit.parent;
            commits.push(commit);
        }
        commits.reverse();
        Ok(commits)
    }

    /// Everything up to a commit as a bundle: a file that git clones from.
    pub(super) fn bundle(&self, last: CommitId) -> io::Result<Vec<u8>> {
        let objects = self.reachable(last)?;
        let mut bundle = format!("# v2 git bundle\n{last} {BRANCH}\n{last} HEAD\n\n").into_bytes();
        let start = bundle.len();
        let count = u32::try_from(objects.len()).map_err(io::Error::other)?;
        bundle.extend([&b"PACK"[..], &2_u32.to_be_bytes(), &count.to_be_bytes()].concat());
        for (kind, id) in objects {
            let content = self.get(kind, id)?;
            bundle.extend(pack_header(kind, content.len()));
            bundle.extend(deflate(&content)?);
        }
        let sum = Sha1::digest(&bundle[start..]);
        bundle.extend(sum);
        Ok(bundle)
    }

    /// Every object that a commit needs, each once, in an order that only depends on them.
    fn reachable(&self, last: CommitId) -> io::Result<Vec<(&'static str, Id)>> {
        let (mut seen, mut objects) = (HashSet::new(), Vec::new());
        for commit in self.commits(last)? {
            objects.push(("commit", commit.id.0));
            let mut open = vec![commit.tree];
            while let Some(tree) = open.pop() {
                if !seen.insert(tree) {
                    continue;
                }
                objects.push(("tree", tree));
                for (_, entry) in entries_of(&self.get("tree", tree)?).ok_or_else(|| damaged(tree))? {
                    match entry {
                        Entry::Folder(id) => open.push(id),
                        Entry::File(blob) if seen.insert(blob.id) => objects.push(("blob", blob.id)),
                        Entry::File(_) => {}
                    }
                }
            }
        }
        Ok(objects)
    }

    /// Writes the tree of these files, whose paths are ordered and relative to it.
    fn put_tree(&mut self, files: &[(&str, Blob)]) -> io::Result<Id> {
        let mut entries = Vec::new();
        let mut at = 0;
        while let Some((path, blob)) = files.get(at) {
            let Some((folder, _)) = path.split_once('/') else {
                entries.push(((*path).to_owned(), blob.mode.digits(), blob.id));
                at += 1;
                continue;
            };
            let below = |path: &&str| path.strip_prefix(folder)?.strip_prefix('/').map(str::to_owned);
            let inner: Vec<(String, Blob)> =
                files[at..].iter().map_while(|(path, blob)| Some((below(path)?, *blob))).collect();
            at += inner.len();
            let inner: Vec<(&str, Blob)> = inner.iter().map(|(path, blob)| (path.as_str(), *blob)).collect();
            // Git orders folders as if their names ended in a slash; so do the paths that come in.
            entries.push((folder.to_owned(), "40000", self.put_tree(&inner)?));
        }
        let mut tree = Vec::new();
        for (name, mode, id) in entries {
            tree.extend([mode.as_bytes(), b" ", name.as_bytes(), b"\0", &id].concat());
        }
        self.put("tree", &tree)
    }

    fn put(&mut self, kind: &str, content: &[u8]) -> io::Result<Id> {
        let head = format!("{kind} {}\0", content.len());
        let id: Id = Sha1::new().chain_update(&head).chain_update(content).finalize().into();
        if self.known.contains(&id) {
            return Ok(id);
        }
        let object = Object { id: CommitId(id), deflated: deflate(&[head.as_bytes(), content].concat())? };
        self.take_in(&object)?;
        self.known.insert(id);
        self.news_bytes += object.deflated.len() as u64;
        if self.all_is_told() {
            self.news.push(object);
        }
        Ok(id)
    }

    /// Reads an object, and believes it only if it is what its name says.
    fn get(&self, kind: &str, id: Id) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.place(id))?;
        ZlibDecoder::new(file).take(LARGEST_OBJECT + 64).read_to_end(&mut bytes)?;
        let head = bytes.iter().position(|byte| *byte == 0).ok_or_else(|| damaged(id))?;
        let fits = bytes[..head].starts_with(kind.as_bytes()) && Id::from(Sha1::digest(&bytes)) == id;
        if fits { Ok(bytes.split_off(head + 1)) } else { Err(damaged(id)) }
    }

    fn place(&self, id: Id) -> PathBuf {
        let name = hex::encode(id);
        self.folder.join("objects").join(&name[..2]).join(&name[2..])
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        write_whole(&self.folder.join(name), content)
    }
}

/// Seconds since 1970 at which commit `number`, from 1, was made.
fn time_of(number: usize) -> i64 {
    EPOCH + 60 * i64::try_from(number).unwrap_or(i64::MAX / 120)
}

/// Writes a file so that nobody ever sees a part of it.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(content)?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

fn deflate(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
    to.write_all(content)?;
    to.finish()
}

/// Type and length as a pack has them: three bits of type, then the length, seven bits a byte after the first four.
fn pack_header(kind: &str, length: usize) -> Vec<u8> {
    let kind: u8 = match kind {
        "commit" => 1,
        "tree" => 2,
        _ => 3,
    };
    let mut rest = length >> 4;
    let mut header = vec![(kind << 4) | u8::try_from(length & 15).unwrap_or_default()];
    while rest > 0 {
        if let Some(last) = header.last_mut() {
            *last |= 0x80;
        }
        header.push(u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    header
}

/// What stands in a tree.
enum Entry {
    Folder(Id),
    File(Blob),
}

/// The entries of a tree: `MODE NAME\0ID` each.
fn entries_of(mut tree: &[u8]) -> Option<Vec<(String, Entry)>> {
    let mut entries = Vec::new();
    while !tree.is_empty() {
        let end = tree.iter().position(|byte| *byte == 0)?;
        let (mode, name) = std::str::from_utf8(&tree[..end]).ok()?.split_once(' ')?;
        let id: Id = tree.get(end + 1..end + 21)?.try_into().ok()?;
        let entry = match mode {
            "40000" => Entry::Folder(id),
            "100644" => Entry::File(Blob { mode: Mode::Plain, id }),
            "100755" => Entry::File(Blob { mode: Mode::Executable, id }),
            "120000" => Entry::File(Blob { mode: Mode::Link, id }),
            _ => return None,
        };
        entries.push((name.to_owned(), entry));
        tree = &tree[end + 21..];
    }
    Some(entries)
}

impl Mode {
    fn digits(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}

fn damaged(id: Id) -> io::Error {
    let text = format!("object {} of the history is damaged", hex::encode(id));
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for CommitId {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut id = Id::default();
        hex::decode_to_slice(text, &mut id).map(|()| Self(id))
    }
}

impl TryFrom<String> for CommitId {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.to_string()
    }
}
