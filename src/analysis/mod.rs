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
    let remembered = memory::Remembered::new(options);
    let key = remembered.as_ref().map(|memory| memory.key_of(&files, &skipped));
    if let Some(report) = remembered.as_ref().zip(key).and_then(|(memory, key)| memory.recall(&key)) {
        return Ok(report);
    }
    let whole = || {
        let examined = examine(&files, options, &custom, watch)?;
        Ok::<_, Error>(finish(&files, examined, options, watch))
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads.unwrap_or(0)).stack_size(STACK);
    let mut analyses = pool.build()?.install(whole)?;
    if watch.stopped() {
        return Err(Error::Stopped);
    }
    external::apply(&mut analyses, &files, options);
    let unused = project::apply(&mut analyses, options);
    let dates = analyses.iter().filter_map(|analysis| analysis.holds_until);
    let until = dates.chain(project::dates(options)).min();
    let mut report = report::assemble(analyses, skipped, &options.external);
    report.unused_suppressions.extend(unused);
    if let Some((memory, key)) = remembered.zip(key) {
        memory.keep(&key, &report, until);
    }
    Ok(report)
}

/// Looks at every file by itself.
fn examine<'r>(
    files: &[&SourceFile],
    options: &Options,
    custom: &'r file::CustomRules,
    watch: &dyn Watch,
) -> Result<Vec<file::Examined<'r>>, Error> {
    let done = AtomicUsize::new(0);
    let look = |(index, source): (usize, &&SourceFile)| {
        if watch.stopped() {
            return Err(Error::Stopped);
        }
        let examined = file::examine((index, source), options, custom, &|| watch.stopped())?;
        watch.progress(done.fetch_add(1, Ordering::Relaxed) + 1, files.len(), &source.path);
        Ok(examined)
    };
    files.par_iter().enumerate().map(look).collect()
}

/// Follows data through all files, and makes the findings of each.
fn finish(
    files: &[&SourceFile],
    mut examined: Vec<file::Examined<'_>>,
    options: &Options,
    watch: &dyn Watch,
) -> Vec<file::FileAnalysis> {
    let parts = examined.iter_mut().map(|examined| std::mem::take(&mut examined.part)).collect();
    let flows = flow::follow(files, parts, &|| watch.stopped());
    let all = examined.into_par_iter().zip(flows).enumerate();
    all.map(|(index, (examined, flows))| file::finish(index, files, examined, flows, options)).collect()
}
