//! What a job can be: one folder each, all of them in one list.

pub mod analysis;
pub mod build;
pub mod export;
mod maintenance;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::OnceCell;

use crate::artifacts::{self, Artifacts};
use crate::cache::Cache;
use crate::config::{Config, SandboxLevel};
use crate::error::{Error, FieldError, Result};
use crate::jobs::NewRequest;
pub use crate::jobs::{Context, Failure, Level, Outcome, Policy, Wait};
use crate::llm::Llm;
use crate::model::{JobId, UserId};
use crate::sandbox::{self, Sandbox};
use crate::store::Store;

pub use analysis::Analysis;
pub use build::Build;
pub use export::Export;
pub use maintenance::{Cleanup, HealthCheck};

/// Every kind there is, under its name.
pub fn all() -> Registry {
    Registry::default()
        .with::<Analysis>()
        .with::<Build>()
        .with::<Export>()
        .with::<Cleanup>()
        .with::<HealthCheck>()
}

/// What kinds may use besides their context.
pub struct Env {
    /// Settings.
    pub config: Arc<Config>,
    /// For maintenance, which is about the tables themselves.
    pub store: Store,
    /// With which fingerprints of secrets are made: of this installation, and the same for all its replicas.
    pub fingerprint_key: Vec<u8>,
    /// The models that can be asked.
    pub llm: Arc<Llm>,
    /// What jobs leave behind.
    pub artifacts: Artifacts,
    /// What earlier analyses have found.
    pub cache: Option<Arc<Cache>>,
    sandbox: OnceCell<Sandbox>,
}

impl Env {
    /// What kinds may use in a server with these settings.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        fingerprint_key: Vec<u8>,
        llm: Arc<Llm>,
        artifacts: Artifacts,
    ) -> Self {
        let cache = Cache::of(&config.analysis, Some(config.data_dir.join("cache"))).map(Arc::new);
        Self { config, store, fingerprint_key, llm, artifacts, cache, sandbox: OnceCell::new() }
    }

    /// Removes from this machine, and from the bucket, what belonged to a job that was deleted. What fails is tried
    /// again by the clean-up.
    pub async fn forget(&self, job: JobId) {
        if let Err(error) = self.artifacts.clear(job).await {
            tracing::warn!(%error, %job, "the files of a deleted job are still there");
        }
        build::forget(&self.config.data_dir, job);
    }

    /// The sandbox, set up and tested by whoever asks first: that takes some tenths of a second.
    pub async fn sandbox(&self) -> Result<&Sandbox, sandbox::Error> {
        self.sandbox
            .get_or_try_init(|| async {
                let mut settings = sandbox_settings(&self.config)?;
                if self.config.sandbox.toolchains.iter().any(|root| root == "auto") {
                    let asked = tokio::task::spawn_blocking(move || {
                        settings.add_toolchains_of_this_machine();
                        settings
                    });
                    settings = asked.await.map_err(|error| sandbox::Error::NotStarted(error.to_string()))?;
                }
                Sandbox::detect(&settings).await
            })
            .await
    }

    /// The sandbox, if it has been set up by now.
    pub fn known_sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.get()
    }
}

/// What `[sandbox]` asks for, around this very program.
pub fn sandbox_settings(config: &Config) -> Result<sandbox::Settings, sandbox::Error> {
    let chosen = &config.sandbox;
    let program = match chosen.program.as_str() {
        "" => std::env::current_exe().map_err(|error| sandbox::Error::NotStarted(error.to_string()))?,
        program => program.into(),
    };
    let mut settings = sandbox::Settings::new(program);
    if !chosen.scratch_dir.is_empty() {
        settings.scratch = chosen.scratch_dir.clone().into();
    }
    let named = chosen.toolchains.iter().filter(|root| *root != "auto");
    named.for_each(|root| settings.add_toolchain(root.into()));
    settings.strongest = match config.sandbox.level {
        SandboxLevel::Auto | SandboxLevel::Bubblewrap => sandbox::Level::Bubblewrap,
        SandboxLevel::Landlock => sandbox::Level::Landlock,
        SandboxLevel::Process => sandbox::Level::ProcessOnly,
    };
    Ok(settings)
}

/// What it means for a job that one of its files is not kept, or cannot be read.
fn unkept(error: &artifacts::Error) -> Failure {
    match error {
        artifacts::Error::BadPath(_) | artifacts::Error::TooLarge { .. } => {
            Failure::fatal("ARTIFACT_REFUSED", error.to_string())
        }
        other => {
            tracing::warn!(error = %other, "a file of a job cannot be kept or read");
            Failure::transient("ARTIFACTS_UNAVAILABLE", "the files of jobs cannot be reached right now")
        }
    }
}

/// A kind of job: the struct is the payload, the constant its policy, and there is one thing it does.
pub trait Kind: Serialize + DeserializeOwned + Send + 'static {
    /// How its jobs are treated.
    const POLICY: Policy;

    /// What of the payload cannot be meant, though it reads: asked before there is a job.
    fn check(&self, _env: &Env) -> Vec<FieldError> {
        Vec::new()
    }

    /// Runs the job once. It may run again after a crash, so it must stand being repeated.
    fn run(self, env: Arc<Env>, context: Context) -> impl Future<Output = Result<Outcome, Failure>> + Send;
}

/// A request to run `job`, with nothing special about it.
pub fn request<K: Kind>(job: &K, owner: Option<UserId>) -> Result<NewRequest> {
    let payload = to_raw_value(job).map_err(|error| Error::Internal(error.into()))?;
    Ok(NewRequest::new(K::POLICY, owner, payload))
}

/// A run under way.
pub type Run = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

type Start = Arc<dyn Fn(&RawValue, Arc<Env>, Context) -> Run + Send + Sync>;

type Check = fn(&RawValue, &Env) -> Result<()>;

/// The kinds that a process can run.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, (Policy, Start, Check)>);

impl Registry {
    /// Adds a kind, in place of a former one with its name.
    #[must_use]
    pub fn with<K: Kind>(self) -> Self {
        let mut registry = self.with_start(K::POLICY, |payload, env, context| {
            match serde_json::from_str::<K>(payload.get()) {
                Ok(job) => Box::pin(job.run(env, context)),
                Err(error) => {
                    let failure = Failure::fatal("PAYLOAD_UNREADABLE", error.to_string());
                    Box::pin(std::future::ready(Err(failure)))
                }
            }
        });
        registry.0.entry(K::POLICY.kind).and_modify(|(_, _, check)| *check = check_as::<K>);
        registry
    }

    /// Adds a kind that is given by what starts it: how tests script theirs.
    #[must_use]
    pub fn with_start<F>(mut self, policy: Policy, start: F) -> Self
    where
        F: Fn(&RawValue, Arc<Env>, Context) -> Run + Send + Sync + 'static,
    {
        self.0.insert(policy.kind, (policy, Arc::new(start), |_, _| Ok(())));
        self
    }

    /// How a kind's jobs are treated, if the kind is there.
    pub fn policy(&self, kind: &str) -> Option<Policy> {
        self.0.get(kind).map(|(policy, ..)| *policy)
    }

    /// Refuses a payload that no job of this kind can have.
    pub fn check(&self, kind: &str, payload: &RawValue, env: &Env) -> Result<()> {
        self.0.get(kind).map_or(Ok(()), |(_, _, check)| check(payload, env))
    }

    /// The names of all kinds.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Starts the run of a job. `None`: no such kind.
    pub fn start(&self, kind: &str, payload: &RawValue, env: Arc<Env>, context: Context) -> Option<Run> {
        let (_, start, _) = self.0.get(kind)?;
        Some(start(payload, env, context))
    }
}

fn check_as<K: Kind>(payload: &RawValue, env: &Env) -> Result<()> {
    let mut reader = serde_json::Deserializer::from_str(payload.get());
    let job: K = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Error::unreadable(&error.path().to_string(), &error.inner().to_string()))?;
    let wrong = job.check(env);
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}
