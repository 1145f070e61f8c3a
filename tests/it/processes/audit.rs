//! What the shared database says afterwards: nothing lost, nothing twice, no hole in any log.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::{eventually, holds};

/// Asks the database that servers share, past them.
pub(super) struct Audit(PgPool);

impl Audit {
    pub(super) async fn of(database_url: &str) -> Self {
        Self(PgPoolOptions::new().max_connections(2).connect(database_url).await.unwrap())
    }

    /// How many analyses have ended.
    pub(super) async fn ended(&self) -> i64 {
        self.count("select count(*) from jobs where kind = 'analysis' and outcome is not null").await
    }

    /// How many processes hold a lease or have not been missed yet.
    pub(super) async fn processes(&self) -> i64 {
        self.count("select count(*) from processes").await
    }

    /// How many jobs were taken back from a process that was gone.
    pub(super) async fn rescues(&self) -> i64 {
        self.count("select count(*) from job_events where name = 'rescued'").await
    }

    /// Waits until so many analyses have ended.
    pub(super) async fn until_ended(&self, wanted: i64, limit: Duration) {
        let what = format!("{wanted} analyses have ended");
        let look = async || {
            let ended = self.ended().await;
            holds(ended >= wanted, format!("{ended} ended, {}", self.queue().await))
        };
        eventually(limit, &what, look).await;
    }

    /// Checks that exactly `jobs` analyses were taken on, each completed exactly once, and that no log has a hole.
    pub(super) async fn check(&self, jobs: i64) {
        self.until_ended(jobs, Duration::from_secs(60)).await;
        let look = async || {
            let left = self.count("select count(*) from job_queue").await;
            holds(left == 0, format!("{left} left: {}", self.queue().await))
        };
        eventually(Duration::from_secs(20), "the queue is empty", look).await;
        assert_eq!(self.count("select count(*) from jobs where kind = 'analysis'").await, jobs, "analyses");
        let unlike = "select count(*) from jobs where outcome is distinct from 'completed'";
        assert_eq!(self.count(unlike).await, 0, "jobs that did not complete");
        let completed = "select count(*) from jobs where
             (select count(*) from job_events e where e.job_id = jobs.id and e.name = 'completed') <> 1";
        assert_eq!(self.count(completed).await, 0, "jobs that completed more or less than once");
        let holes = "select count(*) from (select job_id, min(seq) as first, max(seq) as last, count(*) as events
                 from job_events group by job_id) l
             full join jobs j on j.id = l.job_id
             where l.first is distinct from 1 or l.last is distinct from l.events or j.last_seq is distinct from l.last";
        assert_eq!(self.count(holes).await, 0, "logs with holes");
        let twice = "select count(*) from (select 1 from job_events group by job_id, at, name, message, data
             having count(*) > 1) e";
        assert_eq!(self.count(twice).await, 0, "events that were written twice");
        let results = "select count(*) from jobs where kind = 'analysis'
             and not exists (select 1 from job_bodies b where b.job_id = jobs.id and b.part = 'result')";
        assert_eq!(self.count(results).await, 0, "completed analyses without a report");
    }

    async fn queue(&self) -> String {
        let sql =
            "select coalesce(string_agg(n || ' ' || kind || ' ' || status, ', '), 'nothing in the queue')
             from (select kind, status, count(*) as n from job_queue group by 1, 2) q";
        sqlx::query_scalar(sql).fetch_one(&self.0).await.unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.0).await.unwrap()
    }
}
