//! Builds: from a goal to a tested, packaged project.
//!
//! Whoever makes the project (`scaffolded`, from the catalogue, or `modelled`, with a model) leaves a workspace whose
//! every step is kept, and what its tests said; from there on all builds are alike: analysis, packages, result.

mod archive;
mod modelled;
mod network;
mod package;
mod parameters;
mod scaffolded;
mod voice;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{Context, Env, Failure, Kind, Outcome, Policy, Wait, unkept};
use crate::agent::testing::Tested;
use crate::agent::{CommitId, State, Workspace, bring_home, workspace};
use crate::error::FieldError;
use crate::jobs::Level;
use crate::llm::Target;
use crate::model::JobId;
use crate::proxy::Proxy;
use crate::sandbox::Sandbox;
use crate::source::{self, Source, Tree};
pub use network::Grants;
pub use package::{BuildArtifact, BuildResult, TestsResult};
pub use parameters::{Limits, Parameters, PhaseModels, SCAFFOLD, Start};

/// Builds a project.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// What it is called.
    pub project_name: String,
    /// What it is to do.
    pub goal: String,
    /// How.
    #[serde(default)]
    pub parameters: Parameters,
}

/// What a build works with.
struct Site<'a> {
    build: &'a Build,
    env: &'a Env,
    context: &'a Context,
    sandbox: &'a Sandbox,
    /// The build's directory on this server.
    home: PathBuf,
    /// The way out of its commands, if they have one.
    network: Option<Arc<Proxy>>,
}

/// A project that is there, whoever made it.
struct Made {
    workspace: Shared,
    tested: Tested,
    /// What made it: `scaffold`, or a provider of models.
    provider: String,
    language: Option<String>,
    template: Option<String>,
    /// What it is, for a person.
    summary: String,
    /// What `trajectory.jsonl` holds so far.
    transcript: Vec<u8>,
    /// Where the workflow with the model stood in the end, if there was one.
    workflow: Option<State>,
}

/// A workspace that blocking work takes turns with.
type Shared = Arc<Mutex<Workspace>>;

impl Kind for Build {
    const POLICY: Policy =
        Policy { kind: "build", queue: "builds", max_attempts: 3, prepares: true, soft_timeout: None };

    fn check(&self, env: &Env) -> Vec<FieldError> {
        let mut wrong = self.parameters.check(&super::analysis::limits_of(env), &env.llm);
        let refused = match Grants::of(&env.config) {
            Ok(grants) => grants.check(&self.parameters, env.known_sandbox()),
            // A server with such settings does not start.
            Err(error) => vec![FieldError { field: "parameters".to_owned(), message: error.to_string() }],
        };
        wrong.extend(refused);
        wrong
    }

    async fn run(self, env: Arc<Env>, context: Context) -> Result<Outcome, Failure> {
        context.progress(1, "Getting ready").await;
        let sandbox = env.sandbox().await;
        let sandbox = sandbox.map_err(|error| Failure::transient("NO_SANDBOX", error.to_string()))?;
        let home = home_of(&env.config.data_dir, context.job());
        let grants = Grants::of(&env.config);
        let grants = grants.map_err(|error| Failure::fatal("NETWORK_REFUSED", error.to_string()))?;
        let network = grants.proxy(&self.parameters, sandbox)?;
        let site = Site { build: &self, env: &env, context: &context, sandbox, home, network };
        let made = match site.maker().await? {
            Maker::Scaffold => scaffolded::make(&site).await?,
            Maker::Model(first) => match modelled::make(&site, first).await? {
                Some(made) => made,
                None => return Ok(Outcome::Wait(Wait::Signal)),
            },
        };
        let result = package::package(&site, made).await?;
        Outcome::done(&result)
    }
}

/// Who makes the project.
enum Maker {
    /// The catalogue.
    Scaffold,
    /// A model.
    Model(Target),
}

impl Site<'_> {
    /// The one place where it is decided who makes the project: whoever was named, or else the first model that can be
    /// asked, or else the catalogue. A job that goes on stays with whoever has begun it.
    async fn maker(&self) -> Result<Maker, Failure> {
        let away = || Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer");
        let parameters = &self.build.parameters;
        let model = parameters.model.clone();
        if let Some(provider) = parameters.provider.clone() {
            let target = Target { provider: Some(provider), model };
            return Ok(if parameters.is_scaffold() { Maker::Scaffold } else { Maker::Model(target) });
        }
        let saved = self.context.saved().await.map_err(|_| away())?;
        let begun = saved.and_then(|saved| serde_json::from_str::<Value>(&saved).ok());
        let has_phases = begun.as_ref().map(|saved| saved.get("phase").is_some());
        let found = match has_phases {
            Some(false) => None,
            _ => self.env.llm.default_target(self.context.owner()).await.map_err(|_| away())?,
        };
        match found {
            Some(first) => Ok(Maker::Model(Target { model: model.or(first.model), ..first })),
            None if has_phases == Some(true) || parameters.needs_model() => Err(Failure::fatal(
                "NO_MODEL_CONFIGURED",
                "this build needs a model, and this server has none that can be asked (see [llm.providers])",
            )),
            None => Ok(Maker::Scaffold),
        }
    }

    /// The workspace as of a commit, with what other servers have written down of it where this one has not all of it.
    /// True: it is lost, and the workspace begins empty.
    async fn open(&self, commit: Option<CommitId>) -> Result<(Shared, bool), Failure> {
        // Blocking, but no longer than writing the project once.
        let open = |commit| Workspace::open(&self.home, commit, self.sandbox);
        let mut opened = open(commit);
        if let Err(workspace::Error::Lost(_)) = opened {
            let pieces = self.context.saved_files("").await;
            let pieces = pieces
                .map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
            let home = self.home.clone();
            let brought = tokio::task::spawn_blocking(move || bring_home(&home, pieces)).await;
            let brought = brought.map_err(std::io::Error::other).flatten();
            brought.map_err(|error| Failure::transient("NO_SPACE", error.to_string()))?;
            opened = open(commit);
        }
        let is_lost = matches!(opened, Err(workspace::Error::Lost(_)));
        if is_lost {
            let what = "the files of this build are on a server that is gone: it begins anew";
            self.context.log(Level::Warn, what).await;
            opened = open(None);
        }
        let mut workspace = opened.map_err(|error| broken(&error))?;
        workspace.connect(self.network.clone());
        Ok((Arc::new(Mutex::new(workspace)), is_lost))
    }

    /// The files to start from, if any were named.
    async fn start(&self) -> Result<Option<Tree>, Failure> {
        let Some(start) = &self.build.parameters.source else { return Ok(None) };
        self.context.progress(3, "Taking the source in").await;
        // The archive must stay on disk until it has been read.
        let archive;
        let source = match start {
            Start::Files(files) => Source::Files(files.clone()),
            Start::Repository { url, reference } => {
                Source::Repository { url: url.clone(), reference: reference.clone() }
            }
            Start::Upload => {
                archive = super::analysis::fetch_upload(self.env, self.context).await?;
                Source::Archive(archive.path().to_owned())
            }
            Start::Zip(_) | Start::Build(_) => {
                archive = self.archive(start).await?;
                Source::Archive(archive.path().to_owned())
            }
        };
        let limits = super::analysis::limits_of(self.env);
        let note = |text: &str| self.context.try_progress(3, text);
        let taken = source::take_in(source, &limits, self.sandbox, self.context.stop(), &note).await;
        let mut tree = taken.map_err(|error| super::analysis::refusal(&error, self.context))?;
        if let Start::Build(_) = start {
            unwrap_folder(&mut tree);
        }
        Ok(Some(tree))
    }

    /// The ZIP archive to start from, as a file.
    async fn archive(&self, start: &Start) -> Result<tempfile::NamedTempFile, Failure> {
        let bytes = match start {
            Start::Build(former) => self.former(*former).await?,
            Start::Zip(text) => {
                let decoded = BASE64_STANDARD.decode(text);
                decoded.map_err(|error| Failure::fatal("SOURCE_UNUSABLE", error.to_string()))?.into()
            }
            Start::Files(_) | Start::Repository { .. } | Start::Upload => bytes::Bytes::new(),
        };
        let written = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::NamedTempFile::new()?;
            std::io::Write::write_all(&mut file, &bytes)?;
            Ok(file)
        });
        let written = written.await.map_err(std::io::Error::other).flatten();
        written.map_err(|error: std::io::Error| Failure::transient("NO_SPACE", error.to_string()))
    }

    /// What a former build of the same owner has left.
    async fn former(&self, former: JobId) -> Result<bytes::Bytes, Failure> {
        let gone = || Failure::fatal("SOURCE_UNUSABLE", format!("there is no build {former} with a project"));
        let away = |_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer");
        let job =
            self.env.store.peek_job(former, self.context.owner()).await.map_err(away)?.ok_or_else(gone)?;
        if job.kind != Self::KIND {
            return Err(gone());
        }
        let artifacts = &self.env.artifacts;
        let file =
            artifacts.find(former, package::ZIP).await.map_err(|error| unkept(&error))?.ok_or_else(gone)?;
        artifacts.whole(former, &file).await.map_err(|error| unkept(&error))
    }

    const KIND: &'static str = Build::POLICY.kind;
}

/// The archives of builds have one folder around everything.
fn unwrap_folder(tree: &mut Tree) {
    for file in &mut tree.files {
        if let Some((_, path)) = file.path.split_once('/') {
            file.path = path.to_owned();
        }
    }
}

/// Where the build of a job keeps what a restart of the server must not take.
fn home_of(data_dir: &Path, job: JobId) -> PathBuf {
    data_dir.join("builds").join(job.to_string())
}

/// Removes what this machine keeps of a build; a job that never was one has nothing.
pub(super) fn forget(data_dir: &Path, job: JobId) {
    match std::fs::remove_dir_all(home_of(data_dir, job)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, %job, "the directory of a build is still there");
        }
        _ => {}
    }
}

/// The jobs that this machine keeps the directory of a build for.
pub(super) fn homes(data_dir: &Path) -> Vec<JobId> {
    let entries = std::fs::read_dir(data_dir.join("builds")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Does something with the workspace, off the threads that must not wait.
async fn with<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&mut Workspace) -> Result<T, workspace::Error> + Send + 'static,
) -> Result<T, Failure> {
    let shared = Arc::clone(shared);
    let done = tokio::task::spawn_blocking(move || work(&mut shared.blocking_lock())).await;
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(broken(&error)),
        Err(error) => Err(Failure::transient("WORKSPACE_FAILED", error.to_string())),
    }
}

/// What a fault of the workspace means for the build.
fn broken(error: &workspace::Error) -> Failure {
    match error {
        workspace::Error::Sandbox(_) | workspace::Error::Io(..) => {
            Failure::transient("WORKSPACE_FAILED", error.to_string())
        }
        other => Failure::fatal("WORKSPACE_FAILED", other.to_string()),
    }
}
