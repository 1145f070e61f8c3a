//! Wiring: from the settings to the parts, and the parts to each other.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::agent::Prompts;
use crate::artifacts::Artifacts;
use crate::auth::{Auth, Secret};
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Doors, Limits, OpenSockets, Pulse};
use crate::hub::Hub;
use crate::jobs::Jobs;
use crate::kinds::build::Grants;
use crate::kinds::{self, Env, Registry};
use crate::llm::Llm;
use crate::mail::Mailer;
use crate::observe::Metrics;
use crate::store::{DataDirLock, Store};
use crate::worker::{self, Worker};

/// A running Codeyard. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What it is made of.
pub struct Parts {
    /// The settings.
    pub config: Arc<Config>,
    /// Time and chance.
    pub clock: Clock,
    /// The database.
    pub store: Store,
    /// Who waits for which job.
    pub hub: Hub,
    /// The verbs on jobs.
    pub jobs: Jobs,
    /// The kinds of jobs that this server knows.
    pub registry: Registry,
    /// What kinds may use.
    pub env: Arc<Env>,
    /// The models that can be asked.
    pub llm: Arc<Llm>,
    /// What runs jobs in this process.
    pub worker: Worker,
    /// Who may do what.
    pub auth: Auth,
    /// How often.
    pub limits: Limits,
    /// What the gate remembers.
    pub doors: Doors,
    /// How many sockets are open.
    pub sockets: OpenSockets,
    /// How the database was a moment ago.
    pub pulse: Pulse,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// When this process started.
    pub started_at: DateTime<Utc>,
    /// The data directory is ours.
    _lock: Option<DataDirLock>,
}

impl App {
    /// Opens the database, brings its schema up to date, puts the parts together and begins to run jobs.
    pub async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        Self::start_with(config, clock, kinds::all()).await
    }

    /// As [`App::start`], with kinds of the caller's choice.
    pub async fn start_with(config: Config, clock: Clock, registry: Registry) -> anyhow::Result<Self> {
        crate::observe::use_ring();
        let config = Arc::new(config);
        // Refused now rather than by the first build.
        Prompts::of(&config.agent)?;
        kinds::analysis::house_rules(&config.analysis)?;
        kinds::analysis::house_gate(&config.analysis)?;
        Grants::of(&config)?;
        let store = Store::open(&config)?;
        let lock = if store.is_shared() { None } else { Some(DataDirLock::take(&config.data_dir)?) };
        store.migrate().await?;
        let metrics = Metrics::install()?;
        metrics.keep_folded();
        let auth = Auth::open(&config.auth, store.clone(), clock.clone(), Mailer::new(&config.mail)?).await?;
        let hub = Hub::default();
        let jobs = Jobs::start(Arc::clone(&config), clock.clone(), store.clone(), hub.clone());
        crate::observe::use_ring();
        let llm = Arc::new(Llm::new(&config.llm, clock.clone(), store.clone())?);
        let key = fingerprint_key(&store).await?;
        let artifacts = Artifacts::open(&config, store.clone())?;
        let env = Env::new(Arc::clone(&config), store.clone(), key, Arc::clone(&llm), artifacts);
        let env = Arc::new(env);
        let runs = worker::Parts {
            config: Arc::clone(&config),
            clock: clock.clone(),
            store: store.clone(),
            jobs: jobs.clone(),
            registry: registry.clone(),
            env: Arc::clone(&env),
        };
        Ok(Self(Arc::new(Parts {
            limits: Limits::new(&config.limits, &clock),
            doors: Doors::new(&config, &clock)?,
            sockets: OpenSockets::default(),
            pulse: Pulse::default(),
            started_at: clock.now(),
            worker: Worker::start(runs, host_name()).await?,
            _lock: lock,
            metrics,
            auth,
            hub,
            jobs,
            registry,
            env,
            llm,
            store,
            clock,
            config,
        })))
    }

    /// Sets up beside the start what the first job would otherwise wait for: the sandbox, with its self-test.
    pub fn warm_up(&self) {
        let app = self.clone();
        tokio::spawn(async move {
            match app.env.sandbox().await {
                Ok(sandbox) => tracing::info!(level = %sandbox.level(), "the sandbox is set up"),
                Err(error) => tracing::warn!(%error, "there is no sandbox; jobs that need one will fail"),
            }
        });
    }

    /// Ends well: jobs finish or are given back, sockets are told, and the database is closed.
    pub async fn stop(&self) {
        self.drain().await;
        // What cannot be booked within a few seconds, because the database is away, expires.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.llm.booked()).await;
        self.store.close().await;
    }

    /// The first half of [`App::stop`]: what is under way ends, and requests can still be answered.
    pub async fn drain(&self) {
        self.hub.close();
        self.worker.drain().await;
    }
}

/// The key of this installation for fingerprints of secrets, made at the first start.
async fn fingerprint_key(store: &Store) -> anyhow::Result<Vec<u8>> {
    const NAME: &str = "fingerprint_key";
    let kept = match store.setting(NAME).await? {
        Some(key) => key,
        None => store.settle(NAME, Secret::random()?.expose()).await?,
    };
    Ok(kept.into_bytes())
}

/// What this machine calls itself.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("started_at", &self.started_at).finish_non_exhaustive()
    }
}
