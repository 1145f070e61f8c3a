//! Files that jobs leave behind: listed, and downloaded whole or in parts.

use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::submit;
use crate::app::App;
use crate::artifacts::{self, Artifact};
use crate::error::{Error, Result};
use crate::model::{Caller, JobId};

/// Media types that a browser may be told; everything else is bytes to it.
const TOLD: &[&str] = &[
    "application/json",
    "application/gzip",
    "application/jsonl",
    "application/xml",
    "application/zip",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain; charset=utf-8",
];

/// A file that a job has left behind.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArtifactView {
    /// Its path.
    #[schema(example = "project.zip")]
    path: String,
    /// In bytes.
    size: i64,
    /// What it is.
    #[schema(example = "application/zip")]
    media_type: String,
    /// Of its bytes, in hexadecimal.
    sha256: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// Where it can be had.
    #[schema(example = "/api/v1/jobs/0192f0c1-2345-7abc-8def-0123456789ab/artifacts/project.zip")]
    url: String,
}

/// The files that a job has left behind, ordered by path.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ArtifactList {
    /// The files.
    artifacts: Vec<ArtifactView>,
    /// How many.
    total: usize,
    /// Their sizes, added up.
    total_bytes: i64,
}

/// The files of a build.
#[utoipa::path(get, path = "/api/build/{task_id}/artifacts", tag = "builds", params(("task_id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "All of them.", body = ArtifactList)))]
pub(super) async fn list_build_artifacts(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<ArtifactList>> {
    submit::of_kind(app.jobs.find(id, &caller).await?, "build")?;
    list(&app, id).await
}

/// A file of a build.
#[utoipa::path(get, path = "/api/build/{task_id}/artifacts/{path}", tag = "builds",
    params(("task_id" = JobId, Path), ("path" = String, Path, description = "As the list has it; slashes are part of it."),
        ("Range" = Option<String>, Header, description = "One range of bytes.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The bytes.", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for.", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "It is the one that `If-None-Match` names."),
        (status = 416, description = "It has no such range.", body = super::ErrorBody)))]
pub(super) async fn get_build_artifact(
    State(app): State<App>,
    caller: Caller,
    Path((id, path)): Path<(JobId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    submit::of_kind(app.jobs.find(id, &caller).await?, "build")?;
    download(&app, id, &path, &headers).await
}

/// The files of a job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/artifacts", tag = "jobs", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "All of them.", body = ArtifactList)))]
pub(super) async fn list_job_artifacts(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<ArtifactList>> {
    app.jobs.check(id, &caller).await?;
    list(&app, id).await
}

/// A file of a job.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/artifacts/{path}", tag = "jobs",
    params(("id" = JobId, Path), ("path" = String, Path, description = "As the list has it; slashes are part of it."),
        ("Range" = Option<String>, Header, description = "One range of bytes.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The bytes.", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for.", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "It is the one that `If-None-Match` names."),
        (status = 416, description = "It has no such range.", body = super::ErrorBody)))]
pub(super) async fn get_job_artifact(
    State(app): State<App>,
    caller: Caller,
    Path((id, path)): Path<(JobId, String)>,
    headers: HeaderMap,
) -> Result<Response> {
    app.jobs.check(id, &caller).await?;
    download(&app, id, &path, &headers).await
}

async fn list(app: &App, job: JobId) -> Result<Json<ArtifactList>> {
    let files = app.env.artifacts.list(job).await.map_err(failure)?;
    let (total, total_bytes) = (files.len(), files.iter().map(|file| file.size).sum());
    let artifacts = files.into_iter().map(|file| view_of(job, file)).collect();
    Ok(Json(ArtifactList { artifacts, total, total_bytes }))
}

fn view_of(job: JobId, file: Artifact) -> ArtifactView {
    let Artifact { path, size, media_type, sha256, created_at } = file;
    let url = format!("/api/v1/jobs/{job}/artifacts/{}", in_url(&path));
    ArtifactView { path, size, media_type, sha256, created_at, url }
}

/// Answers with the file, or the part of it that is asked for (RFC 9110, sections 13 and 14).
async fn download(app: &App, job: JobId, path: &str, asked: &HeaderMap) -> Result<Response> {
    let file = app.env.artifacts.find(job, path).await.map_err(failure)?;
    let file = file.ok_or(Error::NotFound("artifact"))?;
    let etag = format!("\"{}\"", file.sha256);
    let text = |name: HeaderName| asked.get(name).and_then(|value| value.to_str().ok());
    if text(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &etag)) {
        return Ok((StatusCode::NOT_MODIFIED, described(&file, &etag)?).into_response());
    }
    let size = u64::try_from(file.size).unwrap_or_default();
    // A part of a file that has changed since would fit nothing.
    let fits = text(header::IF_RANGE).is_none_or(|tag| tag == etag);
    let range = text(header::RANGE).filter(|_| fits).and_then(|range| part(range, size));
    let (status, range) = match range {
        None => (StatusCode::OK, 0..size),
        Some(Some(range)) => (StatusCode::PARTIAL_CONTENT, range),
        Some(None) => return Ok(no_such_part(size)),
    };
    let mut headers = described(&file, &etag)?;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let said = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
        headers.insert(header::CONTENT_RANGE, value(&said)?);
    }
    let bytes = app.env.artifacts.read(job, &file, range).await.map_err(failure)?;
    Ok((status, headers, Body::from_stream(bytes)).into_response())
}

/// What is said of a file whatever is sent of it. It is never shown in place: it may be anybody's page or script.
fn described(file: &Artifact, etag: &str) -> Result<HeaderMap> {
    let kind = TOLD.iter().find(|told| **told == file.media_type).unwrap_or(&"application/octet-stream");
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", in_url(name));
    let digest = BASE64_STANDARD.encode(hex::decode(&file.sha256).unwrap_or_default());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_DISPOSITION, value(&disposition)?);
    headers.insert(header::ETAG, value(etag)?);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(HeaderName::from_static("repr-digest"), value(&format!("sha-256=:{digest}:"))?);
    Ok(headers)
}

fn no_such_part(size: u64) -> Response {
    let said = value(&format!("bytes */{size}")).unwrap_or(HeaderValue::from_static("bytes */*"));
    let mut response = super::error::Problem::range_not_satisfiable(size).into_response();
    response.headers_mut().insert(header::CONTENT_RANGE, said);
    response
}

/// The one range that a `Range` header asks for: nothing if it asks for none that is understood, and then the whole is
/// sent; `Some(None)` if the file has none of it.
fn part(header: &str, size: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = header.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let range = match (first, last) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (first, "") => number(first)?..size,
        (first, last) if number(first)? <= number(last)? => {
            number(first)?..number(last)?.saturating_add(1).min(size)
        }
        _ => return None,
    };
    Some((!range.is_empty()).then_some(range))
}

/// Whether a list of tags names this one.
fn names(list: &str, etag: &str) -> bool {
    list.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
}

/// Percent-encoded, but for the slashes.
fn in_url(path: &str) -> String {
    path.bytes().fold(String::new(), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
        url
    })
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|error| Error::Internal(error.into()))
}

/// A disk or bucket that is away will be back.
fn failure(error: artifacts::Error) -> Error {
    match error {
        artifacts::Error::Database(error) => error.into(),
        artifacts::Error::Bytes(object_store::Error::NotFound { .. }) => Error::NotFound("artifact"),
        error => {
            tracing::warn!(%error, "an artifact cannot be read");
            Error::Unavailable {
                code: "ARTIFACTS_UNAVAILABLE",
                message: "the files of jobs cannot be reached right now".to_owned(),
                retry_after: std::time::Duration::from_secs(5),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file_and_one_beyond_it_is_none() {
        assert_eq!(part("bytes=0-3", 10), Some(Some(0..4)));
        assert_eq!(part("bytes=4-", 10), Some(Some(4..10)));
        assert_eq!(part("bytes=-3", 10), Some(Some(7..10)));
        assert_eq!(part("bytes=-30", 10), Some(Some(0..10)));
        assert_eq!(part("bytes=8-100", 10), Some(Some(8..10)));
        assert_eq!(
            (part("bytes=10-", 10), part("bytes=-0", 10), part("bytes=0-", 0)),
            (Some(None), Some(None), Some(None))
        );
        for odd in
            ["bytes=5-3", "bytes=a-b", "lines=1-2", "bytes=1-2,4-5", "bytes=", "bytes=+1-2", "bytes=--1"]
        {
            assert_eq!(part(odd, 10), None, "{odd}");
        }
    }

    #[test]
    fn tags_and_names_are_written_as_headers_want_them() {
        assert!(names("\"a\", W/\"b\"", "\"b\"") && names("*", "\"x\"") && !names("\"a\"", "\"b\""));
        assert_eq!(in_url("a b/ü\".txt"), "a%20b/%C3%BC%22.txt");
    }
}
