//! Wiring: from the settings to the parts, and the parts to each other.

use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::{Doors, Limits, Pulse};
use crate::observe::Metrics;
use crate::store::Store;

/// A running Codeyard. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What it is made of.
pub struct Parts {
    /// The settings.
    pub config: Config,
    /// Time and chance.
    pub clock: Clock,
    /// The database.
    pub store: Store,
    /// Who may do what.
    pub auth: Auth,
    /// How often.
    pub limits: Limits,
    /// What the gate remembers.
    pub doors: Doors,
    /// How the database was a moment ago.
    pub pulse: Pulse,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// When this process started.
    pub started_at: DateTime<Utc>,
}

impl App {
    /// Opens the database, brings its schema up to date and puts the parts together.
    pub async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let store = Store::open(&config)?;
        store.migrate().await?;
        let auth = Auth::open(&config.auth, store.clone(), clock.clone()).await?;
        Ok(Self(Arc::new(Parts {
            limits: Limits::new(&config.limits, &clock),
            doors: Doors::new(&config, &clock)?,
            pulse: Pulse::default(),
            metrics: Metrics::install()?,
            started_at: clock.now(),
            auth,
            store,
            clock,
            config,
        })))
    }
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
