//! Reports as files, in the formats of `export`.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Json, Path, Query};
use super::identity::RequestId;
use super::limits::Submit;
use super::submit::{self, Accepted};
use crate::app::App;
use crate::error::{Error, Result};
use crate::export;
use crate::jobs::NewRequest;
use crate::kinds::export::{Finished, MOST_REPORTS};
use crate::kinds::{Analysis, Export, Kind, request};
use crate::model::{Caller, JobId};

/// A format that reports can be had in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FormatView {
    /// The name to ask for it by.
    #[schema(example = "sarif")]
    name: &'static str,
    /// The extension of its files.
    #[schema(example = "sarif")]
    extension: &'static str,
    /// Its media type.
    #[schema(example = "application/sarif+json")]
    media_type: &'static str,
}

/// The formats that reports can be had in.
#[utoipa::path(get, path = "/api/v1/export/formats", tag = "analyses",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "All of them.", body = Vec<FormatView>)))]
pub(super) async fn list_formats(_: Caller) -> Json<Vec<FormatView>> {
    let view = |format: &export::Format| FormatView {
        name: format.name,
        extension: format.extension,
        media_type: format.media_type,
    };
    Json(export::FORMATS.iter().map(view).collect())
}

/// The JSON Schema of the report, as the format `json` writes it.
#[utoipa::path(get, path = "/api/v1/export/schema", tag = "analyses",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The schema.", body = Object, content_type = "application/schema+json")))]
pub(super) async fn export_schema(_: Caller) -> Result<Response> {
    let schema = export::schema().map_err(|error| Error::Internal(error.into()))?;
    let kind = HeaderValue::from_static("application/schema+json");
    Ok(([(header::CONTENT_TYPE, kind)], schema.to_string()).into_response())
}

/// What the file is to show besides the report.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportQuery {
    /// An earlier analysis: formats that can then say what is new, moved and fixed.
    baseline: Option<JobId>,
}

/// The report of a completed analysis as a file.
#[utoipa::path(get, path = "/api/v1/export/{analysis_id}/{format}", tag = "analyses",
    params(("analysis_id" = JobId, Path), ("format" = String, Path, description = "A name from `/api/v1/export/formats`."),
        ExportQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The file.", body = String, content_type = "application/octet-stream"),
        (status = 409, description = "The analysis has no report.", body = super::ErrorBody)))]
pub(super) async fn export_report(
    State(app): State<App>,
    caller: Caller,
    Path((id, format)): Path<(JobId, String)>,
    Query(query): Query<ExportQuery>,
) -> Result<Response> {
    let format = export::format(&format).ok_or(Error::NotFound("format"))?;
    let finished = finished(&app, &caller, id).await?;
    let before = match query.baseline {
        Some(id) => Some((id, self::finished(&app, &caller, id).await?)),
        None => None,
    };
    // Large reports take a while to read and to write.
    let bytes = tokio::task::spawn_blocking(move || finished.write(format, before));
    let bytes = bytes.await.map_err(anyhow::Error::from).flatten().map_err(Error::Internal)?;
    let name = format!("attachment; filename=\"codeyard-{id}.{}\"", format.extension);
    let name = HeaderValue::from_str(&name).map_err(|error| Error::Internal(error.into()))?;
    let kind = HeaderValue::from_static(format.media_type);
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], bytes).into_response())
}

async fn finished(app: &App, caller: &Caller, id: JobId) -> Result<Finished> {
    let found = submit::of_kind(app.jobs.find(id, caller).await?, Analysis::POLICY.kind)?;
    Finished::of(found).map_err(|status| {
        let text = format!("the analysis {id} is {}; only a completed one has a report", status.as_str());
        Error::conflict("NO_REPORT", text)
    })
}

/// Which analyses to export, and how.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportRequest {
    /// Ids of analyses of one's own.
    #[schema(min_items = 1)]
    analyses: Vec<JobId>,
    /// Names from `/api/v1/export/formats`.
    #[schema(min_items = 1, example = json!(["sarif", "html"]))]
    formats: Vec<String>,
    /// What the job is called in lists.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The project it is for.
    project: Option<String>,
    /// Words to file it under: up to 20.
    #[serde(default)]
    #[schema(max_items = 20)]
    tags: Vec<String>,
}

/// Exports the reports of many analyses as one ZIP archive.
///
/// It is a job: once it has completed, the archive is its artifact `export.zip`, and its result says of each report
/// whether it is there. An analysis that has no report when its turn comes is no reason for the others to fail.
#[utoipa::path(post, path = "/api/v1/export/batch", tag = "analyses", request_body = ExportRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "It waits for a slot.", body = Accepted)))]
pub(super) async fn export_batch(
    State(app): State<App>,
    caller: Caller,
    RequestId(request_id): RequestId,
    headers: HeaderMap,
    Json(asked): Json<ExportRequest>,
) -> Result<(StatusCode, Json<Accepted>)> {
    check_batch(&asked)?;
    for (place, id) in asked.analyses.iter().enumerate() {
        let job = app.jobs.check(*id, &caller).await.ok();
        if job.is_none_or(|job| job.kind != Analysis::POLICY.kind) {
            return Err(Error::invalid(format!("analyses[{place}]"), "there is no such analysis"));
        }
    }
    let fingerprint = serde_json::to_vec(&asked).map_err(|error| Error::Internal(error.into()))?;
    let idempotency = submit::idempotency(&headers, &fingerprint)?;
    let ExportRequest { analyses, formats, name, project, tags } = asked;
    let filing = submit::filing(project, tags)?;
    app.limits.submit(Submit::Analysis, caller.user)?;
    let job = Export { analyses, formats };
    let new = NewRequest {
        idempotency,
        label: name,
        filing,
        request_id: Some(request_id),
        ..request(&job, Some(caller.user))?
    };
    Ok(submit::accepted(&app.jobs.submit(new).await?, "export"))
}

fn check_batch(asked: &ExportRequest) -> Result<()> {
    for (field, empty) in [("analyses", asked.analyses.is_empty()), ("formats", asked.formats.is_empty())] {
        if empty {
            return Err(Error::invalid(field, "must name at least one"));
        }
    }
    let reports = asked.analyses.len().saturating_mul(asked.formats.len());
    if reports > MOST_REPORTS {
        let text = format!("times formats are {reports} reports; {MOST_REPORTS} are the most");
        return Err(Error::invalid("analyses", text));
    }
    let mut seen = HashSet::new();
    if let Some(place) = asked.analyses.iter().position(|id| !seen.insert(*id)) {
        return Err(Error::invalid(format!("analyses[{place}]"), "is there twice"));
    }
    let mut seen = HashSet::new();
    for (place, name) in asked.formats.iter().enumerate() {
        let field = format!("formats[{place}]");
        if export::format(name).is_none() {
            return Err(Error::invalid(field, format!("there is no format {name}")));
        }
        if !seen.insert(name) {
            return Err(Error::invalid(field, "is there twice"));
        }
    }
    submit::check_name(asked.name.as_deref())
}
