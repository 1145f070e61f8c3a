//! Many small results in one file.
//!
//! It begins with a checksum of the head, the number of entries, and for each of them, in the order of their keys: the
//! key, where its bytes begin in the file, how many they are, and their checksum. All numbers are little-endian, the
//! checksums CRC-32. Then come the bytes. A file is never changed once it is there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::analysis::Key;

/// Bytes of the checksum and the number of entries, and of each entry.
const START: usize = 8;
const ENTRY: usize = 48;

/// A pack whose head was read.
pub(super) struct Pack {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

struct Entry {
    key: Key,
    at: u64,
    length: u32,
    sum: u32,
}

impl Pack {
    /// Opens a pack. One that was damaged is removed.
    pub(super) fn open(path: PathBuf) -> Option<Self> {
        let mut file = File::open(&path).ok()?;
        match entries(&mut file) {
            Some(entries) => Some(Self { path, file, entries }),
            None => {
                let _ = fs::remove_file(path);
                None
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.entries.iter().map(|entry| &entry.key)
    }

    /// The bytes of an entry, if they are as they were written.
    pub(super) fn read(&self, entry: usize) -> Option<Vec<u8>> {
        let entry = self.entries.get(entry)?;
        let mut bytes = vec![0; entry.length as usize];
        self.file.read_exact_at(&mut bytes, entry.at).ok()?;
        (crc32fast::hash(&bytes) == entry.sum).then_some(bytes)
    }
}

fn entries(file: &mut File) -> Option<Vec<Entry>> {
    let most = file.metadata().ok()?.len();
    let mut start = [0; START];
    file.read_exact(&mut start).ok()?;
    let (sum, count) = (u32_at(&start, 0)?, u32_at(&start, 4)?);
    let length = (count as usize).checked_mul(ENTRY).filter(|length| (*length as u64) < most)?;
    let mut head = vec![0; length];
    file.read_exact(&mut head).ok()?;
    let all = head.chunks_exact(ENTRY).map(|entry| {
        let at = u64::from_le_bytes(*entry.get(32..40)?.first_chunk()?);
        let length = u32_at(entry, 40)?;
        // What was cut off would be missed only when it is read.
        (at.checked_add(u64::from(length))? <= most).then_some(Entry {
            key: *entry.first_chunk()?,
            at,
            length,
            sum: u32_at(entry, 44)?,
        })
    });
    let all = all.collect::<Option<_>>();
    all.filter(|_| crc32fast::hash(&head) == sum)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The head of a pack of these entries, which are in the order of their keys; their bytes follow it.
pub(super) fn head(entries: &[(Key, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let number = |number: usize| u32::try_from(number).map_err(io::Error::other);
    let mut head = Vec::with_capacity(entries.len() * ENTRY);
    let mut at = (START + entries.len() * ENTRY) as u64;
    for (key, bytes) in entries {
        head.extend(key);
        head.extend(at.to_le_bytes());
        head.extend(number(bytes.len())?.to_le_bytes());
        head.extend(crc32fast::hash(bytes).to_le_bytes());
        at += bytes.len() as u64;
    }
    let start = [crc32fast::hash(&head), number(entries.len())?].map(u32::to_le_bytes);
    Ok([start.as_flattened(), &head].concat())
}
