//! Calls of models and the budgets that they are paid from. What a call may cost at its worst is held before it is
//! made and given back when it is over, so that calls at the same time cannot overrun a limit together.

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::Store;
use super::db::{Tx, with_db, with_tx};
use crate::model::{JobId, UserId};

/// A call that begins.
#[derive(Clone, Debug)]
pub struct NewLlmCall {
    /// Its id.
    pub id: Uuid,
    /// For whom; `None` is the server itself.
    pub user: Option<UserId>,
    /// For which project.
    pub project: Option<String>,
    /// For which job.
    pub job: Option<JobId>,
    /// Who is asked.
    pub provider: String,
    /// Which model.
    pub model: String,
    /// When.
    pub started_at: DateTime<Utc>,
    /// If nobody has said by then how it ended, nobody will.
    pub expires_at: DateTime<Utc>,
    /// Whether an earlier answer was looked for in vain.
    pub cache_miss: bool,
    /// What it costs at its worst, in micro-dollars; `None`: nobody knows.
    pub worst_micros: Option<i64>,
}

/// What became of a wish to make a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LlmHold {
    /// It may be made.
    Held,
    /// A budget has too little left.
    Exceeded(BudgetRow),
    /// There is a budget, and nobody knows what the call may cost.
    Unpriced,
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LlmEnd {
    /// `answered`, `cached`, or the code of an error.
    pub outcome: &'static str,
    /// Micro-dollars; `None`: nobody knows the price.
    pub cost_micros: Option<i64>,
    /// Whether the tokens are our estimate.
    pub estimated: bool,
    /// All tokens read.
    pub input_tokens: i64,
    /// Of these, from the provider's cache.
    pub cached_input_tokens: i64,
    /// Of these, into the provider's cache.
    pub cache_write_tokens: i64,
    /// All tokens written.
    pub output_tokens: i64,
    /// Of these, thoughts.
    pub reasoning_tokens: i64,
}

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct BudgetRow {
    /// Its id.
    pub id: Uuid,
    /// Only calls of this user.
    pub user_id: Option<UserId>,
    /// Only calls for this project.
    pub project: Option<String>,
    /// Only calls for this job.
    pub job_id: Option<JobId>,
    /// `total`, `day` or `month` (of UTC).
    pub period: String,
    /// Micro-dollars that may be spent in each period.
    pub limit_micros: i64,
    /// Micro-dollars spent in the period that began at `window_start`.
    pub spent_micros: i64,
    /// Micro-dollars held for calls under way.
    pub reserved_micros: i64,
    /// See `spent_micros`.
    pub window_start: DateTime<Utc>,
    /// Set by an administrator.
    pub binding: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Whose budgets.
#[derive(Clone, Debug, Default)]
pub struct BudgetFilter {
    /// Those that may bind this user.
    pub user: Option<UserId>,
    /// Those of this job.
    pub job: Option<JobId>,
}

/// A user's key for a provider, as it is kept.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LlmKeyRow {
    /// Whose.
    pub user_id: UserId,
    /// For which provider.
    pub provider: String,
    /// The provider's address for this user; empty: as the server's settings say.
    pub base_url: String,
    /// What it was encrypted with besides the server's secret.
    pub nonce: Vec<u8>,
    /// The key, encrypted.
    pub sealed: Vec<u8>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

impl std::fmt::Debug for LlmKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlmKeyRow").field("provider", &self.provider).finish_non_exhaustive()
    }
}

const BUDGET: &str = "id, user_id, project, job_id, period, limit_micros, spent_micros, reserved_micros, window_start, \
                      binding, created_at";
/// Whether a budget is about a call of user `$1`, project `$2`, job `$3`.
const APPLIES: &str = "(b.user_id is null or b.user_id = $1) and (b.project is null or b.project = $2)
                       and (b.job_id is null or b.job_id = $3)";
/// When the period began in which a budget is now, with `$4` the day's and `$5` the month's beginning.
const BEGAN: &str = "case period when 'day' then $4 when 'month' then $5 else window_start end";
/// What was spent in it.
fn spent() -> String {
    format!("case when {BEGAN} > window_start then 0 else spent_micros end")
}

impl Store {
    /// Holds what a call may cost in every budget that applies, or in none. One statement looks and takes, row by row
    /// under the row's lock, so that what two calls see is never the same money.
    pub async fn hold_llm_call(&self, call: &NewLlmCall) -> sqlx::Result<LlmHold> {
        let mut tx = self.write.begin().await?;
        let worst = call.worst_micros.unwrap_or(0);
        let (day, month) = began(call.started_at);
        let (lock, spent) = (if tx.is_sqlite() { "" } else { "for update" }, spent());
        let sql = format!("select {BUDGET} from llm_budgets b where {APPLIES} order by b.id");
        let all: Vec<BudgetRow> = with_tx!(&mut tx, c => sqlx::query_as::<DB, BudgetRow>(AssertSqlSafe(sql))
            .bind(call.user).bind(call.project.as_deref()).bind(call.job).fetch_all(c).await)?;
        if all.is_empty() {
            insert_call(&mut tx, call, 0).await?;
            tx.commit().await?;
            return Ok(LlmHold::Held);
        }
        let sql = format!(
            "update llm_budgets set reserved_micros = reserved_micros + $6, spent_micros = {spent}, window_start = {BEGAN}
             where id in (select b.id from llm_budgets b where {APPLIES} order by b.id {lock})
                 and reserved_micros + $6 + {spent} <= limit_micros and $7
             returning id"
        );
        let held: Vec<Uuid> = with_tx!(&mut tx, c => sqlx::query_scalar::<DB, Uuid>(AssertSqlSafe(sql))
            .bind(call.user).bind(call.project.as_deref()).bind(call.job).bind(day).bind(month).bind(worst)
            .bind(call.worst_micros.is_some()).fetch_all(c).await)?;
        if let Some(short) = all.into_iter().find(|budget| !held.contains(&budget.id)) {
            // Dropped, the transaction is rolled back: nothing is held.
            return Ok(match call.worst_micros {
                Some(_) => LlmHold::Exceeded(short.at(call.started_at)),
                None => LlmHold::Unpriced,
            });
        }
        insert_call(&mut tx, call, worst).await?;
        for budget in held {
            with_tx!(&mut tx, c => sqlx::query::<DB>("insert into llm_holds (call_id, budget_id) values ($1, $2)")
                .bind(call.id).bind(budget).execute(c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(LlmHold::Held)
    }

    /// Notes how a call ended, gives back what was held for it, and books what it cost. False: it is not under way.
    pub async fn end_llm_call(&self, id: Uuid, end: &LlmEnd, now: DateTime<Utc>) -> sqlx::Result<bool> {
        let mut tx = self.write.begin().await?;
        // What has expired holds nothing any more, but its cost is real all the same.
        let ended: Option<(i64, bool)> = with_tx!(&mut tx, c => sqlx::query_as::<DB, (i64, bool)>(
            "update llm_calls set finished_at = $2, outcome = $3, cost_micros = $4, estimated = $5, input_tokens = $6,
                 cached_input_tokens = $7, cache_write_tokens = $8, output_tokens = $9, reasoning_tokens = $10
             where id = $1 and (outcome is null or outcome = 'expired')
             returning reserved_micros, exists (select 1 from llm_holds h where h.call_id = $1)")
            .bind(id).bind(now).bind(end.outcome).bind(end.cost_micros).bind(end.estimated)
            .bind(end.input_tokens).bind(end.cached_input_tokens).bind(end.cache_write_tokens)
            .bind(end.output_tokens).bind(end.reasoning_tokens).fetch_optional(c).await)?;
        let Some((held, has_holds)) = ended else { return Ok(false) };
        if has_holds {
            release(&mut tx, id, held, end.cost_micros.unwrap_or(0), now).await?;
            with_tx!(&mut tx, c => sqlx::query::<DB>("delete from llm_holds where call_id = $1")
                .bind(id).execute(c).await.map(drop))?;
            with_tx!(&mut tx, c => sqlx::query::<DB>("update llm_calls set reserved_micros = 0 where id = $1")
                .bind(id).execute(c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Notes a call that was answered without asking anybody.
    pub async fn note_llm_call(&self, call: &NewLlmCall, end: &LlmEnd) -> sqlx::Result<()> {
        let mut tx = self.write.begin().await?;
        insert_call(&mut tx, call, 0).await?;
        with_tx!(&mut tx, c => sqlx::query::<DB>(
            "update llm_calls set finished_at = started_at, outcome = $2, cost_micros = $3 where id = $1")
            .bind(call.id).bind(end.outcome).bind(end.cost_micros).execute(c).await.map(drop))?;
        tx.commit().await
    }

    /// Gives back what is held for calls whose process died, up to `limit`; returns how many. What they cost is not
    /// known.
    pub async fn expire_llm_calls(&self, now: DateTime<Utc>, limit: u32) -> sqlx::Result<usize> {
        let mut tx = self.write.begin().await?;
        let lock = if tx.is_sqlite() { "" } else { "for update skip locked" };
        let sql = format!(
            "select id, reserved_micros from llm_calls where outcome is null and expires_at < $1
             order by expires_at limit $2 {lock}"
        );
        let stale: Vec<(Uuid, i64)> = with_tx!(&mut tx, c => sqlx::query_as::<DB, (Uuid, i64)>(AssertSqlSafe(sql))
            .bind(now).bind(i64::from(limit)).fetch_all(c).await)?;
        for (id, held) in &stale {
            release(&mut tx, *id, *held, 0, now).await?;
            with_tx!(&mut tx, c => sqlx::query::<DB>(
                "update llm_calls set outcome = 'expired', finished_at = $2, reserved_micros = 0 where id = $1")
                .bind(id).bind(now).execute(c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(stale.len())
    }

    /// Keeps a budget.
    pub async fn insert_llm_budget(&self, budget: &BudgetRow) -> sqlx::Result<()> {
        let sql = format!(
            "insert into llm_budgets ({BUDGET}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
        );
        with_db!(&self.write, pool => sqlx::query::<DB>(AssertSqlSafe(sql))
            .bind(budget.id).bind(budget.user_id).bind(budget.project.as_deref()).bind(budget.job_id)
            .bind(budget.period.as_str()).bind(budget.limit_micros).bind(budget.spent_micros)
            .bind(budget.reserved_micros).bind(budget.window_start).bind(budget.binding).bind(budget.created_at)
            .execute(pool).await.map(drop))
    }

    /// Budgets, oldest first, at most 1000.
    pub async fn llm_budgets(
        &self,
        filter: &BudgetFilter,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Vec<BudgetRow>> {
        let sql = format!(
            "select {BUDGET} from llm_budgets where ($1 is null or user_id = $1) and ($2 is null or job_id = $2)
             order by id limit 1000"
        );
        let rows = with_db!(&self.read, pool => sqlx::query_as::<DB, BudgetRow>(AssertSqlSafe(sql))
            .bind(filter.user).bind(filter.job).fetch_all(pool).await)?;
        Ok(rows.into_iter().map(|budget| budget.at(now)).collect())
    }

    /// A budget.
    pub async fn find_llm_budget(&self, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<Option<BudgetRow>> {
        let sql = format!("select {BUDGET} from llm_budgets where id = $1");
        let row = with_db!(&self.read, pool => sqlx::query_as::<DB, BudgetRow>(AssertSqlSafe(sql))
            .bind(id).fetch_optional(pool).await)?;
        Ok(row.map(|budget| budget.at(now)))
    }

    /// Changes how much a budget allows; what was spent stays. False: it is not there.
    pub async fn limit_llm_budget(&self, id: Uuid, limit_micros: i64) -> sqlx::Result<bool> {
        with_db!(&self.write, pool => sqlx::query::<DB>("update llm_budgets set limit_micros = $2 where id = $1")
            .bind(id).bind(limit_micros).execute(pool).await.map(|done| done.rows_affected() == 1))
    }

    /// Removes a budget. False: it is not there.
    pub async fn delete_llm_budget(&self, id: Uuid) -> sqlx::Result<bool> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from llm_budgets where id = $1")
            .bind(id).execute(pool).await.map(|done| done.rows_affected() == 1))
    }

    /// How many budgets a user has made.
    pub async fn count_llm_budgets(&self, user: UserId) -> sqlx::Result<i64> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, i64>(
            "select count(*) from llm_budgets where user_id = $1").bind(user).fetch_one(pool).await)
    }

    /// Keeps a user's key, in place of a former one.
    pub async fn put_llm_key(&self, key: &LlmKeyRow) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into llm_keys (user_id, provider, base_url, nonce, sealed, created_at)
             values ($1, $2, $3, $4, $5, $6)
             on conflict (user_id, provider) do update set base_url = excluded.base_url, nonce = excluded.nonce,
                 sealed = excluded.sealed, created_at = excluded.created_at")
            .bind(key.user_id).bind(key.provider.as_str()).bind(key.base_url.as_str()).bind(key.nonce.as_slice())
            .bind(key.sealed.as_slice()).bind(key.created_at).execute(pool).await.map(drop))
    }

    /// The keys of a user.
    pub async fn llm_keys(&self, user: UserId) -> sqlx::Result<Vec<LlmKeyRow>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, LlmKeyRow>(
            "select user_id, provider, base_url, nonce, sealed, created_at from llm_keys where user_id = $1
             order by provider").bind(user).fetch_all(pool).await)
    }

    /// Removes a user's key. False: there is none.
    pub async fn delete_llm_key(&self, user: UserId, provider: &str) -> sqlx::Result<bool> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from llm_keys where user_id = $1 and provider = $2")
            .bind(user).bind(provider).execute(pool).await.map(|done| done.rows_affected() == 1))
    }

    /// Removes up to `limit` calls that began before `before`, what is left of their holds, and the budgets of jobs
    /// from before then; returns how many rows. Calls under way stay.
    pub async fn prune_llm(&self, before: DateTime<Utc>, limit: u32) -> sqlx::Result<u64> {
        let (first, limit) = (super::prune::first_id_at(before), i64::from(limit));
        let statements = [
            "delete from llm_holds where call_id in (select id from llm_calls where id < $1 and outcome is not null
                 order by id limit $2)",
            "delete from llm_calls where id in (select id from llm_calls where id < $1 and outcome is not null
                 order by id limit $2)",
            "delete from llm_budgets where id in (select id from llm_budgets where id < $1 and job_id is not null
                 order by id limit $2)",
        ];
        let mut gone = 0;
        for sql in statements {
            gone += with_db!(&self.write, pool => sqlx::query::<DB>(sql).bind(first).bind(limit).execute(pool).await
                .map(|done| done.rows_affected()))?;
        }
        Ok(gone)
    }
}

impl BudgetRow {
    /// As it is at a moment: in a new day or month nothing has been spent.
    fn at(self, now: DateTime<Utc>) -> Self {
        let (day, month) = began(now);
        let window_start = match self.period.as_str() {
            "day" => day,
            "month" => month,
            _ => self.window_start,
        };
        if window_start > self.window_start { Self { spent_micros: 0, window_start, ..self } } else { self }
    }

    /// Neither spent nor held.
    pub fn left_micros(&self) -> i64 {
        self.limit_micros.saturating_sub(self.spent_micros).saturating_sub(self.reserved_micros).max(0)
    }
}

/// When the day and the month began, by UTC.
fn began(now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let day = now.date_naive();
    let month = day.with_day(1).unwrap_or(day);
    (day.and_time(NaiveTime::MIN).and_utc(), month.and_time(NaiveTime::MIN).and_utc())
}

async fn insert_call(tx: &mut Tx, call: &NewLlmCall, held: i64) -> sqlx::Result<()> {
    with_tx!(tx, c => sqlx::query::<DB>(
        "insert into llm_calls (id, user_id, project, job_id, provider, model, started_at, expires_at, cache_miss,
             reserved_micros)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .bind(call.id).bind(call.user).bind(call.project.as_deref()).bind(call.job).bind(call.provider.as_str())
        .bind(call.model.as_str()).bind(call.started_at).bind(call.expires_at).bind(call.cache_miss).bind(held)
        .execute(c).await.map(drop))
}

/// Gives `held` back to the budgets of a call, and books `cost`.
async fn release(tx: &mut Tx, call: Uuid, held: i64, cost: i64, now: DateTime<Utc>) -> sqlx::Result<()> {
    let (day, month) = began(now);
    let (lock, spent) = (if tx.is_sqlite() { "" } else { "for update" }, spent());
    let sql = format!(
        "update llm_budgets set reserved_micros = reserved_micros - $2, spent_micros = $3 + {spent},
             window_start = {BEGAN}
         where id in (select b.id from llm_budgets b where b.id in
             (select h.budget_id from llm_holds h where h.call_id = $1) order by b.id {lock})"
    );
    with_tx!(tx, c => sqlx::query::<DB>(AssertSqlSafe(sql)).bind(call).bind(held).bind(cost).bind(day).bind(month)
        .execute(c).await.map(drop))
}
