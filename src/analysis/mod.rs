//! Source files in, report out: pure, blocking, deterministic.
//!
//! [`analyze`] looks at every file by itself (`file`), in parallel and in any order, and then puts what it
//! found together in the order of the paths (`report`): the same bytes give the same report on any machine,
//! with any number of threads. Budgets count work, never time.

pub mod checks;
mod compare;
mod coverage;
mod duplicates;
pub mod external;
mod file;
mod fingerprint;
mod fix;
pub mod flow;
mod gate;
pub mod languages;
mod limits;
mod memory;
pub mod metrics;
mod parse;
mod project;
mod recommendations;
mod report;
pub mod rules;
pub mod score;
pub mod secrets;
mod suppressions;
mod technologies;
mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::model::{Severity, Skipped, SourceFile};
use file::{Examined, FileAnalysis};
use flow::{FileFlows, Part};
use memory::{Recalled, Remembered};

pub use compare::{Baseline, compare};
pub use coverage::{Coverage, FileCoverage};
pub use duplicates::{DuplicateGroup, DuplicatePlace};
pub use fix::{Mended, mend};
pub use gate::{Gate, GateCondition, GateVerdict, Threshold, check_percentage, check_score};
pub use languages::Language;
pub use limits::Thresholds;
pub use memory::{Key, Memory};
pub use project::{BadProject, Known, PROJECT_FILE, Project};
pub use recommendations::Recommendation;
pub use report::{Report, SCHEMA_VERSION, Summary};
pub use rules::BadRule;
pub use suppressions::{Suppressed, Suppression};
pub use technologies::{Dependency, Technology, TechnologyKind};

/// Who watches an analysis: it is told how far it is, and asked whether to go on.
pub trait Watch: Sync {
    /// A file was looked at: `done` of `total`. Called from any thread, in any order.
    fn progress(&self, _done: usize, _total: usize, _path: &str) {}

    /// Whether to stop. Asked between files and in long loops.
    fn stopped(&self) -> bool {
        false
    }
}

/// Nobody watches.
pub struct Unwatched;

impl Watch for Unwatched {}

/// What to analyse, and with what. The default is everything with the built-in rules.
#[derive(Clone, Default)]
pub struct Options {
    /// Only these languages; files in others are counted and not analysed.
    pub languages: Option<Vec<Language>>,
    /// Rules of the user's own: YAML documents.
    pub rules: Vec<String>,
    /// Ids of rules that are not to be applied.
    pub disabled_rules: Vec<String>,
    /// What the findings of a rule weigh, by its id, where that is not what the rule says.
    pub severities: BTreeMap<String, Severity>,
    /// What is too much of a function.
    pub thresholds: Thresholds,
    /// Findings that the project knows.
    pub suppressions: Vec<Known>,
    /// What other analyzers found in the same files.
    pub external: Vec<external::Run>,
    /// A key of this installation, with which the fingerprints of secrets are made; without it two different
    /// secrets at the same place count as one.
    pub fingerprint_key: Option<Vec<u8>>,
    /// The day on which suppressions are judged to have expired or not; without it none expires.
    pub today: Option<chrono::NaiveDate>,
    /// How many threads to use; as many as there are processors if not given.
    pub threads: Option<usize>,
    /// What earlier analyses have found, so that it is not looked for again. The report is the same with it and without.
    pub memory: Option<Arc<dyn Memory>>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.debug_struct("Options")
            .field("languages", &self.languages)
            .field("rules", &self.rules.len())
            .field("disabled_rules", &self.disabled_rules)
            .field("severities", &self.severities)
            .field("thresholds", &self.thresholds)
            .field("suppressions", &self.suppressions)
            .field("external", &self.external.len())
            .field("today", &self.today)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Checks everything that can be wrong before any file is looked at.
    pub fn validate(&self) -> Result<(), Error> {
        file::CustomRules::compile(self).map(drop)
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The watcher said so.
    #[error("the analysis was stopped")]
    Stopped,
    /// A rule of the user's own cannot be used.
    #[error("custom rule {}, {bad}", document + 1)]
    BadRule {
        /// Which of [`Options::rules`], from 0.
        document: usize,
        /// What is wrong with it.
        #[source]
        bad: BadRule,
    },
    /// The machine has no threads to give.
    #[error("no threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Bytes of stack of each thread: what goes down into nested code is bounded, but not small.
const STACK: usize = 16 << 20;

/// Analyses files. `skipped` is what was left out before; the report adds what it leaves out itself.
pub fn analyze(
    files: &[SourceFile],
    skipped: Vec<Skipped>,
    options: &Options,
    watch: &dyn Watch,
) -> Result<Report, Error> {
    let custom = file::CustomRules::compile(options)?;
    let mut files: Vec<&SourceFile> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.content.cmp(&b.content)));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).stack_size(STACK);
    let pool = pool.build()?;
    // A path that stands for two files stands for neither.
    let remembered =
        Remembered::new(options).filter(|_| files.windows(2).all(|two| two[0].path < two[1].path));
    let keys = remembered.as_ref().map(|memory| pool.install(|| memory.keys_of(&files)));
    let memory = remembered.as_ref().zip(keys.as_deref());
    let key = memory.map(|(memory, keys)| memory.key_of(keys, &skipped));
    if let Some(report) = memory.zip(key).and_then(|((memory, _), key)| memory.recall(&key)) {
        return Ok(report);
    }
    let run = Run { files: &files, options, custom: &custom, memory, watch };
    let mut analyses = pool.install(|| run.analyses())?;
    if watch.stopped() {
        return Err(Error::Stopped);
    }
    external::apply(&mut analyses, &files, options);
    let unused = project::apply(&mut analyses, options);
    let dates = analyses.iter().filter_map(|analysis| analysis.holds_until);
    let until = dates.chain(project::dates(options)).min();
    let mut report = report::assemble(analyses, skipped, &options.external);
    report.unused_suppressions.extend(unused);
    if let Some(((memory, _), key)) = memory.zip(key) {
        memory.keep(&key, &report, until);
    }
    Ok(report)
}

/// An analysis under way.
struct Run<'a> {
    /// In the order of their paths.
    files: &'a [&'a SourceFile],
    options: &'a Options,
    custom: &'a file::CustomRules,
    /// What is remembered, and the keys of the files in it.
    memory: Option<(&'a Remembered<'a>, &'a [Key])>,
    watch: &'a dyn Watch,
}

impl<'a> Run<'a> {
    /// What each file contributes to the report.
    fn analyses(&self) -> Result<Vec<FileAnalysis>, Error> {
        let mut examined = self.examine()?;
        let mut parts: Vec<Part> =
            examined.iter_mut().map(|examined| std::mem::take(&mut examined.part)).collect();
        let keys = self.memory.map(|(_, keys)| keys);
        let flows = flow::follow(self.files, keys, &mut parts, &|| self.watch.stopped());
        let all = examined.into_par_iter().zip(flows).zip(parts).enumerate();
        let finished =
            all.map(|(index, ((examined, flows), part))| self.finish(index, examined, flows, part));
        let finished = finished.collect::<Result<Vec<_>, Error>>()?;
        if let Some((memory, keys)) = self.memory.filter(|_| !self.watch.stopped()) {
            let new = finished.iter().zip(keys);
            let new: Vec<_> = new.filter_map(|((_, new), key)| Some((*key, new.clone()?))).collect();
            memory.keep_files(&new, keys);
        }
        Ok(finished.into_iter().map(|(analysis, _)| analysis).collect())
    }

    /// Looks at every file by itself that is not remembered.
    fn examine(&self) -> Result<Vec<Examined<'a>>, Error> {
        let known = self.memory.map_or_else(Vec::new, |(memory, keys)| memory.recall_files(keys));
        let mut examined: Vec<Option<Examined<'a>>> =
            known.into_iter().map(|known| known.map(Examined::from)).collect();
        examined.resize_with(self.files.len(), || None);
        let total = examined.iter().filter(|examined| examined.is_none()).count();
        let done = AtomicUsize::new(0);
        let look = |(index, examined): (usize, Option<Examined<'a>>)| {
            if let Some(examined) = examined {
                return Ok(examined);
            }
            let examined = self.look(index)?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            self.watch.progress(done, total, &self.files[index].path);
            Ok(examined)
        };
        examined.into_par_iter().enumerate().map(look).collect()
    }

    fn look(&self, index: usize) -> Result<Examined<'a>, Error> {
        if self.watch.stopped() {
            return Err(Error::Stopped);
        }
        file::examine((index, self.files[index]), self.options, self.custom, &|| self.watch.stopped())
    }

    /// Makes the findings of a file, and what is to be remembered of it, if that is new.
    fn finish(
        &self,
        index: usize,
        mut examined: Examined<'_>,
        flows: FileFlows,
        part: Part,
    ) -> Result<(FileAnalysis, Option<Vec<u8>>), Error> {
        let flowing = self.memory.map(|(_, keys)| flows.print(keys)).unwrap_or_default();
        let known = examined.known.take();
        let remembered = known.is_some();
        let (analysis, new) = match known {
            Some((then, analysis)) if then == flowing => (analysis, part.grown),
            _ => {
                // Its own part is known; only what it was made from is not.
                let examined = if remembered { self.look(index)? } else { examined };
                (file::finish(index, self.files, examined, flows, self.options), true)
            }
        };
        if self.memory.is_none() || !new {
            return Ok((analysis, None));
        }
        let known = Recalled { part, flows: flowing, analysis };
        let bytes = rmp_serde::to_vec_named(&known).ok();
        Ok((known.analysis, bytes))
    }
}
