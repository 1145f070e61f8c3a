//! Analyses: submit code, look at the report, list, cancel.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::Problem;
use super::extract::{Json, Path, Query, parse_json};
use super::identity::RequestId;
use super::life::Life;
use super::limits::Submit;
use super::listing::ListQuery;
use super::submit::{self, Accepted, malformed};
use crate::app::App;
use crate::error::{Error, Result};
use crate::jobs::NewRequest;
use crate::kinds::analysis::{
    Analysis, AnalysisOptions, AnalysisSource, Answer, BaselineChoice, external, intake,
};
use crate::kinds::{Kind, request};
use crate::model::{Caller, JobId, JobWithBodies, Status, Tags};
use crate::source::{self, SourceFileText};
use crate::store::{Filter, JobPage};

const KIND: &str = Analysis::POLICY.kind;

/// What to analyse: exactly one of `code`, `files`, `repository` and `project_id`. A ZIP archive is sent as
/// `multipart/form-data` with a part `file`, and `options` as JSON in a part of that name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AnalysisRequest {
    /// A piece of code.
    #[schema(example = "import os\nos.system(input())\n")]
    pub code: Option<String>,
    /// The language of `code`.
    #[schema(example = "python")]
    pub language: Option<String>,
    /// The file name of `code`; it shows the language too.
    pub filename: Option<String>,
    /// Files.
    pub files: Option<Vec<SourceFileText>>,
    /// A git repository.
    pub repository: Option<RepositoryRequest>,
    /// A project of this server.
    pub project_id: Option<String>,
    /// What it is called in lists.
    #[schema(max_length = 200)]
    pub name: Option<String>,
    /// The project it is for.
    #[schema(example = "word-count", pattern = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    pub project: Option<String>,
    /// Words to file it under: up to 20.
    #[serde(default)]
    #[schema(example = json!(["nightly"]), max_items = 20)]
    pub tags: Vec<String>,
    /// How to analyse.
    pub options: Option<AnalysisOptions>,
}

/// A git repository.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryRequest {
    /// Its `https` address, without credentials.
    #[schema(example = "https://example.org/team/project.git")]
    pub url: String,
    /// A branch, a tag or a commit; the default branch if there is none.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
}

/// An archive, as a form sends it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document")]
pub(super) struct AnalysisUpload {
    /// The ZIP archive.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// What it is called in lists.
    name: Option<String>,
    /// The project it is for.
    project: Option<String>,
    /// A word to file it under; the part may come up to 20 times.
    tag: Option<String>,
    /// How to analyse, as JSON.
    options: Option<AnalysisOptions>,
}

/// An analysis; once it has completed, with its report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnalysisView {
    /// The analysis's id.
    pub id: JobId,
    /// The same id.
    pub task_id: JobId,
    /// What it is called in lists.
    pub name: Option<String>,
    /// The project it is for.
    pub project: Option<String>,
    /// Words it is filed under.
    #[schema(value_type = Vec<String>)]
    pub tags: Tags,
    /// Where it is in its life.
    #[serde(flatten)]
    pub life: Life,
    /// The report's fields stand beside these.
    #[serde(flatten)]
    #[schema(value_type = Option<Answer>)]
    pub report: Option<std::collections::BTreeMap<String, Box<RawValue>>>,
}

/// A page of analyses, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AnalysisList {
    /// The analyses, without their reports.
    pub analyses: Vec<AnalysisView>,
    /// How many there are in all.
    pub total: i64,
    /// How many were asked for.
    pub limit: u32,
    /// How many were passed over.
    pub offset: u32,
    /// Where to go on, if there is more.
    pub next_cursor: Option<String>,
}

/// Submits an analysis.
///
/// JSON names one source; a ZIP archive comes as `multipart/form-data`. With an `Idempotency-Key`, a second request
/// with the same key and body gets the first one's analysis.
#[utoipa::path(post, path = "/api/analysis/", tag = "analyses",
    request_body(content((AnalysisRequest = "application/json"), (AnalysisUpload = "multipart/form-data"))),
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 202, description = "It waits for a slot.", body = Accepted)))]
pub(super) async fn create_analysis(
    State(app): State<App>,
    caller: Caller,
    RequestId(request_id): RequestId,
    headers: HeaderMap,
    body: Request,
) -> Result<(StatusCode, Json<Accepted>), Problem> {
    let mut wanted = if submit::is_form(&headers) {
        from_form(&app, body).await?
    } else {
        from_json(&app, &headers, body).await?
    };
    check(&app, &wanted)?;
    let filing = submit::filing(wanted.project, wanted.tags)?;
    settle_baseline(&app, &caller, &mut wanted.analysis, filing.project.as_deref()).await?;
    app.limits.submit(Submit::Analysis, caller.user)?;
    let idempotency = submit::idempotency(&headers, &wanted.fingerprint)?;
    let new = NewRequest {
        idempotency,
        label: wanted.name,
        filing,
        request_id: Some(request_id),
        ..request(&wanted.analysis, Some(caller.user))?
    };
    let job = match wanted.archive {
        None => app.jobs.submit(new).await?,
        Some(bytes) => submit::with_archive(&app, new, &bytes).await?,
    };
    Ok(submit::accepted(&job, "analysis"))
}

/// An analysis; once it has completed, with its report.
#[utoipa::path(get, path = "/api/analysis/{id}", tag = "analyses", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "As it stands.", body = AnalysisView)))]
pub(super) async fn get_analysis(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<AnalysisView>> {
    let found = app.jobs.find(id, &caller).await?;
    Ok(Json(view_of(submit::of_kind(found, KIND)?)))
}

/// Analyses, newest first.
#[utoipa::path(get, path = "/api/analysis/", tag = "analyses", params(ListQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "A page.", body = AnalysisList)))]
pub(super) async fn list_analyses(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Json<AnalysisList>> {
    let filter = Filter { owner: caller.confined_to(), kind: Some(KIND.to_owned()), ..Filter::default() };
    let listed = query.fetch(&app, filter).await?;
    let bare = |job| view_of(JobWithBodies { job, payload: None, result: None });
    Ok(Json(AnalysisList {
        analyses: listed.jobs.into_iter().map(bare).collect(),
        total: listed.total,
        limit: listed.limit,
        offset: listed.offset,
        next_cursor: listed.next_cursor,
    }))
}

/// Cancels an analysis, also while it runs.
///
/// One that runs keeps its state until its worker has let go of it.
#[utoipa::path(delete, path = "/api/analysis/{id}", tag = "analyses", params(("id" = JobId, Path)),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It is cancelled, or will be at once.", body = AnalysisView),
        (status = 409, description = "It has ended already.", body = super::ErrorBody)))]
pub(super) async fn cancel_analysis(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
) -> Result<Json<AnalysisView>> {
    submit::of_kind(app.jobs.find(id, &caller).await?, KIND)?;
    app.jobs.cancel(id, &caller).await?;
    Ok(Json(view_of(app.jobs.find(id, &caller).await?)))
}

/// A request, understood.
struct Wanted {
    analysis: Analysis,
    name: Option<String>,
    project: Option<String>,
    tags: Vec<String>,
    archive: Option<bytes::Bytes>,
    /// What makes two requests the same.
    fingerprint: Vec<u8>,
}

async fn from_json(app: &App, headers: &HeaderMap, body: Request) -> Result<Wanted, Problem> {
    let bytes = submit::json(app, headers, body).await?;
    let asked: AnalysisRequest = parse_json(&bytes)?;
    let source = source_of(&asked)?;
    let name = asked.name.or_else(|| name_of(&source));
    let analysis = Analysis { source, options: asked.options.unwrap_or_default() };
    let (project, tags) = (asked.project, asked.tags);
    Ok(Wanted { analysis, name, project, tags, archive: None, fingerprint: bytes.to_vec() })
}

fn source_of(asked: &AnalysisRequest) -> Result<AnalysisSource> {
    let asked = asked.clone();
    if asked.code.is_none() && (asked.language.is_some() || asked.filename.is_some()) {
        return Err(Error::invalid("code", "is missing: `language` and `filename` are about it"));
    }
    let AnalysisRequest { code, language, filename, files, repository, project_id, .. } = asked;
    let named = [code.is_some(), files.is_some(), repository.is_some(), project_id.is_some()];
    if named.iter().filter(|named| **named).count() != 1 {
        return Err(Error::invalid(
            "body",
            "must name exactly one of code, files, repository and project_id",
        ));
    }
    match (code, files, repository) {
        (Some(code), ..) => Ok(AnalysisSource::Inline { code, language, filename }),
        (_, Some(files), _) => Ok(AnalysisSource::Files(files)),
        (.., Some(repository)) => {
            Ok(AnalysisSource::Repository { url: repository.url, reference: repository.reference })
        }
        _ => Err(Error::invalid("project_id", "no such project")),
    }
}

fn name_of(source: &AnalysisSource) -> Option<String> {
    match source {
        AnalysisSource::Inline { filename, .. } => filename.as_deref().and_then(as_name),
        AnalysisSource::Repository { url, .. } => as_name(url),
        AnalysisSource::Files(_) | AnalysisSource::Upload => None,
    }
}

/// As much of it as makes a name.
fn as_name(text: &str) -> Option<String> {
    let name: String = text.chars().filter(|letter| !letter.is_control()).take(200).collect();
    (!name.is_empty()).then_some(name)
}

async fn from_form(app: &App, body: Request) -> Result<Wanted, Problem> {
    let mut form = submit::form(app, body).await?;
    let (mut archive, mut name, mut options) = (None, None, AnalysisOptions::default());
    let (mut project, mut tags) = (None, Vec::new());
    while let Some(part) = form.next_field().await.map_err(malformed)? {
        let field = part.name().unwrap_or_default().to_owned();
        match field.as_str() {
            "file" => {
                name = name.or_else(|| part.file_name().and_then(as_name));
                archive = Some(part.bytes().await.map_err(malformed)?);
            }
            "name" => name = Some(part.text().await.map_err(malformed)?),
            "project" => project = Some(part.text().await.map_err(malformed)?),
            "tag" => tags.push(part.text().await.map_err(malformed)?),
            "options" => options = parse_json(&part.bytes().await.map_err(malformed)?)?,
            other => {
                return Err(Error::invalid(
                    other,
                    "unknown field; expected file, name, project, tag or options",
                )
                .into());
            }
        }
    }
    let archive = submit::archive(archive)?;
    let analysis = Analysis { source: AnalysisSource::Upload, options };
    let mut fingerprint = serde_json::to_vec(&(&analysis, &name, &project, &tags)).unwrap_or_default();
    fingerprint.extend_from_slice(&archive);
    Ok(Wanted { analysis, name, project, tags, archive: Some(archive), fingerprint })
}

/// Refuses at the door what could only fail later.
fn check(app: &App, wanted: &Wanted) -> Result<()> {
    submit::check_name(wanted.name.as_deref())?;
    let analysis = &wanted.analysis;
    let limits = intake(&app.config.intake);
    if let Some(source) = analysis.source.to_source() {
        source::check(&source, &limits)
            .map_err(|error| Error::invalid(field_of(&analysis.source), error.to_string()))?;
    }
    external::Wanted::allowed(&analysis.options.with, &app.config.analyzers)
        .map_err(|(place, why)| Error::invalid(format!("options.with[{place}]"), why))?;
    analysis.options.to_engine().map_err(|(field, why)| Error::invalid(field, why))?;
    Ok(())
}

/// Finds the analysis to compare with, while it is known who asks.
async fn settle_baseline(
    app: &App,
    caller: &Caller,
    analysis: &mut Analysis,
    project: Option<&str>,
) -> Result<()> {
    let refuse = |why: &str| Err(Error::invalid("options.baseline", why));
    match &analysis.options.baseline {
        None => {}
        Some(BaselineChoice::Reference(reference)) => {
            let AnalysisSource::Repository { url, .. } = &analysis.source else {
                return refuse("only a repository has commits");
            };
            let former = source::Source::Repository { url: url.clone(), reference: Some(reference.clone()) };
            source::check(&former, &intake(&app.config.intake))
                .map_err(|error| Error::invalid("options.baseline", error.to_string()))?;
        }
        Some(BaselineChoice::Analysis(id)) => match app.jobs.check(*id, caller).await {
            Ok(job) if job.kind != KIND => return refuse("is no analysis"),
            Ok(job) if job.status != Status::Completed => return refuse("has no report (yet)"),
            Ok(_) => {}
            Err(Error::NotFound(_)) => return refuse("there is no such analysis"),
            Err(error) => return Err(error),
        },
        Some(BaselineChoice::Latest) => {
            let Some(project) = project else { return refuse("`latest` needs a `project`") };
            let filter = Filter {
                owner: Some(caller.user),
                kind: Some(KIND.to_owned()),
                project: Some(project.to_owned()),
                status: Some(Status::Completed),
                ..Filter::default()
            };
            let page = JobPage { limit: 1, offset: 0, after: None };
            let last = app.store.list_jobs(&filter, page).await?;
            // The first one has nothing to be compared with.
            analysis.options.baseline = last.first().map(|job| BaselineChoice::Analysis(job.id));
        }
    }
    Ok(())
}

fn field_of(source: &AnalysisSource) -> &'static str {
    match source {
        AnalysisSource::Inline { .. } => "code",
        AnalysisSource::Files(_) => "files",
        AnalysisSource::Repository { .. } => "repository",
        AnalysisSource::Upload => "file",
    }
}

fn view_of(found: JobWithBodies) -> AnalysisView {
    let job = found.job;
    AnalysisView {
        id: job.id,
        task_id: job.id,
        life: Life::of(&job),
        name: job.label,
        project: job.project,
        tags: job.tags,
        report: found.result.and_then(|result| serde_json::from_str(&result).ok()),
    }
}
