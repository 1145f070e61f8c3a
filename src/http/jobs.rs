//! Jobs of every kind: list, look, cancel, retry, delete; and the queues they wait in.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Json, Path, Query};
use super::identity::Admin;
use super::life::Life;
use super::listing::ListQuery;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::{Caller, JobId, JobWithBodies, Status, Tags, UserId};
use crate::store::Filter;

/// A job of any kind.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobView {
    /// Its id.
    pub id: JobId,
    /// What it is.
    #[schema(example = "analysis")]
    pub kind: String,
    /// Where it waits or waited.
    pub queue: String,
    /// Whose it is; absent for the server's own.
    pub owner_id: Option<UserId>,
    /// What it is called.
    pub name: Option<String>,
    /// The project it is for.
    pub project: Option<String>,
    /// Words it is filed under.
    #[schema(value_type = Vec<String>)]
    pub tags: Tags,
    /// The job that submitted it.
    pub parent_id: Option<JobId>,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: Life,
    /// −10 to 10; higher goes first.
    pub priority: i32,
    /// Number of its last event.
    pub last_seq: i64,
    /// It does not start before this time; absent once it has ended.
    pub run_at: Option<DateTime<Utc>>,
    /// What it was asked; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Box<RawValue>>,
    /// What came of it; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<Box<RawValue>>,
}

/// A page of jobs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobList {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// How many there are in all.
    pub total: i64,
    /// How many were asked for.
    pub limit: u32,
    /// How many were passed over.
    pub offset: u32,
    /// Where to go on, if there is more.
    pub next_cursor: Option<String>,
}

/// Which jobs.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JobQuery {
    /// Only jobs of this kind.
    pub kind: Option<String>,
    /// Only jobs in this state.
    pub status: Option<Status>,
    /// Only jobs of this queue.
    pub queue: Option<String>,
    /// Only jobs with this tag.
    pub tag: Option<String>,
    /// Only jobs for this project.
    pub project: Option<String>,
    /// Only jobs that this one has submitted.
    pub parent: Option<JobId>,
    /// Only jobs submitted at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only jobs submitted before this time.
    pub until: Option<DateTime<Utc>>,
    /// How many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    pub limit: Option<u32>,
    /// How many to pass over.
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
    /// Where to go on: `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Jobs of every kind, newest first.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(JobQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "A page.", body = JobList)))]
pub(super) async fn list_jobs(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<JobQuery>,
) -> Result<Json<JobList>> {
    let JobQuery { kind, status, queue, tag, project, parent, since, until, limit, offset, cursor } = query;
    let filter =
        Filter { owner: caller.confined_to(), kind, queue, parent, since, until, ..Filter::default() };
    let listed = ListQuery { status, tag, project, limit, offset, cursor }.fetch(&app, filter).await?;
    let bare = |job| view_of(JobWithBodies { job, payload: None, result: None });
    Ok(Json(JobList {
        jobs: listed.jobs.into_iter().map(bare).collect(),
        total: listed.total,
        limit: listed.limit,
        offset: listed.offset,
        next_cursor: listed.next_cursor,
    }))
}

/// A job, with what it was asked and what came of it.
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "As it stands.", body = JobView)))]
pub(super) async fn get_job(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<JobView>> {
    Ok(Json(view_of(app.jobs.find(id, &caller).await?)))
}

/// Asks a job to stop. Asking twice is the same as asking once.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It is cancelled, or will be at once.", body = JobView),
        (status = 409, description = "It has ended already.", body = super::ErrorBody)))]
pub(super) async fn cancel_job(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<JobView>> {
    let job = app.jobs.cancel(id, &caller).await?;
    Ok(Json(view_of(JobWithBodies { job, payload: None, result: None })))
}

/// Puts a failed or cancelled job back into its queue, with all its attempts before it.
#[utoipa::path(post, path = "/api/v1/jobs/{id}/retry", tag = "jobs", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It waits for a slot.", body = JobView),
        (status = 409, description = "It is not failed or cancelled.", body = super::ErrorBody)))]
pub(super) async fn retry_job(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<JobView>> {
    let job = app.jobs.retry(id, &caller).await?;
    Ok(Json(view_of(JobWithBodies { job, payload: None, result: None })))
}

/// Removes an ended job and all that belongs to it.
#[utoipa::path(delete, path = "/api/v1/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 204, description = "It is gone."),
        (status = 409, description = "It has not ended.", body = super::ErrorBody)))]
pub(super) async fn delete_job(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<StatusCode> {
    app.jobs.delete(id, &caller).await?;
    app.env.forget(id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// A queue, and what is in it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct QueueView {
    /// Its name.
    #[schema(example = "builds")]
    pub name: String,
    /// Whether nothing is taken from it.
    pub paused: bool,
    /// Jobs that wait for a slot or for their time.
    pub queued: i64,
    /// Jobs that a worker holds, in all processes.
    pub running: i64,
    /// Jobs that have stepped aside.
    pub waiting: i64,
    /// Seconds that the oldest job has been waiting for a slot.
    pub oldest_wait_seconds: i64,
}

/// The queues, and what is in them.
#[utoipa::path(get, path = "/api/v1/queues", tag = "jobs",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "All of them.", body = Vec<QueueView>)))]
pub(super) async fn list_queues(State(app): State<App>, _: Admin) -> Result<Json<Vec<QueueView>>> {
    Ok(Json(queues(&app).await?))
}

/// Stops taking jobs from a queue, in all processes. What runs goes on.
#[utoipa::path(post, path = "/api/v1/queues/{name}/pause", tag = "jobs", params(("name" = String, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It is paused.", body = QueueView)))]
pub(super) async fn pause_queue(
    State(app): State<App>,
    admin: Admin,
    Path(name): Path<String>,
) -> Result<Json<QueueView>> {
    set_paused(&app, &admin, &name, true).await
}

/// Takes jobs from a queue again.
#[utoipa::path(post, path = "/api/v1/queues/{name}/resume", tag = "jobs", params(("name" = String, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It is not paused.", body = QueueView)))]
pub(super) async fn resume_queue(
    State(app): State<App>,
    admin: Admin,
    Path(name): Path<String>,
) -> Result<Json<QueueView>> {
    set_paused(&app, &admin, &name, false).await
}

async fn set_paused(app: &App, admin: &Admin, name: &str, paused: bool) -> Result<Json<QueueView>> {
    if !app.config.queues.contains_key(name) {
        return Err(Error::NotFound("queue"));
    }
    tracing::info!(queue = name, paused, user_id = %admin.0.user, "a queue was paused or resumed");
    app.jobs.set_paused(name, paused).await?;
    let queue = queues(app).await?.into_iter().find(|queue| queue.name == name);
    queue.map(Json).ok_or(Error::NotFound("queue"))
}

/// Every queue that is configured or has something in it.
pub(super) async fn queues(app: &App) -> Result<Vec<QueueView>> {
    let now = app.clock.now();
    let depths = app.store.queue_depths(now).await?;
    let paused = app.store.paused_queues().await?;
    let mut names: BTreeSet<&str> = app.config.queues.keys().map(String::as_str).collect();
    names.extend(depths.iter().map(|depth| depth.queue.as_str()));
    let view = |name: &str| {
        let depth = depths.iter().find(|depth| depth.queue == name);
        let oldest = depth.and_then(|depth| depth.oldest_due).map(|due| (now - due).num_seconds());
        QueueView {
            name: name.to_owned(),
            paused: paused.iter().any(|paused| paused == name),
            queued: depth.map_or(0, |depth| depth.queued),
            running: depth.map_or(0, |depth| depth.running),
            waiting: depth.map_or(0, |depth| depth.waiting),
            oldest_wait_seconds: oldest.unwrap_or_default(),
        }
    };
    Ok(names.into_iter().map(view).collect())
}

fn view_of(found: JobWithBodies) -> JobView {
    let job = found.job;
    let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
    JobView {
        id: job.id,
        life: Life::of(&job),
        kind: job.kind,
        queue: job.queue,
        owner_id: job.owner_id,
        name: job.label,
        project: job.project,
        tags: job.tags,
        parent_id: job.parent_id,
        priority: job.priority,
        last_seq: job.last_seq,
        run_at: job.run_at,
        payload: json(found.payload),
        result: json(found.result),
    }
}
