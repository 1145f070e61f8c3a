//! What all doors that take jobs have in common.

use axum::extract::multipart::MultipartError;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::error::Problem;
use super::extract::{Json, read_body};
use crate::app::App;
use crate::error::{Error, Result};
use crate::jobs::NewRequest;
use crate::model::{Filing, Idempotency, Job, JobId, JobWithBodies, Status, Tags, is_project_name};

/// A job was taken on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Its id.
    pub task_id: JobId,
    /// The same id.
    pub job_id: JobId,
    /// Where it is in its life.
    pub status: Status,
    /// For a person.
    #[schema(example = "the build waits for a slot")]
    pub message: String,
    /// Where to follow it.
    #[schema(example = "/ws/jobs/0192f0c1-2345-7abc-8def-0123456789ab")]
    pub websocket_url: String,
}

/// The answer to a submit.
pub(super) fn accepted(job: &Job, noun: &str) -> (StatusCode, Json<Accepted>) {
    tracing::Span::current().record("job_id", tracing::field::display(job.id));
    let message = match job.status {
        Status::Queued => format!("the {noun} waits for a slot"),
        status => format!("the {noun} was submitted before and is {}", status.as_str()),
    };
    let websocket_url = format!("/ws/jobs/{}", job.id);
    let (task_id, job_id, status) = (job.id, job.id, job.status);
    (StatusCode::ACCEPTED, Json(Accepted { task_id, job_id, status, message, websocket_url }))
}

/// The caller's `Idempotency-Key`, if it sent one, with a fingerprint of what it asks for.
pub(super) fn idempotency(headers: &HeaderMap, request: &[u8]) -> Result<Option<Idempotency>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let key =
        key.ok_or_else(|| Error::invalid("Idempotency-Key", "must have 1 to 255 visible ASCII characters"))?;
    Ok(Some(Idempotency { key: key.to_owned(), fingerprint: hex::encode(Sha256::digest(request)) }))
}

/// What a new job is filed under.
pub(super) fn filing(project: Option<String>, tags: Vec<String>) -> Result<Filing> {
    if project.as_deref().is_some_and(|project| !is_project_name(project)) {
        return Err(Error::invalid(
            "project",
            "must be 1 to 64 of letters, digits, - and _, beginning with a letter or digit",
        ));
    }
    Ok(Filing { project, tags: Tags::new(tags).map_err(|why| Error::invalid("tags", why))? })
}

/// Refuses what a job cannot be called in lists.
pub(super) fn check_name(name: Option<&str>) -> Result<()> {
    let is_name = |name: &str| (1..=200).contains(&name.chars().count()) && !name.contains(char::is_control);
    if name.is_none_or(is_name) {
        return Ok(());
    }
    Err(Error::invalid("name", "must have 1 to 200 characters, none of them a control character"))
}

/// A job, if it is of this kind: each door shows its own only.
pub(super) fn of_kind(found: JobWithBodies, kind: &'static str) -> Result<JobWithBodies> {
    if found.job.kind == kind { Ok(found) } else { Err(Error::NotFound(kind)) }
}

/// Whether a form is sent, and not JSON.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers).starts_with("multipart/form-data")
}

fn media_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The body of a request that may be JSON or a form, if it is JSON.
pub(super) async fn json(app: &App, headers: &HeaderMap, body: Request) -> Result<Bytes, Problem> {
    if !media_type(headers).starts_with("application/json") {
        return Err(Problem::unsupported_media_type(
            "send application/json, or a ZIP as multipart/form-data",
        ));
    }
    read_body(body, app.config.server.body_limit_bytes).await
}

/// The form that is sent.
pub(super) async fn form(app: &App, body: Request) -> Result<Multipart> {
    let form = Multipart::from_request(body, app).await;
    form.map_err(|refused| Error::Malformed(refused.body_text()))
}

/// What is wrong with a part of a form.
#[expect(clippy::needless_pass_by_value, reason = "so that it stands in `map_err`")]
pub(super) fn malformed(error: MultipartError) -> Error {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Error::TooLarge(error.body_text()),
        _ => Error::Malformed(error.body_text()),
    }
}

/// The part `file` of a form, if it can be a ZIP archive.
pub(super) fn archive(file: Option<Bytes>) -> Result<Bytes> {
    let archive = file.ok_or_else(|| Error::invalid("file", "is missing: the ZIP archive"))?;
    if archive.starts_with(b"PK") { Ok(archive) } else { Err(Error::invalid("file", "is no ZIP archive")) }
}

/// Submits a job with an archive, which is there before the job is: whoever claims the job finds it.
pub(super) async fn with_archive(app: &App, new: NewRequest, bytes: &[u8]) -> Result<Job> {
    let id = JobId(app.clock.new_id());
    app.store.put_upload(id, bytes, app.clock.now()).await?;
    let submitted = app.jobs.submit(NewRequest { id: Some(id), ..new }).await;
    if !submitted.as_ref().is_ok_and(|job| job.id == id) {
        // Refused, or the same request as before. What stays behind by mistake goes with the next clean-up.
        if let Err(error) = app.store.drop_upload(id).await {
            tracing::debug!(%error, "an archive stays until the next clean-up");
        }
    }
    submitted
}
