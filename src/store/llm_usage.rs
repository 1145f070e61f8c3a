//! What calls of models have cost, summed up by whatever somebody wants to know.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;

use super::Store;
use super::db::{Db, with_db};
use crate::model::{JobId, UserId};

/// Which calls.
#[derive(Clone, Debug, Default)]
pub struct LlmUsageFilter {
    /// From this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Of this user.
    pub user: Option<UserId>,
    /// For this project.
    pub project: Option<String>,
    /// For this job.
    pub job: Option<JobId>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this model.
    pub model: Option<String>,
}

/// What sums are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LlmUsageBy {
    /// Each hour of UTC.
    Hour,
    /// Each day of UTC.
    Day,
    /// Each month of UTC.
    Month,
    /// Each user.
    User,
    /// Each project.
    Project,
    /// Each job.
    Job,
    /// Each provider.
    Provider,
    /// Each model.
    Model,
    /// Each way in which calls end.
    Outcome,
}

/// One sum.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct LlmUsageRow {
    /// The hour, day or month: as much of RFC 3339 as it takes.
    pub time: Option<String>,
    /// The user.
    pub user_id: Option<UserId>,
    /// The project.
    pub project: Option<String>,
    /// The job.
    pub job_id: Option<JobId>,
    /// The provider.
    pub provider: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// How the calls ended; none for those under way.
    pub outcome: Option<String>,
    /// How many calls.
    pub calls: i64,
    /// Of these, answered from our cache.
    pub cache_hits: i64,
    /// Of these, looked up in our cache in vain.
    pub cache_misses: i64,
    /// Of these, ended without an answer.
    pub failed: i64,
    /// Of these, with tokens but without a known price.
    pub unpriced: i64,
    /// Micro-dollars.
    pub cost_micros: i64,
    /// Micro-dollars held for calls under way.
    pub reserved_micros: i64,
    /// All tokens read.
    pub input_tokens: i64,
    /// Of these, from the providers' caches.
    pub cached_input_tokens: i64,
    /// Of these, into the providers' caches.
    pub cache_write_tokens: i64,
    /// All tokens written.
    pub output_tokens: i64,
    /// Of these, thoughts.
    pub reasoning_tokens: i64,
}

/// The columns of [`LlmUsageRow`] that name a group, with their types.
const NAMES: [(&str, &str, LlmUsageBy); 6] = [
    ("user_id", "uuid", LlmUsageBy::User),
    ("project", "text", LlmUsageBy::Project),
    ("job_id", "uuid", LlmUsageBy::Job),
    ("provider", "text", LlmUsageBy::Provider),
    ("model", "text", LlmUsageBy::Model),
    ("outcome", "text", LlmUsageBy::Outcome),
];

impl Store {
    /// Sums over calls; without `by` it is one. At most `limit`, the latest and dearest first.
    pub async fn llm_usage(
        &self,
        filter: &LlmUsageFilter,
        by: &[LlmUsageBy],
        limit: u32,
    ) -> sqlx::Result<Vec<LlmUsageRow>> {
        let sql = statement(&self.read, by);
        with_db!(&self.read, pool => sqlx::query_as::<DB, LlmUsageRow>(AssertSqlSafe(sql))
            .bind(filter.from).bind(filter.to).bind(filter.user).bind(filter.project.as_deref()).bind(filter.job)
            .bind(filter.provider.as_deref()).bind(filter.model.as_deref()).bind(i64::from(limit))
            .fetch_all(pool).await)
    }
}

fn statement(db: &Db, by: &[LlmUsageBy]) -> String {
    // Letters of a time that are the same within the group, as RFC 3339 writes it.
    let letters = [(LlmUsageBy::Hour, 13), (LlmUsageBy::Day, 10), (LlmUsageBy::Month, 7)];
    let finest = letters.iter().find(|(unit, _)| by.contains(unit)).map(|(_, letters)| *letters);
    let time = match (finest, db.is_sqlite()) {
        (None, _) => "cast(null as text)".to_owned(),
        (Some(letters), true) => format!("substr(started_at, 1, {letters})"),
        (Some(letters), false) => {
            format!(r#"substr(to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24'), 1, {letters})"#)
        }
    };
    let mut columns = vec![format!("{time} as time")];
    let mut groups = finest.map(|_| "1".to_owned()).into_iter().collect::<Vec<_>>();
    for (place, (name, kind, unit)) in (2..).zip(NAMES) {
        if by.contains(&unit) {
            columns.push(name.to_owned());
            groups.push(format!("{place}"));
        } else {
            columns.push(format!("cast(null as {kind}) as {name}"));
        }
    }
    let counts = [
        ("calls", "count(*)"),
        ("cache_hits", "sum(case when outcome = 'cached' then 1 else 0 end)"),
        ("cache_misses", "sum(case when cache_miss then 1 else 0 end)"),
        ("failed", "sum(case when outcome not in ('answered', 'cached') then 1 else 0 end)"),
        ("unpriced", "sum(case when cost_micros is null and output_tokens > 0 then 1 else 0 end)"),
    ];
    columns.extend(counts.map(|(name, sum)| format!("cast(coalesce({sum}, 0) as bigint) as {name}")));
    let sums = [
        "cost_micros",
        "reserved_micros",
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
    ];
    columns.extend(sums.map(|name| format!("cast(coalesce(sum({name}), 0) as bigint) as {name}")));
    let grouped = if groups.is_empty() { String::new() } else { format!("group by {}", groups.join(", ")) };
    format!(
        "select {} from llm_calls
         where ($1 is null or started_at >= $1) and ($2 is null or started_at < $2) and ($3 is null or user_id = $3)
             and ($4 is null or project = $4) and ($5 is null or job_id = $5) and ($6 is null or provider = $6)
             and ($7 is null or model = $7)
         {grouped} order by 1 desc nulls last, cost_micros desc, calls desc limit $8",
        columns.join(", ")
    )
}
