//! Reports as files, in the formats of `export`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Json, Path, Query};
use super::submit;
use crate::analysis::{self, Report};
use crate::app::App;
use crate::error::{Error, Result};
use crate::export;
use crate::model::{Caller, JobId, Status};

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

/// An analysis that has a report.
struct Finished {
    name: Option<String>,
    date: Option<DateTime<Utc>>,
    result: String,
}

/// What stands beside the fields of the report.
#[derive(Deserialize)]
struct Beside {
    revision: Option<String>,
}

async fn finished(app: &App, caller: &Caller, id: JobId) -> Result<Finished> {
    let found = submit::of_kind(app.jobs.find(id, caller).await?, "analysis")?;
    let job = found.job;
    let result = found.result.filter(|_| job.status == Status::Completed).ok_or_else(|| {
        let text = format!("the analysis {id} is {}; only a completed one has a report", job.status.as_str());
        Error::conflict("NO_REPORT", text)
    })?;
    Ok(Finished { name: job.label, date: job.finished_at, result })
}

impl Finished {
    fn write(&self, format: &export::Format, before: Option<(JobId, Self)>) -> anyhow::Result<Vec<u8>> {
        let mut report: Report = serde_json::from_str(&self.result)?;
        let Beside { revision } = serde_json::from_str(&self.result)?;
        if let Some((id, before)) = before {
            let before: Report = serde_json::from_str(&before.result)?;
            analysis::compare(&before, &mut report, format!("analysis {id}"));
        }
        let document = export::Document {
            report: &report,
            name: self.name.as_deref(),
            revision: revision.as_deref(),
            date: self.date,
        };
        Ok((format.write)(&document)?)
    }
}
