//! Looking at jobs: one, or a page of them.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Database, QueryBuilder};

use super::Store;
use super::db::with_db;
use crate::model::{Job, JobId, JobWithBodies, Status, UserId};

/// Which jobs to look at; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Whose.
    pub owner: Option<UserId>,
    /// Of which kind.
    pub kind: Option<String>,
    /// In which state.
    pub status: Option<Status>,
    /// From which queue.
    pub queue: Option<String>,
    /// Filed under this tag.
    pub tag: Option<String>,
    /// For this project.
    pub project: Option<String>,
    /// Submitted for this one.
    pub parent: Option<JobId>,
    /// Submitted at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Submitted before this time.
    pub until: Option<DateTime<Utc>>,
}

/// Which part of the list, newest first.
#[derive(Clone, Copy, Debug)]
pub struct JobPage {
    /// How many at the most.
    pub limit: u32,
    /// How many to pass over.
    pub offset: u64,
    /// Only what comes after this job in the list.
    pub after: Option<JobId>,
}

/// The columns of [`Job`]: a job without outcome is as its row in the queue says.
const JOB: &str = "j.id, j.kind, j.queue, j.owner_id, j.label, j.project,
    (select string_agg(t.tag, ' ' order by t.tag) from job_tags t where t.job_id = j.id) as tags, j.parent_id, coalesce(j.outcome, q.status, 'queued') as status,
    j.priority, coalesce(q.attempt, j.attempt) as attempt, j.max_attempts, coalesce(q.progress, j.progress) as progress,
    coalesce(q.step, j.step) as step, coalesce(q.last_seq, j.last_seq) as last_seq, j.created_at, q.run_at,
    coalesce(q.started_at, j.started_at) as started_at, j.finished_at,
    coalesce(q.cancel_requested_at, j.cancel_requested_at) as cancel_requested_at, j.error_code, j.error_message";

impl Store {
    /// A job with its bodies, if it is there (for `owner`).
    pub async fn find_job(&self, id: JobId, owner: Option<UserId>) -> sqlx::Result<Option<JobWithBodies>> {
        let sql = format!(
            "select {JOB}, p.body as payload, r.body as result from jobs j
                 left join job_queue q on q.job_id = j.id
                 left join job_bodies p on p.job_id = j.id and p.part = 'payload'
                 left join job_bodies r on r.job_id = j.id and r.part = 'result'
             where j.id = $1 and ($2 is null or j.owner_id = $2)"
        );
        with_db!(&self.read, pool => sqlx::query_as::<DB, JobWithBodies>(AssertSqlSafe(sql))
            .bind(id).bind(owner).fetch_optional(pool).await)
    }

    /// A job without its bodies, if it is there (for `owner`).
    pub async fn peek_job(&self, id: JobId, owner: Option<UserId>) -> sqlx::Result<Option<Job>> {
        let sql = format!(
            "select {JOB} from jobs j left join job_queue q on q.job_id = j.id
             where j.id = $1 and ($2 is null or j.owner_id = $2)"
        );
        with_db!(&self.read, pool => sqlx::query_as::<DB, Job>(AssertSqlSafe(sql))
            .bind(id).bind(owner).fetch_optional(pool).await)
    }

    /// A page of jobs, newest first.
    pub async fn list_jobs(&self, filter: &Filter, page: JobPage) -> sqlx::Result<Vec<Job>> {
        with_db!(&self.read, pool => {
            let mut query = QueryBuilder::<DB>::new(format!("select {JOB} from jobs j"));
            filtered(&mut query, filter);
            if let Some(after) = page.after {
                query.push(" and j.id < ").push_bind(after);
            }
            query.push(" order by j.id desc limit ").push_bind(i64::from(page.limit));
            query.push(" offset ").push_bind(i64::try_from(page.offset).unwrap_or(i64::MAX));
            query.build_query_as::<Job>().fetch_all(pool).await
        })
    }

    /// How many jobs a filter finds.
    pub async fn count_jobs(&self, filter: &Filter) -> sqlx::Result<i64> {
        with_db!(&self.read, pool => {
            let mut query = QueryBuilder::<DB>::new("select count(*) from jobs j");
            filtered(&mut query, filter);
            query.build_query_scalar::<i64>().fetch_one(pool).await
        })
    }
}

/// Joins the queue and adds the conditions. A job in the queue is looked for from there, because few are; an ended
/// one by its outcome.
fn filtered<DB>(query: &mut QueryBuilder<DB>, filter: &Filter)
where
    DB: Database,
    for<'q> Option<UserId>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    for<'q> UserId: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    for<'q> JobId: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    for<'q> String: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    for<'q> &'static str: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    for<'q> DateTime<Utc>: sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    match filter.status {
        Some(status) if !status.is_final() => {
            query.push(" join job_queue q on q.job_id = j.id where q.status = ").push_bind(status.as_str());
        }
        Some(status) => {
            query
                .push(" left join job_queue q on q.job_id = j.id where j.outcome = ")
                .push_bind(status.as_str());
        }
        None => {
            query.push(" left join job_queue q on q.job_id = j.id where true");
        }
    }
    if let Some(owner) = filter.owner {
        query.push(" and j.owner_id = ").push_bind(owner);
    }
    if let Some(kind) = &filter.kind {
        query.push(" and j.kind = ").push_bind(kind.clone());
    }
    if let Some(queue) = &filter.queue {
        query.push(" and j.queue = ").push_bind(queue.clone());
    }
    if let Some(tag) = &filter.tag {
        query
            .push(" and j.id in (select t.job_id from job_tags t where t.tag = ")
            .push_bind(tag.clone())
            .push(")");
    }
    if let Some(project) = &filter.project {
        query.push(" and j.project = ").push_bind(project.clone());
    }
    if let Some(parent) = filter.parent {
        query.push(" and j.parent_id = ").push_bind(parent);
    }
    if let Some(since) = filter.since {
        query.push(" and j.created_at >= ").push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(" and j.created_at < ").push_bind(until);
    }
}
