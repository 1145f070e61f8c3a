//! A person's word on a build that waits for it.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::submit;
use crate::agent::{Approval, Decision};
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::{Caller, JobId, Status};

/// The kind of job that asks.
const KIND: &str = "build";

/// A person's word.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Word {
    /// For the model: why, or what to do instead; at most 10,000 characters.
    #[serde(default)]
    #[schema(example = "Use argparse, and leave the web page out.", max_length = 10_000)]
    comment: Option<String>,
    /// Which question is answered, as `approval.approval_id` names it; if absent, the one that is open.
    #[serde(default)]
    #[schema(example = "plan-1")]
    approval_id: Option<String>,
}

/// What a person is or was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalView {
    /// Names the question.
    #[schema(example = "plan-1")]
    approval_id: String,
    /// `pending`, `approved` or `rejected`.
    #[schema(example = "pending")]
    state: &'static str,
    /// What is asked.
    question: String,
    /// What was said besides yes or no.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// The answer was taken down.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answered {
    /// The build.
    task_id: JobId,
    /// Where it is now: it waits for a slot to go on.
    status: Status,
    /// The question and the answer.
    approval: ApprovalView,
}

impl ApprovalView {
    fn of(asked: &Approval) -> Self {
        let state = match asked.answer.as_ref().map(|answer| answer.approved) {
            None => "pending",
            Some(true) => "approved",
            Some(false) => "rejected",
        };
        let comment = asked.answer.as_ref().and_then(|answer| answer.comment.clone());
        Self { approval_id: asked.id.clone(), state, question: asked.question.clone(), comment }
    }
}

/// Says yes to what a build asks: its plan, or a question of the model.
///
/// The build goes on as soon as a slot is free.
#[utoipa::path(post, path = "/api/build/{task_id}/approve", tag = "builds", params(("task_id" = JobId, Path)),
    request_body = Option<Word>, security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It goes on.", body = Answered),
        (status = 409, description = "It does not wait for an answer.", body = super::ErrorBody)))]
pub(super) async fn approve_build(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
    word: Option<Json<Word>>,
) -> Result<Json<Answered>> {
    answer(&app, &caller, id, true, word).await
}

/// Says no to what a build asks.
///
/// A plan that is rejected is made again, with the comment.
#[utoipa::path(post, path = "/api/build/{task_id}/reject", tag = "builds", params(("task_id" = JobId, Path)),
    request_body = Option<Word>, security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "It goes on.", body = Answered),
        (status = 409, description = "It does not wait for an answer.", body = super::ErrorBody)))]
pub(super) async fn reject_build(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
    word: Option<Json<Word>>,
) -> Result<Json<Answered>> {
    answer(&app, &caller, id, false, word).await
}

async fn answer(
    app: &App,
    caller: &Caller,
    id: JobId,
    approved: bool,
    word: Option<Json<Word>>,
) -> Result<Json<Answered>> {
    let Word { comment, approval_id } = word.map(|Json(word)| word).unwrap_or_default();
    let comment = comment.map(|comment| comment.trim().to_owned()).filter(|comment| !comment.is_empty());
    if comment.as_ref().is_some_and(|comment| comment.chars().count() > 10_000) {
        return Err(Error::invalid("comment", "must have at most 10000 characters"));
    }
    let found = submit::of_kind(app.jobs.find(id, caller).await?, KIND)?;
    let waits = found.job.status == Status::Waiting;
    let written = if waits { Written::on_the_way(app, id).await? } else { Written::default() };
    let open = written.approvals.into_iter().next_back().filter(|asked| asked.answer.is_none());
    let open = open.filter(|open| approval_id.as_ref().is_none_or(|id| *id == open.id));
    let Some(mut open) = open else {
        let status = found.job.status.as_str();
        return Err(Error::conflict(
            "NOT_WAITING",
            format!("the build is {status}; it has no such question open"),
        ));
    };
    let decision = Decision { approval_id: open.id.clone(), approved, comment };
    let said = to_raw_value(&decision).map_err(|error| Error::Internal(error.into()))?;
    let job = app.jobs.resume(id, Some(said), caller).await?;
    open.answer = Some(decision);
    Ok(Json(Answered { task_id: id, status: job.status, approval: ApprovalView::of(&open) }))
}

/// What the workflow of a build has written down, in its result or on the way there.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Written {
    #[serde(default)]
    approvals: Vec<Approval>,
    /// What was spent.
    #[serde(default)]
    pub(super) cost: Option<Box<RawValue>>,
}

impl Written {
    /// Of a build that has no result: as it last wrote down.
    pub(super) async fn on_the_way(app: &App, id: JobId) -> Result<Self> {
        let saved = app.store.checkpoint(id).await?;
        Ok(saved.as_deref().map(Self::in_result).unwrap_or_default())
    }

    /// Of a build that has one.
    pub(super) fn in_result(result: &str) -> Self {
        serde_json::from_str(result).unwrap_or_default()
    }

    /// The last question.
    pub(super) fn approval(&self) -> Option<ApprovalView> {
        self.approvals.last().map(ApprovalView::of)
    }
}
