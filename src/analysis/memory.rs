//! What an earlier analysis found, by the hash of what it was made from.
//!
//! The key of a report covers the engine (its sources, hashed when it is built), the options, and the path and bytes of
//! every file. So nothing has to be thrown away when something changes: the key is another one.

use chrono::NaiveDate;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
}

/// The sources of the engine, hashed by the build.
const ENGINE: &str = env!("CODEYARD_ANALYSIS_DIGEST");

/// A memory for analyses with the same options.
pub(super) struct Remembered<'m> {
    memory: &'m dyn Memory,
    options: Sha256,
    today: Option<NaiveDate>,
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

    /// The key of the report on these files.
    pub(super) fn key_of(&self, files: &[&SourceFile], skipped: &[Skipped]) -> Key {
        let hash = |file: &&SourceFile| {
            let mut hash = Sha256::new();
            add(&mut hash, file.path.as_bytes());
            add(&mut hash, &file.content);
            hash.finalize()
        };
        let hashes: Vec<_> = files.par_iter().map(hash).collect();
        let mut all = self.options.clone();
        add(&mut all, &hashes.concat());
        for Skipped { path, reason } in skipped {
            add(&mut all, path.as_bytes());
            add(&mut all, reason.as_bytes());
        }
        all.finalize().into()
    }

    /// The report, if it is remembered and still right.
    pub(super) fn recall(&self, key: &Key) -> Option<Report> {
        let bytes = self.memory.recall(key)?;
        // What a disk has changed is as good as lost.
        let known: Dated<Report> = rmp_serde::from_slice(&bytes).ok()?;
        let holds = self.today.zip(known.until).is_none_or(|(today, until)| today <= until);
        holds.then_some(known.report)
    }

    /// Keeps a report that is right until a day.
    pub(super) fn keep(&self, key: &Key, report: &Report, until: Option<NaiveDate>) {
        if let Ok(bytes) = rmp_serde::to_vec_named(&Dated { until, report }) {
            self.memory.keep(key, &bytes);
        }
    }
}

/// Adds a part of a key so that where it ends cannot be mistaken.
fn add(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}
