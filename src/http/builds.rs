//! Builds: submit, look, list, cancel.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::approvals::{ApprovalView, Written};
use super::error::Problem;
use super::extract::{Json, Path, Query, parse_json};
use super::identity::RequestId;
use super::life::Life;
use super::listing::ListQuery;
use super::submit::{self, Accepted, malformed};
use crate::agent::Cost;
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::jobs::NewRequest;
use crate::kinds::build::{BuildArtifact, BuildResult, Parameters};
use crate::model::{Caller, Job, JobId, JobWithBodies, Status, Tags, is_project_name};
use crate::store::Filter;

use super::limits::Submit;

/// The kind of job that a build is.
const KIND: &str = "build";
/// The source that says that an archive came with the request.
const UPLOAD: &str = "upload";

/// What to build.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildRequest {
    /// What the project is called: 1 to 64 of letters, digits, `-` and `_`, beginning with a letter or digit.
    #[schema(example = "word-count", pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    pub project_name: String,
    /// What it is to do, in plain words.
    #[schema(example = "a command line tool that counts words in files", min_length = 1, max_length = 20000)]
    pub goal: String,
    /// How: language, limits, and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Parameters>)]
    pub parameters: Option<serde_json::Map<String, serde_json::Value>>,
    /// Words to file the build under, beside its project: up to 20.
    #[serde(default, skip_serializing)]
    #[schema(example = json!(["nightly"]), max_items = 20)]
    pub tags: Vec<String>,
}

/// A build that starts from an archive, as a form sends it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document")]
pub(super) struct BuildUpload {
    /// What the project is called.
    project_name: String,
    /// What it is to do, in plain words.
    goal: String,
    /// The ZIP archive with the files to start from.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// How, as JSON, without `source`.
    #[schema(value_type = Option<Parameters>)]
    parameters: Option<serde_json::Value>,
    /// A word to file it under; the part may come up to 20 times.
    tag: Option<String>,
}

/// Everything about a build.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BuildView {
    /// The build's id.
    pub task_id: JobId,
    /// What the project is called.
    pub project_name: String,
    /// Words it is filed under.
    #[schema(value_type = Vec<String>)]
    pub tags: Tags,
    /// What it is to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// How.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Box<RawValue>>,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: Life,
    /// What came of it.
    #[schema(value_type = Option<BuildResult>)]
    pub results: Option<Box<RawValue>>,
    /// The files it left behind, as the results name them.
    #[schema(value_type = Vec<BuildArtifact>)]
    pub artifacts: Box<RawValue>,
    /// What the model has cost so far.
    #[schema(value_type = Option<Cost>)]
    pub cost: Option<Box<RawValue>>,
    /// What a person was asked last, if anything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalView>,
}

/// A page of builds, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BuildList {
    /// The builds, without their goals and results.
    pub builds: Vec<BuildView>,
    /// How many there are in all.
    pub total: i64,
    /// How many were asked for.
    pub limit: u32,
    /// How many were passed over.
    pub offset: u32,
    /// Where to go on, if there is more.
    pub next_cursor: Option<String>,
}

/// Submits a build.
///
/// JSON may name what to start from; a ZIP archive to start from comes as `multipart/form-data`. With an
/// `Idempotency-Key`, a second request with the same key and body gets the first one's build.
#[utoipa::path(post, path = "/api/build/", tag = "builds",
    request_body(content((BuildRequest = "application/json"), (BuildUpload = "multipart/form-data"))),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "It waits for a slot.", body = Accepted)))]
pub(super) async fn create_build(
    State(app): State<App>,
    caller: Caller,
    RequestId(request_id): RequestId,
    headers: HeaderMap,
    body: Request,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let (build, archive) = match submit::is_form(&headers) {
        true => from_form(&app, body).await?,
        false => (from_json(&app, &headers, body).await?, None),
    };
    check(&build)?;
    let filing = submit::filing(Some(build.project_name.clone()), build.tags.clone())?;
    app.limits.submit(Submit::Build, caller.user)?;
    let policy = app.registry.policy(KIND).ok_or(Error::NotFound("kind"))?;
    let payload = to_raw_value(&build).map_err(|error| Error::Internal(error.into()))?;
    app.registry.check(KIND, &payload, &app.env)?;
    let tags = build.tags.join(" ");
    let parts = [payload.get().as_bytes(), tags.as_bytes(), archive.as_deref().unwrap_or_default()];
    let idempotency = submit::idempotency(&headers, &parts.concat())?;
    let label = Some(build.project_name);
    let request_id = Some(request_id);
    let bare = NewRequest::new(policy, Some(caller.user), payload);
    let request = NewRequest { idempotency, label, filing, request_id, ..bare };
    let job = match archive {
        None => app.jobs.submit(request).await?,
        Some(bytes) => submit::with_archive(&app, request, &bytes).await?,
    };
    Ok(submit::accepted(&job, "build"))
}

async fn from_json(app: &App, headers: &HeaderMap, body: Request) -> Result<BuildRequest, Problem> {
    let build: BuildRequest = parse_json(&submit::json(app, headers, body).await?)?;
    let source = build.parameters.as_ref().and_then(|parameters| parameters.get("source"));
    if source.is_some_and(|source| source == UPLOAD) {
        let message = "an archive is sent as multipart/form-data, in a part `file`";
        return Err(Error::invalid("parameters.source", message).into());
    }
    Ok(build)
}

async fn from_form(app: &App, body: Request) -> Result<(BuildRequest, Option<bytes::Bytes>), Problem> {
    let mut form = submit::form(app, body).await?;
    let (mut archive, mut parameters) = (None, serde_json::Map::new());
    let (mut project_name, mut goal, mut tags) = (String::new(), String::new(), Vec::new());
    while let Some(part) = form.next_field().await.map_err(malformed)? {
        let field = part.name().unwrap_or_default().to_owned();
        match field.as_str() {
            "file" => archive = Some(part.bytes().await.map_err(malformed)?),
            "project_name" => project_name = part.text().await.map_err(malformed)?,
            "goal" => goal = part.text().await.map_err(malformed)?,
            "tag" => tags.push(part.text().await.map_err(malformed)?),
            "parameters" => parameters = parse_json(&part.bytes().await.map_err(malformed)?)?,
            other => {
                let message = "unknown field; expected project_name, goal, file, parameters or tag";
                return Err(Error::invalid(other, message).into());
            }
        }
    }
    let archive = submit::archive(archive)?;
    if parameters.insert("source".to_owned(), UPLOAD.into()).is_some() {
        return Err(Error::invalid("parameters.source", "the archive is the source already").into());
    }
    Ok((BuildRequest { project_name, goal, parameters: Some(parameters), tags }, Some(archive)))
}

/// Everything about a build.
#[utoipa::path(get, path = "/api/build/{task_id}", tag = "builds", params(("task_id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "As it stands.", body = BuildView)))]
pub(super) async fn get_build(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<BuildView>> {
    let found = submit::of_kind(app.jobs.find(id, &caller).await?, KIND)?;
    let written = match &found.result {
        Some(result) => Written::in_result(result),
        // Nothing was written down before the first attempt.
        None if found.job.started_at.is_none() || found.job.status == Status::Completed => Written::default(),
        None => Written::on_the_way(&app, id).await?,
    };
    let approval = written.approval();
    Ok(Json(BuildView { approval, cost: written.cost, ..view_of(found) }))
}

/// Builds, newest first.
#[utoipa::path(get, path = "/api/build/", tag = "builds", params(ListQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "A page.", body = BuildList)))]
pub(super) async fn list_builds(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<BuildList>> {
    let filter = Filter { owner: caller.confined_to(), kind: Some(KIND.to_owned()), ..Filter::default() };
    let listed = query.fetch(&app, filter).await?;
    let bare = |job| view_of(JobWithBodies { job, payload: None, result: None });
    Ok(Json(BuildList {
        builds: listed.jobs.into_iter().map(bare).collect(),
        total: listed.total,
        limit: listed.limit,
        offset: listed.offset,
        next_cursor: listed.next_cursor,
    }))
}

/// Cancels a build, also while it runs.
///
/// One that runs keeps its state until its worker has let go of it.
#[utoipa::path(delete, path = "/api/build/{task_id}", tag = "builds", params(("task_id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It is cancelled, or will be at once.", body = BuildView),
        (status = 409, description = "It has ended already.", body = super::ErrorBody)))]
pub(super) async fn cancel_build(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<BuildView>> {
    submit::of_kind(app.jobs.find(id, &caller).await?, KIND)?;
    app.jobs.cancel(id, &caller).await?;
    Ok(Json(view_of(app.jobs.find(id, &caller).await?)))
}

fn check(build: &BuildRequest) -> Result<()> {
    let mut wrong = Vec::new();
    let mut complain = |field: &str, message: &str| {
        wrong.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    };
    if !is_project_name(&build.project_name) {
        complain(
            "project_name",
            "must be 1 to 64 of letters, digits, - and _, beginning with a letter or digit",
        );
    }
    if build.goal.trim().is_empty() || build.goal.chars().count() > 20_000 {
        complain("goal", "must have 1 to 20000 characters, not only spaces");
    }
    if build.parameters.as_ref().is_some_and(|parameters| parameters.len() > 100) {
        complain("parameters", "must have at most 100 entries");
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}

fn view_of(found: JobWithBodies) -> BuildView {
    #[derive(Default, Deserialize)]
    struct Asked {
        goal: Option<String>,
        parameters: Option<Box<RawValue>>,
    }
    #[derive(Default, Deserialize)]
    struct Left {
        #[serde(default)]
        artifacts: Option<Box<RawValue>>,
    }
    let read = found.payload.as_deref().and_then(|payload| serde_json::from_str::<Asked>(payload).ok());
    let asked = read.unwrap_or_default();
    let left = found.result.as_deref().and_then(|result| serde_json::from_str::<Left>(result).ok());
    let left = left.unwrap_or_default();
    let job: Job = found.job;
    BuildView {
        task_id: job.id,
        life: Life::of(&job),
        project_name: job.label.unwrap_or_default(),
        tags: job.tags,
        goal: asked.goal,
        parameters: asked.parameters,
        results: found.result.and_then(|result| RawValue::from_string(result).ok()),
        artifacts: left.artifacts.unwrap_or_else(no_artifacts),
        cost: None,
        approval: None,
    }
}

fn no_artifacts() -> Box<RawValue> {
    to_raw_value(&[(); 0]).unwrap_or_default()
}
