//! Analysis: takes a source in, looks at it with the engine, and answers with the report.

pub mod external;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use utoipa::ToSchema;

use super::{Context, Env, Failure, Kind, Outcome, Policy};
use crate::analysis::{self, Language, Options, Watch};
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

/// What a caller may choose about an analysis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnalysisOptions {
    /// Only these languages, by name; files in others are counted and not analysed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub languages: Option<Vec<String>>,
    /// Rules of your own, each a YAML document in the format of the built-in ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Ids of rules that are not to be applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabled_rules: Vec<String>,
    /// Globs, as in `.gitignore`, of files to leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// External analyzers to run as well, of those that the server allows, for example `ruff`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
}

impl AnalysisOptions {
    /// The engine's options; an error names the field and says what is wrong with it.
    pub fn to_engine(&self) -> Result<Options, (String, String)> {
        let languages = self.languages.as_ref().map(|names| {
            let language = |(place, name): (usize, &String)| {
                Language::from_name(name).ok_or_else(|| {
                    (format!("options.languages[{place}]"), format!("{name} is no language we know"))
                })
            };
            names.iter().enumerate().map(language).collect::<Result<Vec<_>, _>>()
        });
        let options = Options {
            languages: languages.transpose()?,
            rules: self.rules.clone(),
            disabled_rules: self.disabled_rules.clone(),
            ..Options::default()
        };
        options.validate().map_err(|error| {
            let place = if let analysis::Error::BadRule { document, .. } = &error { *document } else { 0 };
            (format!("options.rules[{place}]"), error.to_string())
        })?;
        Ok(options)
    }
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
}

impl Kind for Analysis {
    const POLICY: Policy =
        Policy { kind: "analysis", queue: "analysis", max_attempts: 2, prepares: true, soft_timeout: None };

    async fn run(self, env: Arc<Env>, context: Context) -> Result<Outcome, Failure> {
        let options = self.options.to_engine();
        let options =
            options.map_err(|(field, why)| Failure::fatal("BAD_OPTIONS", format!("{field}: {why}")))?;
        let wanted = external::Wanted::allowed(&self.options.with, &env.config.analyzers);
        let wanted = wanted.map_err(|(_, why)| Failure::fatal("BAD_OPTIONS", why))?;
        let today = Some(context.clock().now().date_naive());
        let memory = env.cache.clone().map(|cache| cache as Arc<dyn analysis::Memory>);
        let fingerprint_key = Some(env.fingerprint_key.clone());
        let options = Options { today, fingerprint_key, memory, ..options };
        let tree = take_in(self.source, &self.options, &env, &context).await?;
        context.begin().await;
        let runs = run_others(&wanted, &tree, &env, &context).await?;
        let options = Options { external: runs, ..options };
        let revision = tree.revision.clone();
        let watcher = Watcher { context: context.clone(), shown: AtomicI32::new(BEGUN) };
        let looked = tokio::task::spawn_blocking(move || {
            let report = analysis::analyze(&tree.files, tree.skipped, &options, &watcher);
            if let Some(Err(error)) = env.cache.as_ref().map(|cache| cache.trim()) {
                tracing::warn!(%error, "the cache of results is not trimmed");
            }
            report
        });
        let report = match looked.await {
            Ok(Ok(report)) => report,
            Ok(Err(analysis::Error::Stopped)) => return Err(context.stopped()),
            Ok(Err(error @ analysis::Error::BadRule { .. })) => {
                return Err(Failure::fatal("BAD_OPTIONS", error.to_string()));
            }
            Ok(Err(error)) => return Err(Failure::transient("ANALYSIS_FAILED", error.to_string())),
            // A panic of the engine: let the executor tell of it as of any other.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(context.stopped()),
            },
        };
        context.progress(98, "Writing the report").await;
        let result = Answer { revision, report };
        to_raw_value(&result)
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

/// Percent when the source is there, and when every file was looked at.
const BEGUN: i32 = 10;
const LOOKED: i32 = 95;

async fn take_in(
    from: AnalysisSource,
    options: &AnalysisOptions,
    env: &Env,
    context: &Context,
) -> Result<Tree, Failure> {
    let mut limits = limits_of(env);
    limits.exclude.extend(options.exclude.iter().cloned());
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
    let sandbox = env.sandbox().await.map_err(|error| Failure::transient("NO_SANDBOX", error.to_string()))?;
    let note = |text: &str| context.try_progress(5, text);
    source::take_in(source, &limits, sandbox, context.stop(), &note)
        .await
        .map_err(|error| refusal(&error, context))
}

async fn fetch_upload(env: &Env, context: &Context) -> Result<tempfile::NamedTempFile, Failure> {
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
}

impl Watch for Watcher {
    fn progress(&self, done: usize, total: usize, path: &str) {
        let share = i32::try_from(done * 100 / total.max(1)).unwrap_or(100);
        let percent = BEGUN + share * (LOOKED - BEGUN) / 100;
        if self.shown.fetch_max(percent, Ordering::Relaxed) < percent {
            self.context.try_progress(percent, &format!("Analysed {done} of {total} files, last {path}"));
        }
    }

    fn stopped(&self) -> bool {
        self.context.stop().is_cancelled()
    }
}
