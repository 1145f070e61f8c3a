//! What an earlier analysis found, by the hash of what it was made from.
//!
//! Two things are remembered: whole reports, and what was found in each file. The key of a report covers the engine
//! (its sources, hashed when it is built), the options, and the path and bytes of every file; that of a file, its own
//! path and bytes. So nothing has to be thrown away when something changes: the key is another one. What was found
//! in a file by following data from other files, or into them, holds only as long as they have not changed either:
//! the questions that were asked of them are remembered with their answers (`flow`), and asked again.

use chrono::NaiveDate;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::FileAnalysis;
use super::flow::Part;
use super::{Options, Report};
use crate::model::{Skipped, SourceFile};

/// SHA-256 of everything that a result depends on.
pub type Key = [u8; 32];

/// Where results are kept between analyses. What is kept may be lost at any time, but not come back changed.
pub trait Memory: Send + Sync {
    /// What was kept under a key, if it is still there.
    fn recall(&self, key: &Key) -> Option<Vec<u8>>;

    /// Keeps something. Whatever goes wrong, the analysis goes on.
    fn keep(&self, key: &Key, bytes: &[u8]);

    /// What was kept under each of many keys, in their order.
    fn recall_all(&self, keys: &[Key]) -> Vec<Option<Vec<u8>>>;

    /// Keeps many small things at once. `all` are those that were asked for, whether they were there or not.
    fn keep_all(&self, new: &[(Key, Vec<u8>)], all: &[Key]);
}

/// The sources of the engine, hashed by the build.
const ENGINE: &str = env!("CODEYARD_ANALYSIS_DIGEST");

/// A memory for analyses with the same options.
pub(super) struct Remembered<'m> {
    memory: &'m dyn Memory,
    options: Sha256,
    today: Option<NaiveDate>,
}

/// What is remembered of a file.
#[derive(Serialize, Deserialize)]
pub(super) struct Recalled {
    pub(super) part: Part,
    /// The print of the flows that end in it: with others, its findings are others, too.
    pub(super) flows: Key,
    pub(super) analysis: FileAnalysis,
}

/// A report, and the last day on which it is right.
#[derive(Serialize, Deserialize)]
struct Dated<R> {
    until: Option<NaiveDate>,
    report: R,
}

impl<'m> Remembered<'m> {
    /// `None` where nothing is to be remembered: without a memory, and where other analyzers had a say, which look at
    /// more than the files.
    pub(super) fn new(options: &'m Options) -> Option<Self> {
        // Not the threads, which change nothing, and not the day: a report knows how long it holds.
        let Options {
            languages,
            rules,
            disabled_rules,
            severities,
            thresholds,
            suppressions,
            fingerprint_key,
            today,
            threads: _,
            memory,
            external,
        } = options;
        let memory = memory.as_deref().filter(|_| external.is_empty())?;
        let languages = languages.as_deref().map(|all| all.iter().map(|one| one.name()).collect::<Vec<_>>());
        let project = (severities, thresholds, suppressions);
        let chosen = (languages, rules, disabled_rules, project, fingerprint_key, today.is_some());
        let mut options = Sha256::new();
        add(&mut options, ENGINE.as_bytes());
        add(&mut options, &serde_json::to_vec(&chosen).ok()?);
        Some(Self { memory, options, today: *today })
    }

    /// The keys of files, in their order.
    pub(super) fn keys_of(&self, files: &[&SourceFile]) -> Vec<Key> {
        let key = |file: &&SourceFile| {
            let mut hash = self.options.clone();
            add(&mut hash, file.path.as_bytes());
            add(&mut hash, &file.content);
            hash.finalize().into()
        };
        files.par_iter().map(key).collect()
    }

    /// The key of the report on files with these keys.
    pub(super) fn key_of(&self, files: &[Key], skipped: &[Skipped]) -> Key {
        let mut all = self.options.clone();
        add(&mut all, files.as_flattened());
        for Skipped { path, reason } in skipped {
            add(&mut all, path.as_bytes());
            add(&mut all, reason.as_bytes());
        }
        all.finalize().into()
    }

    /// What is remembered of each of many files and still right.
    pub(super) fn recall_files(&self, keys: &[Key]) -> Vec<Option<Recalled>> {
        let read = |bytes: Option<Vec<u8>>| {
            let known: Recalled = rmp_serde::from_slice(&bytes?).ok()?;
            self.holds(known.analysis.holds_until).then_some(known)
        };
        self.memory.recall_all(keys).into_par_iter().map(read).collect()
    }

    /// Keeps what is new about files; `all` are the keys of all files that were looked at.
    pub(super) fn keep_files(&self, new: &[(Key, Vec<u8>)], all: &[Key]) {
        self.memory.keep_all(new, all);
    }

    /// Whether something is right today that is right until a day.
    fn holds(&self, until: Option<NaiveDate>) -> bool {
        self.today.zip(until).is_none_or(|(today, until)| today <= until)
    }

    /// The report, if it is remembered and still right.
    pub(super) fn recall(&self, key: &Key) -> Option<Report> {
        let bytes = self.memory.recall(key)?;
        // What a disk has changed is as good as lost.
        let known: Dated<Report> = rmp_serde::from_slice(&bytes).ok()?;
        self.holds(known.until).then_some(known.report)
    }

    /// Keeps a report that is right until a day.
    pub(super) fn keep(&self, key: &Key, report: &Report, until: Option<NaiveDate>) {
        if let Ok(bytes) = rmp_serde::to_vec_named(&Dated { until, report }) {
            self.memory.keep(key, &bytes);
        }
    }
}

/// Adds a part of a key so that where it ends cannot be mistaken.
pub(super) fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// Numbers as plain bytes, four of them each: there are millions of them.
pub(super) mod packed {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(in crate::analysis) fn serialize<S: Serializer>(numbers: &[u32], to: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        to.serialize_bytes(&bytes)
    }

    pub(in crate::analysis) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u32>;

            fn expecting(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                to.write_str("bytes, four for each number")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u32>, E> {
                let (numbers, rest) = bytes.as_chunks();
                let numbers = numbers.iter().map(|number| u32::from_le_bytes(*number)).collect();
                if rest.is_empty() { Ok(numbers) } else { Err(E::invalid_length(bytes.len(), &self)) }
            }
        }
        from.deserialize_bytes(Bytes)
    }
}
