//! What models have cost, and how much they may.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{Json, Path, Query};
use crate::app::App;
use crate::error::{Error, Result};
use crate::llm::{NewBudget, Period};
use crate::model::{Caller, JobId, UserId};
use crate::store::{BudgetRow, LlmUsageBy, LlmUsageFilter, LlmUsageRow};

/// The most sums in one answer.
const MOST_SUMS: u32 = 1000;

/// Which calls, and what to sum them up by.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// Only calls that began at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only calls that began before this time.
    to: Option<DateTime<Utc>>,
    /// Only calls of this user; of others only for administrators.
    user: Option<UserId>,
    /// Only calls for this project.
    project: Option<String>,
    /// Only calls for this job.
    job: Option<JobId>,
    /// Only calls of this provider.
    provider: Option<String>,
    /// Only calls of this model.
    model: Option<String>,
    /// What to make sums for, with commas between: `hour`, `day`, `month`, `user`, `project`, `job`, `provider`, `model`,
    /// `outcome`. Without it there is one sum.
    #[param(example = "day,model")]
    group_by: Option<String>,
    /// How many sums at the most, 1 to 1000; the latest and dearest come first.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u32>,
}

/// What calls have cost.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmUsage {
    /// All of them together.
    total: LlmSum,
    /// By what was asked for, the latest and dearest first.
    groups: Vec<LlmSum>,
}

/// A sum over calls. Of what names it only that is there which was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LlmSum {
    /// The hour, day or month, by UTC: `2026-05-01T13`, `2026-05-01`, `2026-05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    /// The provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// How the calls ended: `answered`, `cached`, `expired` or the code of an error; absent for those under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// How many calls; asking again is another one.
    calls: i64,
    /// Of these, without an answer.
    failed: i64,
    /// Of these, answered from the server's cache.
    cache_hits: i64,
    /// The share of those that were looked up in the cache and found; null where none was looked up.
    cache_hit_rate: Option<f64>,
    /// Micro-dollars.
    cost_micros: i64,
    /// Micro-dollars held for calls under way.
    reserved_micros: i64,
    /// Calls with an answer whose price nobody knows: they are not in `cost_micros`.
    unpriced_calls: i64,
    /// All tokens read.
    input_tokens: i64,
    /// Of these, from the providers' caches.
    cached_input_tokens: i64,
    /// Of these, into the providers' caches.
    cache_write_tokens: i64,
    /// All tokens written.
    output_tokens: i64,
    /// Of these, thoughts.
    reasoning_tokens: i64,
}

/// Whose budgets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BudgetQuery {
    /// Only those of this user.
    user: Option<UserId>,
    /// Only those of this job.
    job: Option<JobId>,
}

/// A budget to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBudget {
    /// Only calls of this user; for who is no administrator always oneself.
    user: Option<UserId>,
    /// Only calls for jobs of this project.
    #[schema(example = "webshop", max_length = 200)]
    project: Option<String>,
    /// Only calls for this job.
    job: Option<JobId>,
    /// When what was spent is forgotten.
    #[serde(default)]
    period: Period,
    /// Micro-dollars that may be spent in each period.
    #[schema(example = 5_000_000, minimum = 0)]
    limit_micros: i64,
}

/// What to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchBudget {
    /// Micro-dollars that may be spent in each period.
    #[schema(minimum = 0)]
    limit_micros: i64,
}

/// A budget: no call begins that could overrun it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Budget {
    /// Its id.
    id: Uuid,
    /// Only calls of this user.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    /// Only calls for this project.
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// Only calls for this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<JobId>,
    /// `total`, `day` or `month`.
    #[schema(example = "month")]
    period: String,
    /// Micro-dollars that may be spent in each period.
    limit_micros: i64,
    /// Micro-dollars spent in this one.
    spent_micros: i64,
    /// Micro-dollars held for calls under way: what they cost at their worst.
    reserved_micros: i64,
    /// Micro-dollars neither spent nor held.
    left_micros: i64,
    /// Whether only an administrator may change it.
    binding: bool,
    /// When it was set.
    created_at: DateTime<Utc>,
}

/// Budgets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BudgetList {
    /// Oldest first.
    budgets: Vec<Budget>,
}

/// What models have cost.
///
/// One's own calls; an administrator sees all.
#[utoipa::path(get, path = "/api/v1/llm/usage", tag = "models", security(("bearer" = []), ("api_key" = [])),
    params(UsageQuery), responses((status = 200, description = "The sums.", body = LlmUsage)))]
pub(super) async fn usage(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UsageQuery>,
) -> Result<Json<LlmUsage>> {
    let limit = query.limit.unwrap_or(MOST_SUMS);
    if !(1..=MOST_SUMS).contains(&limit) {
        return Err(Error::invalid("limit", format!("must be from 1 to {MOST_SUMS}")));
    }
    let by = units(query.group_by.as_deref().unwrap_or_default())?;
    let filter = LlmUsageFilter {
        from: query.from,
        to: query.to,
        // Of somebody else there is nothing to see.
        user: caller.confined_to().or(query.user),
        project: query.project,
        job: query.job,
        provider: query.provider,
        model: query.model,
    };
    if caller.confined_to().is_some_and(|own| query.user.is_some_and(|user| user != own)) {
        return Err(Error::Forbidden("only an administrator may see what others have spent"));
    }
    let total = app.store.llm_usage(&filter, &[], 1).await?;
    let total = total.into_iter().next().map(LlmSum::from).ok_or(Error::NotFound("sum"))?;
    let groups = match by.as_slice() {
        [] => Vec::new(),
        by => app.store.llm_usage(&filter, by, limit).await?,
    };
    Ok(Json(LlmUsage { total, groups: groups.into_iter().map(LlmSum::from).collect() }))
}

/// Budgets.
///
/// Those that name the caller; for an administrator all of them.
#[utoipa::path(get, path = "/api/v1/llm/budgets", tag = "models", security(("bearer" = []), ("api_key" = [])),
    params(BudgetQuery), responses((status = 200, description = "The budgets.", body = BudgetList)))]
pub(super) async fn list_budgets(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<BudgetQuery>,
) -> Result<Json<BudgetList>> {
    let budgets = app.llm.budgets(query.user, query.job, &caller).await?;
    Ok(Json(BudgetList { budgets: budgets.into_iter().map(Budget::from).collect() }))
}

/// Sets a budget.
///
/// It is for the calls to which all of its `user`, `project` and `job` apply. An administrator may leave all of them out,
/// for everything that this server spends; what an administrator sets, only an administrator may change.
#[utoipa::path(post, path = "/api/v1/llm/budgets", tag = "models", security(("bearer" = []), ("api_key" = [])),
    request_body = CreateBudget, responses(
    (status = 201, description = "The budget.", body = Budget),
    (status = 409, description = "There are too many.", body = super::ErrorBody)))]
pub(super) async fn create_budget(
    State(app): State<App>,
    caller: Caller,
    Json(new): Json<CreateBudget>,
) -> Result<(StatusCode, Json<Budget>)> {
    let CreateBudget { user, project, job, period, limit_micros } = new;
    let new = NewBudget { user, project, job, period, limit_micros };
    Ok((StatusCode::CREATED, Json(app.llm.create_budget(new, &caller).await?.into())))
}

/// Changes how much a budget allows.
///
/// What was spent stays. Below that, nothing more is spent in this period.
#[utoipa::path(patch, path = "/api/v1/llm/budgets/{id}", tag = "models", security(("bearer" = []), ("api_key" = [])),
    request_body = PatchBudget, params(("id" = Uuid, Path, description = "The budget's id.")),
    responses((status = 200, description = "The budget.", body = Budget)))]
pub(super) async fn patch_budget(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(patch): Json<PatchBudget>,
) -> Result<Json<Budget>> {
    Ok(Json(app.llm.limit_budget(id, patch.limit_micros, &caller).await?.into()))
}

/// Removes a budget.
#[utoipa::path(delete, path = "/api/v1/llm/budgets/{id}", tag = "models", security(("bearer" = []), ("api_key" = [])),
    params(("id" = Uuid, Path, description = "The budget's id.")),
    responses((status = 204, description = "It is gone.")))]
pub(super) async fn delete_budget(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    app.llm.delete_budget(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn units(text: &str) -> Result<Vec<LlmUsageBy>> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let read = |name: &str| serde_json::from_value(name.into());
    names.map(read).collect::<Result<_, _>>().map_err(|error| {
        let message = error.to_string();
        Error::invalid("group_by", message.split(" at line").next().unwrap_or_default())
    })
}

impl From<LlmUsageRow> for LlmSum {
    fn from(row: LlmUsageRow) -> Self {
        let looked_up = row.cache_hits + row.cache_misses;
        #[expect(clippy::cast_precision_loss, reason = "a share of calls need not be exact")]
        let rate = (looked_up > 0).then(|| row.cache_hits as f64 / looked_up as f64);
        Self {
            time: row.time,
            user: row.user_id,
            project: row.project,
            job: row.job_id,
            provider: row.provider,
            model: row.model,
            outcome: row.outcome,
            calls: row.calls,
            failed: row.failed,
            cache_hits: row.cache_hits,
            cache_hit_rate: rate,
            cost_micros: row.cost_micros,
            reserved_micros: row.reserved_micros,
            unpriced_calls: row.unpriced,
            input_tokens: row.input_tokens,
            cached_input_tokens: row.cached_input_tokens,
            cache_write_tokens: row.cache_write_tokens,
            output_tokens: row.output_tokens,
            reasoning_tokens: row.reasoning_tokens,
        }
    }
}

impl From<BudgetRow> for Budget {
    fn from(row: BudgetRow) -> Self {
        Self {
            left_micros: row.left_micros(),
            id: row.id,
            user: row.user_id,
            project: row.project,
            job: row.job_id,
            period: row.period,
            limit_micros: row.limit_micros,
            spent_micros: row.spent_micros,
            reserved_micros: row.reserved_micros,
            binding: row.binding,
            created_at: row.created_at,
        }
    }
}
