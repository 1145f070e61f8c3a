//! Whether the server is well: for load balancers, Kubernetes and people.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::extract::Json;
use super::jobs::QueueView;
use crate::app::App;
use crate::clock::Clock;
use crate::error::Result;
use crate::store::Store;
use crate::worker::SlotUse;

/// How old an answer of the database may be that is shown again: probes must not become its load.
const FRESH: Duration = Duration::from_secs(1);
/// How long the database may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The server is there.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `healthy`
    #[schema(example = "healthy")]
    status: &'static str,
    /// The server's time.
    timestamp: DateTime<Utc>,
    /// The server's version.
    version: &'static str,
}

/// The server and its stores.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HealthWithStores {
    /// `healthy` or `unhealthy`
    #[schema(example = "healthy")]
    status: &'static str,
    /// The server's time.
    timestamp: DateTime<Utc>,
    /// The server's version.
    version: &'static str,
    /// The database.
    database: Component,
}

/// Whether requests and jobs should be sent here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `not_ready`
    #[schema(example = "ready")]
    status: &'static str,
    /// What it depends on.
    checks: Vec<Component>,
}

/// Whether the process should be left alone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Liveness {
    /// `alive`
    #[schema(example = "alive")]
    status: &'static str,
}

/// Everything about this process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerStatus {
    /// `healthy`, or `degraded` when a component is not.
    #[schema(example = "healthy")]
    status: &'static str,
    /// The server's time.
    timestamp: DateTime<Utc>,
    /// The server's version.
    version: &'static str,
    /// When this process started.
    started_at: DateTime<Utc>,
    /// Seconds since then.
    uptime_seconds: i64,
    /// Requests that wait for their answer right now.
    requests_in_flight: usize,
    /// Sockets that are open.
    sockets: usize,
    /// The slots of this process, by queue.
    slots: Vec<SlotView>,
    /// What is in the queues, over all processes.
    queues: Vec<QueueView>,
    /// What the server is made of.
    components: Vec<Component>,
}

/// The slots of one queue in this process.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SlotView {
    /// The queue.
    #[schema(example = "builds")]
    queue: String,
    /// How many there are.
    all: u32,
    /// How many run a job.
    used: u32,
}

impl From<SlotUse> for SlotView {
    fn from(slots: SlotUse) -> Self {
        let SlotUse { queue, all, used } = slots;
        Self { queue, all, used }
    }
}

/// One thing that the server depends on.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Component {
    /// What it is called.
    #[schema(example = "database")]
    pub name: &'static str,
    /// `healthy` or `unhealthy`
    #[schema(example = "healthy")]
    pub status: &'static str,
    /// What it is, or what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// How long it took to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
}

impl Component {
    fn is_healthy(&self) -> bool {
        self.status == "healthy"
    }
}

/// The server is there.
///
/// Answers from memory. Also at `/health`.
#[utoipa::path(get, path = "/api/health/", tag = "health",
    responses((status = 200, description = "It is.", body = Health)))]
pub(super) async fn health(State(app): State<App>) -> Json<Health> {
    Json(Health { status: "healthy", timestamp: app.clock.now(), version: VERSION })
}

/// The server is there, and its stores.
#[utoipa::path(get, path = "/api/v1/health", tag = "health",
    responses((status = 200, description = "As `status` says.", body = HealthWithStores)))]
pub(super) async fn health_v1(State(app): State<App>) -> Json<HealthWithStores> {
    let database = app.pulse.database(&app.store, &app.clock).await;
    Json(HealthWithStores { status: database.status, timestamp: app.clock.now(), version: VERSION, database })
}

/// Whether requests should be sent here.
///
/// The Kubernetes readiness probe: the database answers, its schema is up to date, this process has its lease and is not
/// shutting down. Also at `/health/ready`.
#[utoipa::path(get, path = "/api/health/ready", tag = "health", responses(
    (status = 200, description = "They should.", body = Readiness),
    (status = 503, description = "They should not; `checks` says why.", body = Readiness)))]
pub(super) async fn ready(State(app): State<App>) -> Response {
    let checks = vec![app.pulse.database(&app.store, &app.clock).await, worker(&app)];
    if checks.iter().all(Component::is_healthy) {
        return Json(Readiness { status: "ready", checks }).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(Readiness { status: "not_ready", checks })).into_response()
}

/// Whether the process should be left alone.
///
/// The Kubernetes liveness probe: the runtime answers. Also at `/health/live`.
#[utoipa::path(get, path = "/api/health/live", tag = "health",
    responses((status = 200, description = "It should.", body = Liveness)))]
pub(super) async fn live() -> Json<Liveness> {
    Json(Liveness { status: "alive" })
}

/// Everything about this process.
#[utoipa::path(get, path = "/api/health/status", tag = "health",
    responses((status = 200, description = "Its components, and how they are.", body = ServerStatus)))]
pub(super) async fn status(State(app): State<App>) -> Json<ServerStatus> {
    let (database, artifacts) =
        tokio::join!(app.pulse.database(&app.store, &app.clock), app.pulse.artifacts(&app));
    let components = vec![database, worker(&app), sandbox(&app), artifacts];
    // What is in the queues is worth knowing, but a database that is away is told of above.
    let queues = app.pulse.queues(&app).await.unwrap_or_default();
    let now = app.clock.now();
    Json(ServerStatus {
        status: if components.iter().all(Component::is_healthy) { "healthy" } else { "degraded" },
        timestamp: now,
        version: VERSION,
        started_at: app.started_at,
        uptime_seconds: (now - app.started_at).num_seconds(),
        requests_in_flight: app.doors.in_flight(),
        sockets: app.sockets.count(),
        slots: app.worker.slots().into_iter().map(SlotView::from).collect(),
        queues,
        components,
    })
}

/// Whether this process has its lease and takes jobs on.
fn worker(app: &App) -> Component {
    let (status, detail) = match app.worker.is_up() {
        true => ("healthy", format!("{} jobs run", app.jobs.running())),
        false => ("unhealthy", "shutting down, or without a lease".to_owned()),
    };
    Component { name: "worker", status, detail: Some(detail), latency_ms: None }
}

/// How strongly commands are confined. A weak sandbox is an operator's choice, not an illness.
fn sandbox(app: &App) -> Component {
    let detail = match app.env.known_sandbox() {
        Some(sandbox) => format!("level {}", sandbox.level()),
        None => "not set up yet: nothing has asked for it".to_owned(),
    };
    Component { name: "sandbox", status: "healthy", detail: Some(detail), latency_ms: None }
}

/// The last answers of the database, so that many probes are one question.
#[derive(Debug, Default)]
pub struct Pulse {
    database: Recent<Component>,
    queues: Recent<Vec<QueueView>>,
    artifacts: Recent<Component>,
}

impl Pulse {
    /// How the database is, or was a moment ago.
    pub async fn database(&self, store: &Store, clock: &Clock) -> Component {
        let mut last = self.database.0.lock().await;
        match last.fresh(clock, FRESH) {
            Some(component) => component,
            None => last.keep(check_database(store).await, clock),
        }
    }

    /// What is in the queues, or was a moment ago.
    pub(super) async fn queues(&self, app: &App) -> Result<Vec<QueueView>> {
        let mut last = self.queues.0.lock().await;
        match last.fresh(&app.clock, FRESH) {
            Some(queues) => Ok(queues),
            None => Ok(last.keep(super::jobs::queues(app).await?, &app.clock)),
        }
    }

    /// How the place is where jobs leave files, or was half a minute ago: somebody may be paid for each look. Whether
    /// requests should be sent here does not depend on it.
    pub(super) async fn artifacts(&self, app: &App) -> Component {
        let mut last = self.artifacts.0.lock().await;
        match last.fresh(&app.clock, FRESH * 30) {
            Some(component) => component,
            None => last.keep(check_artifacts(app).await, &app.clock),
        }
    }
}

/// An answer, and when it was given. Whoever asks while it is looked for waits for the same one.
#[derive(Debug)]
struct Recent<T>(Mutex<Last<T>>);

#[derive(Debug)]
struct Last<T>(Option<(DateTime<Utc>, T)>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(Last(None)))
    }
}

impl<T: Clone> Last<T> {
    fn fresh(&self, clock: &Clock, lasts: Duration) -> Option<T> {
        let (at, answer) = self.0.as_ref()?;
        (clock.now() - *at).to_std().is_ok_and(|age| age < lasts).then(|| answer.clone())
    }

    fn keep(&mut self, answer: T, clock: &Clock) -> T {
        self.0 = Some((clock.now(), answer.clone()));
        answer
    }
}

async fn check_database(store: &Store) -> Component {
    let started = Instant::now();
    // A pooled connection that died with the server's last life says nothing about this one: ask again.
    let answer = async {
        for _ in 0..3 {
            if let Ok(migrated) = store.is_migrated().await {
                return Ok(migrated);
            }
        }
        store.is_migrated().await
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    let latency_ms = Some((started.elapsed().as_secs_f64() * 1e6).round() / 1e3);
    let (status, detail) = match answer {
        Ok(true) => ("healthy", store.name().to_owned()),
        Ok(false) => ("unhealthy", "the schema is not of this version".to_owned()),
        Err(error) => {
            tracing::warn!(%error, "the database does not answer a health check");
            ("unhealthy", format!("{} does not answer", store.name()))
        }
    };
    Component { name: "database", status, detail: Some(detail), latency_ms }
}

async fn check_artifacts(app: &App) -> Component {
    let started = Instant::now();
    let probed = tokio::time::timeout(PATIENCE, app.env.artifacts.probe(app.clock.new_id())).await;
    let latency_ms = Some((started.elapsed().as_secs_f64() * 1e6).round() / 1e3);
    let place = if app.config.artifacts.url.is_empty() { "local directory" } else { "bucket" };
    let (status, detail) = match probed {
        Ok(Ok(())) => ("healthy", place.to_owned()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "files of jobs cannot be kept");
            ("unhealthy", format!("{place}: a file cannot be written, read and removed"))
        }
        Err(_) => ("unhealthy", format!("{place}: no answer within {} s", PATIENCE.as_secs())),
    };
    Component { name: "artifacts", status, detail: Some(detail), latency_ms }
}
