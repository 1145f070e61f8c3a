//! Reports as files, in the formats of `export`.

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::submit;
use crate::analysis::Report;
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

/// The report of a completed analysis as a file.
#[utoipa::path(get, path = "/api/v1/export/{analysis_id}/{format}", tag = "analyses",
    params(("analysis_id" = JobId, Path), ("format" = String, Path, description = "A name from `/api/v1/export/formats`.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The file.", body = String, content_type = "application/octet-stream"),
        (status = 409, description = "The analysis has no report.", body = super::ErrorBody)))]
pub(super) async fn export_report(
    State(app): State<App>,
    caller: Caller,
    Path((id, format)): Path<(JobId, String)>,
) -> Result<Response> {
    let format = export::format(&format).ok_or(Error::NotFound("format"))?;
    let found = submit::of_kind(app.jobs.find(id, &caller).await?, "analysis")?;
    let status = found.job.status;
    let result = found.result.filter(|_| status == Status::Completed);
    let result = result.ok_or_else(|| {
        Error::conflict(
            "NO_REPORT",
            format!("the analysis is {}; only a completed one has a report", status.as_str()),
        )
    })?;
    // Large reports take a while to read and to write.
    let bytes = tokio::task::spawn_blocking(move || {
        let report: Report = serde_json::from_str(&result)?;
        Ok::<_, anyhow::Error>((format.write)(&report)?)
    });
    let bytes = bytes.await.map_err(anyhow::Error::from).flatten().map_err(Error::Internal)?;
    let name = format!("attachment; filename=\"codeyard-{id}.{}\"", format.extension);
    let name = HeaderValue::from_str(&name).map_err(|error| Error::Internal(error.into()))?;
    let kind = HeaderValue::from_static(format.media_type);
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], bytes).into_response())
}
