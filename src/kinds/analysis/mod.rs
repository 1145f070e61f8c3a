//! Analysis: takes a source in, looks at it with the engine, and answers with the report.

pub mod external;
mod options;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use utoipa::ToSchema;

pub use options::{AnalysisOptions, BaselineChoice, house_gate, house_rules};

use super::{Context, Env, Failure, Kind, Outcome, Policy};
use crate::analysis::{self, Gate, Options, Project, Report, Watch};
use crate::source::{self, Limits, Source, SourceFileText, Tree};

/// Analyses one source.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// What to look at.
    pub source: AnalysisSource,
    /// How.
    #[serde(default)]
    pub options: AnalysisOptions,
}

/// Where the code of a job comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnalysisSource {
    /// A piece of code.
    Inline {
        /// The code.
        code: String,
        /// Its language, if there is no file name that shows it.
        language: Option<String>,
        /// Its file name.
        filename: Option<String>,
    },
    /// Files.
    Files(Vec<SourceFileText>),
    /// A git repository.
    Repository {
        /// Its address.
        url: String,
        /// A branch, a tag or a commit.
        reference: Option<String>,
    },
    /// The ZIP archive that came with the request.
    Upload,
}

impl AnalysisSource {
    /// The source as `source` checks it, before there is a job.
    pub fn to_source(&self) -> Option<Source> {
        Some(match self.clone() {
            Self::Inline { code, language, filename } => Source::Inline { code, language, filename },
            Self::Files(files) => Source::Files(files),
            Self::Repository { url, reference } => Source::Repository { url, reference },
            Self::Upload => return None,
        })
    }

    /// The same repository at the commit that a baseline names, if it names one.
    fn at(&self, baseline: Option<&BaselineChoice>) -> Option<Self> {
        match (self, baseline) {
            (Self::Repository { url, .. }, Some(BaselineChoice::Reference(reference))) => {
                Some(Self::Repository { url: url.clone(), reference: Some(reference.clone()) })
            }
            _ => None,
        }
    }
}

impl Kind for Analysis {
    const POLICY: Policy =
        Policy { kind: "analysis", queue: "analysis", max_attempts: 2, prepares: true, soft_timeout: None };

    async fn run(self, env: Arc<Env>, context: Context) -> Result<Outcome, Failure> {
        let bad = |(field, why): (String, String)| Failure::fatal("BAD_OPTIONS", format!("{field}: {why}"));
        let options = self.options.to_engine().map_err(bad)?;
        let wanted = external::Wanted::allowed(&self.options.with, &env.config.analyzers);
        let wanted = wanted.map_err(|(_, why)| Failure::fatal("BAD_OPTIONS", why))?;
        let run = Running { options: &self.options, env: &env, context: &context };
        let former = self.source.at(self.options.baseline.as_ref());
        let tree = run.take_in(self.source).await?;
        let (tree, project, options) = run.prepare(options, tree).await?;
        context.begin().await;
        let runs = run_others(&wanted, &tree, &env, &context).await?;
        let former = run.former(former, &project, &options).await?;
        let options = Options { external: runs, ..options };
        let revision = tree.revision.clone();
        let begun = if former.is_some() { HALF } else { BEGUN };
        let mut report = run.analyse(tree, options, begun..LOOKED).await?;
        let gate = run.gate(&project)?;
        context.progress(98, "Writing the report").await;
        // Large reports take a while to compare and to write.
        let written = tokio::task::spawn_blocking(move || {
            if let Some((before, against)) = former {
                analysis::compare(&before, &mut report, against);
            }
            report.gate = Some(gate.judge(&report));
            to_raw_value(&Answer { revision, report })
        });
        let written = written.await.map_err(std::io::Error::other).and_then(|json| Ok(json?));
        written
            .map(|json| Outcome::Done(Some(json)))
            .map_err(|error| Failure::fatal("REPORT_UNREADABLE", error.to_string()))
    }
}

/// Lets external analyzers look first, so that what they find is part of the report and its score.
async fn run_others(
    wanted: &external::Wanted,
    tree: &Tree,
    env: &Env,
    context: &Context,
) -> Result<Vec<analysis::external::Run>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let unusable = |error: crate::sandbox::Error| Failure::transient("NO_SANDBOX", error.to_string());
    let sandbox = env.sandbox().await.map_err(unusable)?;
    let note = |text: &str| context.try_progress(BEGUN, text);
    let runs = wanted.run(&tree.files, false, sandbox, context.stop(), &note).await;
    if context.stop_reason().is_some() {
        return Err(context.stopped());
    }
    runs.map_err(unusable)
}

/// What the job answers: the report, and the commit it is about.
#[derive(Debug, Serialize, ToSchema)]
pub struct Answer {
    /// The commit, if the source was a repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The report.
    #[serde(flatten)]
    pub report: analysis::Report,
}

/// Percent when the source is there, when every file of a baseline was looked at, and when every file was.
const BEGUN: i32 = 10;
const HALF: i32 = 50;
const LOOKED: i32 = 95;

/// A job under way.
struct Running<'a> {
    options: &'a AnalysisOptions,
    env: &'a Arc<Env>,
    context: &'a Context,
}

impl Running<'_> {
    async fn take_in(&self, from: AnalysisSource) -> Result<Tree, Failure> {
        let Self { env, context, .. } = self;
        let mut limits = limits_of(env);
        limits.exclude.extend(self.options.exclude.iter().cloned());
        context.progress(1, "Taking the source in").await;
        // The archive must stay on disk until it has been read.
        let archive;
        let source = match from.to_source() {
            Some(source) => source,
            None => {
                archive = fetch_upload(env, context).await?;
                Source::Archive(archive.path().to_owned())
            }
        };
        let sandbox = env.sandbox().await;
        let sandbox = sandbox.map_err(|error| Failure::transient("NO_SANDBOX", error.to_string()))?;
        let note = |text: &str| context.try_progress(5, text);
        source::take_in(source, &limits, sandbox, context.stop(), &note)
            .await
            .map_err(|error| refusal(&error, context))
    }

    /// The tree without what the project excludes, what the project says, and the caller's options with the project's
    /// and the server's.
    async fn prepare(&self, options: Options, mut tree: Tree) -> Result<(Tree, Project, Options), Failure> {
        let (env, ignored) = (Arc::clone(self.env), self.options.ignore_project_file);
        let today = Some(self.context.clock().now().date_naive());
        // Rules of a project's own take a while to compile.
        let prepared = tokio::task::spawn_blocking(move || {
            let project = if ignored { Ok(Project::default()) } else { Project::of(&tree.files) };
            let project = project.map_err(|bad| bad_project(&bad))?;
            project.leave_out(&mut tree.files, &mut tree.skipped);
            let house = house_rules(&env.config.analysis);
            let house = house.map_err(|error| Failure::fatal("BAD_SETTINGS", format!("{error:#}")))?;
            let options = Options { rules: [options.rules, house].concat(), ..options };
            options.validate().map_err(|error| Failure::fatal("BAD_OPTIONS", error.to_string()))?;
            let options = project.complete(options, &tree.files).map_err(|bad| bad_project(&bad))?;
            let fingerprint_key = Some(env.fingerprint_key.clone());
            let memory = env.cache.clone().map(|cache| cache as Arc<dyn analysis::Memory>);
            Ok((tree, project, Options { today, fingerprint_key, memory, ..options }))
        });
        prepared.await.unwrap_or_else(|error| Err(Failure::transient("ANALYSIS_FAILED", error.to_string())))
    }

    fn gate(&self, project: &Project) -> Result<Gate, Failure> {
        let house = house_gate(&self.env.config.analysis);
        let house = house.map_err(|error| Failure::fatal("BAD_SETTINGS", format!("{error:#}")))?;
        Ok(self.options.gate.unwrap_or_default().or(project.gate).or(house))
    }

    /// The report to compare with, and what it is about.
    async fn former(
        &self,
        source: Option<AnalysisSource>,
        project: &Project,
        options: &Options,
    ) -> Result<Option<(Report, String)>, Failure> {
        match (&self.options.baseline, source) {
            (Some(BaselineChoice::Analysis(id)), _) => {
                let result = self.env.store.result(*id).await;
                let result = result
                    .map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
                let gone =
                    || Failure::fatal("BASELINE_GONE", format!("analysis {id} has no report any more"));
                let report = result.as_deref().and_then(|json| serde_json::from_str(json).ok());
                Ok(Some((report.ok_or_else(gone)?, format!("analysis {id}"))))
            }
            (Some(BaselineChoice::Reference(_)), Some(source)) => {
                let mut tree = self.take_in(source).await?;
                project.leave_out(&mut tree.files, &mut tree.skipped);
                let against = format!("commit {}", tree.revision.as_deref().unwrap_or_default());
                // What other analyzers found in the other commit is not asked for, and so stays new.
                Ok(Some((self.analyse(tree, options.clone(), BEGUN..HALF).await?, against)))
            }
            _ => Ok(None),
        }
    }

    /// Analyses a tree; the job's progress goes through these percent meanwhile.
    async fn analyse(&self, tree: Tree, options: Options, span: Range<i32>) -> Result<Report, Failure> {
        let (env, context) = (Arc::clone(self.env), self.context);
        let watcher = Watcher { context: context.clone(), shown: AtomicI32::new(span.start), span };
        let looked = tokio::task::spawn_blocking(move || {
            let report = analysis::analyze(&tree.files, tree.skipped, &options, &watcher);
            if let Some(Err(error)) = env.cache.as_ref().map(|cache| cache.trim()) {
                tracing::warn!(%error, "the cache of results is not trimmed");
            }
            report
        });
        match looked.await {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(analysis::Error::Stopped)) => Err(context.stopped()),
            Ok(Err(error @ analysis::Error::BadRule { .. })) => {
                Err(Failure::fatal("BAD_OPTIONS", error.to_string()))
            }
            Ok(Err(error)) => Err(Failure::transient("ANALYSIS_FAILED", error.to_string())),
            // A panic of the engine: let the executor tell of it as of any other.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(context.stopped()),
            },
        }
    }
}

fn bad_project(bad: &analysis::BadProject) -> Failure {
    Failure::fatal("BAD_PROJECT_FILE", bad.to_string())
}

/// The archive that came with a job, as a file.
pub(super) async fn fetch_upload(env: &Env, context: &Context) -> Result<tempfile::NamedTempFile, Failure> {
    let bytes = env.store.upload(context.job()).await;
    let bytes =
        bytes.map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
    let bytes = bytes
        .ok_or_else(|| Failure::fatal("UPLOAD_GONE", "the archive of this job is not there any more"))?;
    let write = move || {
        let mut file = tempfile::NamedTempFile::new()?;
        std::io::Write::write_all(&mut file, &bytes)?;
        Ok(file)
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.map_err(std::io::Error::other).flatten().map_err(|error: std::io::Error| {
        Failure::transient("NO_SPACE", format!("the archive cannot be unpacked: {error}"))
    })
}

/// What it means for a job that its source was not taken in.
pub(super) fn refusal(error: &source::Error, context: &Context) -> Failure {
    if context.stop_reason().is_some() {
        return context.stopped();
    }
    let failure = if error.is_transient() { Failure::transient } else { Failure::fatal };
    failure("SOURCE_UNUSABLE", error.to_string())
}

/// The caps of `[intake]`.
pub fn limits_of(env: &Env) -> Limits {
    intake(&env.config.intake)
}

/// The caps of `[intake]`, as `source` takes them.
pub fn intake(settings: &crate::config::Intake) -> Limits {
    Limits {
        max_files: settings.max_files,
        max_file_bytes: settings.max_file_bytes,
        max_total_bytes: settings.max_total_bytes,
        max_depth: settings.max_depth,
        max_archive_entries: settings.max_archive_entries,
        max_archive_ratio: settings.max_archive_ratio,
        max_clone_bytes: settings.max_clone_bytes,
        git_ca_file: (!settings.git_ca_file.is_empty()).then(|| settings.git_ca_file.clone().into()),
        allow_private_addresses: settings.allow_private_addresses,
        git_timeout: std::time::Duration::from_secs(settings.git_timeout_seconds),
        ..Limits::default()
    }
}

/// Tells of each percent once.
struct Watcher {
    context: Context,
    shown: AtomicI32,
    span: Range<i32>,
}

impl Watch for Watcher {
    fn progress(&self, done: usize, total: usize, path: &str) {
        let share = i32::try_from(done * 100 / total.max(1)).unwrap_or(100);
        let percent = self.span.start + share * (self.span.end - self.span.start) / 100;
        if self.shown.fetch_max(percent, Ordering::Relaxed) < percent {
            self.context.try_progress(percent, &format!("Analysed {done} of {total} files, last {path}"));
        }
    }

    fn stopped(&self) -> bool {
        self.context.stop().is_cancelled()
    }
}
