//! Results of analyses in files: bounded, shared by processes, safe to delete at any time. They hold excerpts of the
//! code, so only their owner may look into the directory.
//!
//! What is large has a file of its own. What is small lies with others in a pack (`pack`): one for each analysis that
//! found something new, and one for everything when what belongs together has come to lie in too many.

mod pack;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::analysis::{Key, Memory};
use crate::config;
use pack::Pack;

/// A file is touched when it is used, but not more often than this.
const TOUCHED: Duration = Duration::from_secs(24 * 3600);
/// By this convention (<https://bford.info/cachedir/>) backups leave a directory out.
const TAG: &str =
    "Signature: 8a477f597d28d172789f06886806bc55\n# Results of analyses. Delete it whenever you like.\n";

/// The folder of the packs.
const PACKS: &str = "packs";
/// If results that were asked for together lie in more packs than this, they are written into one.
const MOST_PACKS: usize = 16;

/// A directory of results.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    most_bytes: u64,
    written: AtomicU64,
}

impl Cache {
    /// As `[analysis]` says, or in `otherwise` where it names no directory. `None`: nothing is kept, because the
    /// settings say so, or because there is no place for it, which is told.
    pub fn of(config: &config::Analysis, otherwise: Option<PathBuf>) -> Option<Self> {
        let named = Some(config.cache_dir.as_str()).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let dir = named.or(otherwise).filter(|_| config.cache_bytes > 0)?;
        let opened = Self::open(dir.clone(), config.cache_bytes);
        opened.inspect_err(|error| tracing::warn!(dir = %dir.display(), %error, "results are not kept")).ok()
    }

    /// In a directory, which is made when it is missing, with at most so many bytes after each [`Cache::trim`].
    pub fn open(dir: PathBuf, most_bytes: u64) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let tag = dir.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(tag, TAG)?;
        }
        Ok(Self { dir, most_bytes, written: AtomicU64::new(0) })
    }

    /// Removes what was not used for the longest time, until the rest is small enough. Does nothing when nothing was
    /// written through this cache.
    pub fn trim(&self) -> io::Result<()> {
        if self.written.swap(0, Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let mut files = Vec::new();
        for folder in fs::read_dir(&self.dir)?.flatten().filter(|entry| entry.path().is_dir()) {
            files.extend(fs::read_dir(folder.path())?.flatten().filter_map(|entry| {
                let meta = entry.metadata().ok()?;
                Some((meta.modified().ok()?, meta.len(), entry.path()))
            }));
        }
        files.sort_unstable();
        let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if bytes <= self.most_bytes {
                break;
            }
            // Another process may have been faster.
            let _ = fs::remove_file(path);
            bytes -= size;
        }
        Ok(())
    }

    fn path(&self, key: &Key) -> PathBuf {
        let name = hex::encode(key);
        self.dir.join(&name[..2]).join(&name[2..])
    }

    fn write(&self, path: &Path, bytes: &[&[u8]]) -> io::Result<()> {
        let folder = path.parent().unwrap_or(&self.dir);
        let mut file = match tempfile::NamedTempFile::new_in(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder)?;
                tempfile::NamedTempFile::new_in(folder)?
            }
            other => other?,
        };
        for bytes in bytes {
            file.write_all(bytes)?;
            self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        // Whoever reads sees all of it or nothing.
        file.persist(path)?;
        Ok(())
    }

    /// All packs, the newest first.
    fn packs(&self) -> Vec<Pack> {
        let entries = fs::read_dir(self.dir.join(PACKS)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries
            .filter_map(|entry| Some((entry.metadata().and_then(|meta| meta.modified()).ok()?, entry.path())))
            .collect();
        paths.sort_unstable_by(|a, b| b.cmp(a));
        paths.into_iter().filter_map(|(_, path)| Pack::open(path)).collect()
    }

    /// Where each of these keys lies: the number of the pack, and of the entry in it.
    fn locate(packs: &[Pack], keys: &[Key]) -> Vec<Option<(usize, usize)>> {
        let mut places = HashMap::new();
        let wanted: std::collections::HashSet<&Key> = keys.iter().collect();
        for (number, pack) in packs.iter().enumerate() {
            for (at, key) in pack.keys().enumerate().filter(|(_, key)| wanted.contains(key)) {
                places.entry(*key).or_insert((number, at));
            }
        }
        keys.iter().map(|key| places.get(key).copied()).collect()
    }

    fn keep_pack(&self, new: &[(Key, Vec<u8>)], all: &[Key]) -> io::Result<()> {
        let packs = self.packs();
        let places = Self::locate(&packs, all);
        let mut used: Vec<usize> = places.iter().flatten().map(|(pack, _)| *pack).collect();
        used.sort_unstable();
        used.dedup();
        let mut together: HashMap<Key, Vec<u8>> = HashMap::new();
        if used.len() >= MOST_PACKS {
            let known = all.iter().zip(places);
            let known = known.filter_map(|(key, place)| {
                let (pack, at) = place?;
                Some((*key, packs[pack].read(at)?))
            });
            together.extend(known);
        }
        together.extend(new.iter().cloned());
        let mut entries: Vec<(Key, Vec<u8>)> = together.into_iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        let head = pack::head(&entries)?;
        let name = hex::encode(&<sha2::Sha256 as sha2::Digest>::digest(&head)[..16]);
        let parts: Vec<&[u8]> = std::iter::once(head.as_slice())
            .chain(entries.iter().map(|(_, bytes)| bytes.as_slice()))
            .collect();
        self.write(&self.dir.join(PACKS).join(name), &parts)
    }
}

impl Memory for Cache {
    fn recall(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key);
        let mut bytes = fs::read(&path).ok()?;
        let (sum, rest) = bytes.split_first_chunk::<4>()?;
        if crc32fast::hash(rest) != u32::from_le_bytes(*sum) {
            let _ = fs::remove_file(path);
            return None;
        }
        touch(&path);
        bytes.drain(..4);
        Some(bytes)
    }

    fn keep(&self, key: &Key, bytes: &[u8]) {
        let sum = crc32fast::hash(bytes).to_le_bytes();
        if let Err(error) = self.write(&self.path(key), &[&sum, bytes]) {
            tracing::debug!(%error, "a result is not kept for the next analysis");
        }
    }

    fn recall_all(&self, keys: &[Key]) -> Vec<Option<Vec<u8>>> {
        let packs = self.packs();
        let places = Self::locate(&packs, keys);
        let mut used = vec![false; packs.len()];
        let read = |place: Option<(usize, usize)>| {
            let (number, at) = place?;
            used[number] = true;
            packs[number].read(at)
        };
        let found = places.into_iter().map(read).collect();
        packs.iter().zip(used).filter(|(_, used)| *used).for_each(|(pack, _)| touch(pack.path()));
        found
    }

    fn keep_all(&self, new: &[(Key, Vec<u8>)], all: &[Key]) {
        if new.is_empty() {
            return;
        }
        if let Err(error) = self.keep_pack(new, all) {
            tracing::debug!(%error, "results are not kept for the next analysis");
        }
    }
}

/// Notes that a file is used.
fn touch(path: &Path) {
    let used = fs::metadata(path).and_then(|meta| meta.modified());
    if used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age > TOUCHED)) {
        let _ = File::options().write(true).open(path).and_then(|file| file.set_modified(now()));
    }
}

#[expect(clippy::disallowed_methods, reason = "it is compared with the times that the file system writes")]
fn now() -> SystemTime {
    SystemTime::now()
}
