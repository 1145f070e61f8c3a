//! Claiming: who runs what next. One short statement for as many jobs as there are free slots.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, Sqlite};

use super::db::{Column, Db, Tx, hex_id, parameter, rows, with_db, with_tx};
use super::{LONG_AGO, Store};
use crate::model::{JobId, ProcessId, UserId};

/// Binds the six parameters that every claim has.
macro_rules! bound {
    ($query:expr, $claim:expr) => {
        $query
            .bind($claim.queue)
            .bind(i64::from($claim.limit))
            .bind($claim.now)
            .bind($claim.highest_rank)
            .bind($claim.process)
            .bind($claim.deadline)
    };
}
/// What a process asks for.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// From which queue.
    pub queue: &'a str,
    /// For whom.
    pub process: ProcessId,
    /// How many at the most.
    pub limit: u32,
    /// What time it is.
    pub now: DateTime<Utc>,
    /// When the attempt must be over, even if its process lives.
    pub deadline: DateTime<Utc>,
    /// No job that is due can have a rank above this; what waits for later is not even looked at.
    pub highest_rank: i64,
}

/// A job that this process holds from now on.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Claimed {
    /// Which.
    pub job_id: JobId,
    /// Which kind runs it.
    pub kind: String,
    /// From which queue.
    pub queue: String,
    /// Whose it is.
    pub owner_id: Option<UserId>,
    /// What the log calls the request that submitted it.
    pub request_id: Option<String>,
    /// This attempt, from 1.
    pub attempt: i32,
    /// How often it may be tried.
    pub max_attempts: i32,
    /// The fencing token: what is said under an older one is rejected.
    pub fence: i64,
    /// Since when it was due.
    pub run_at: DateTime<Utc>,
    /// Percent, as a former attempt left it.
    pub progress: i32,
    /// Number of the last event.
    pub last_seq: i64,
    /// Whether it takes turns with others.
    pub in_turn: bool,
    /// How many of its key may start in a minute, if that is limited.
    pub turn_per_minute: Option<i32>,
    /// Whether somebody has asked for its end already.
    pub cancel_requested: bool,
    /// JSON, as it was submitted.
    #[sqlx(default)]
    pub payload: Option<String>,
}

/// How much waits in one queue, and since when.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct QueueDepth {
    /// The queue.
    pub queue: String,
    /// Jobs that wait for a slot or for their time.
    pub queued: i64,
    /// Jobs that a worker holds.
    pub running: i64,
    /// Jobs that have stepped aside.
    pub waiting: i64,
    /// When the oldest job that could run became due.
    pub oldest_due: Option<DateTime<Utc>>,
}

/// The columns of [`Claimed`], unqualified: SQLite knows no alias in `returning`.
const CLAIMED: &str = "job_id, kind, queue, owner_id, request_id, attempt, max_attempts, fence, run_at, progress, last_seq, \
                       turn_key is not null as in_turn, turn_per_minute, cancel_requested_at is not null as cancel_requested";
const TAKE: &str = "status = 'initializing', process_id = $5, fence = fence + 1, attempt = attempt + 1, \
                    deadline_at = $6, started_at = coalesce(started_at, $3)";

/// The rows to take, in the order of their rank, for jobs that take no turns. A paused queue has none.
pub(super) const PICK: &str = "select job_id from job_queue
    where status = 'queued' and queue = $1 and turn_key is null and rank <= $4 and run_at <= $3
        and not exists (select 1 from queues where name = $1 and paused)
    order by rank, job_id limit $2";

impl Store {
    /// The claims of a process, as the database knows them; without payloads.
    pub async fn held_by(&self, process: ProcessId) -> sqlx::Result<Vec<Claimed>> {
        let sql = format!("select {CLAIMED} from job_queue where process_id = $1");
        with_db!(&self.write, pool => sqlx::query_as::<DB, Claimed>(AssertSqlSafe(sql))
            .bind(process).fetch_all(pool).await)
    }

    /// Takes jobs that take no turns: one statement, and on PostgreSQL no process waits for another.
    pub async fn claim(&self, claim: Claim<'_>) -> sqlx::Result<Vec<Claimed>> {
        match &self.write {
            Db::Postgres(pool) => {
                let sql = format!(
                    "with picked as ({PICK} for update skip locked), q as (
                         update job_queue set {TAKE} where job_id in (select job_id from picked) returning *)
                     select {CLAIMED},
                         (select body from job_bodies b where b.job_id = q.job_id and b.part = 'payload') as payload
                     from q order by rank, job_id"
                );
                bound!(sqlx::query_as(AssertSqlSafe(sql)), claim).fetch_all(pool).await
            }
            Db::Sqlite(pool) => {
                let sql = format!("update job_queue set {TAKE} where job_id in ({PICK}) returning {CLAIMED}");
                let taken = bound!(sqlx::query_as::<Sqlite, Claimed>(AssertSqlSafe(sql)), claim);
                self.with_payloads(taken.fetch_all(pool).await?).await
            }
        }
    }

    /// Takes jobs while counting what runs of each turn key against its limits; with a `concurrency` above 0, what
    /// runs of the queue is counted too, and then jobs that take no turns are taken as well. Claims that count go
    /// one after the other, over all processes.
    pub async fn claim_in_turn(&self, claim: Claim<'_>, concurrency: u32) -> sqlx::Result<Vec<Claimed>> {
        let mut tx = self.write.begin().await?;
        if let Tx::Postgres(tx) = &mut tx {
            sqlx::query("select pg_advisory_xact_lock(hashtext($1), 1)")
                .bind(claim.queue)
                .execute(&mut **tx)
                .await?;
        }
        let mut picked = pick_in_turn(&mut tx, claim).await?;
        if concurrency > 0 {
            let free = concurrency.saturating_sub(running(&mut tx, claim.queue).await?).min(claim.limit);
            picked.extend(pick_plain(&mut tx, claim).await?);
            picked.sort_by_key(|job| (job.rank, job.job_id));
            picked.truncate(free as usize);
        }
        if picked.is_empty() {
            return Ok(Vec::new());
        }
        let taken = take(&mut tx, &picked, &claim).await?;
        start_rates(&mut tx, &picked, claim.now).await?;
        tx.commit().await?;
        self.with_payloads(taken).await
    }

    /// Of these queues, those with a due job, and whether that job takes turns.
    pub async fn queues_with_work(
        &self,
        queues: &[String],
        now: DateTime<Utc>,
        highest_rank: i64,
    ) -> sqlx::Result<Vec<(String, bool)>> {
        #[derive(Serialize)]
        struct Name<'a> {
            name: &'a str,
        }
        let names: Vec<_> = queues.iter().map(|name| Name { name }).collect();
        let values = rows(self.write.is_sqlite(), &[("name", Column::Text)]);
        let due = "q.queue = v.name and q.status = 'queued' and q.rank <= $2 and q.run_at <= $3";
        let sql = format!(
            "select v.name, false as in_turn from {values}
             where exists (select 1 from job_queue q where {due} and q.turn_key is null)
             union all select v.name, true from {values}
             where exists (select 1 from job_queue q where {due} and q.turn_key is not null)"
        );
        let names = parameter(&names)?;
        with_db!(&self.read, pool => sqlx::query_as::<DB, (String, bool)>(AssertSqlSafe(sql))
            .bind(names).bind(highest_rank).bind(now).fetch_all(pool).await)
    }

    /// How much waits and runs, by queue.
    pub async fn queue_depths(&self, now: DateTime<Utc>) -> sqlx::Result<Vec<QueueDepth>> {
        with_db!(&self.read, pool => sqlx::query_as::<DB, QueueDepth>(
            "select queue, count(case when status = 'queued' then 1 end) as queued,
                 count(case when status in ('initializing', 'running') then 1 end) as running,
                 count(case when status = 'waiting' then 1 end) as waiting,
                 min(case when status = 'queued' and run_at <= $1 then run_at end) as oldest_due
             from job_queue group by queue order by queue")
            .bind(now).fetch_all(pool).await)
    }

    /// How many jobs wait for a slot in this queue.
    pub async fn queued_in(&self, queue: &str) -> sqlx::Result<i64> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, i64>(
            "select count(*) from job_queue where queue = $1 and status = 'queued'")
            .bind(queue).fetch_one(pool).await)
    }

    /// Stops or lets go on the claiming from a queue, for all processes.
    pub async fn set_paused(&self, queue: &str, paused: bool) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into queues (name, paused) values ($1, $2) on conflict (name) do update set paused = excluded.paused")
            .bind(queue).bind(paused).execute(pool).await.map(drop))
    }

    /// The queues that are paused.
    pub async fn paused_queues(&self) -> sqlx::Result<Vec<String>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, String>("select name from queues where paused order by name")
            .fetch_all(pool).await)
    }

    async fn with_payloads(&self, mut taken: Vec<Claimed>) -> sqlx::Result<Vec<Claimed>> {
        if taken.is_empty() {
            return Ok(taken);
        }
        let ids: Vec<_> = taken.iter().map(|job| Id { job_id: job.job_id }).collect();
        let values = rows(self.read.is_sqlite(), &[("job_id", Column::Id)]);
        let sql = format!(
            "select b.job_id, b.body from {values} join job_bodies b on b.job_id = v.job_id and b.part = 'payload'"
        );
        let ids = parameter(&ids)?;
        let bodies: Vec<(JobId, String)> = with_db!(&self.read, pool =>
            sqlx::query_as::<DB, (JobId, String)>(AssertSqlSafe(sql)).bind(ids).fetch_all(pool).await)?;
        let mut bodies: std::collections::HashMap<_, _> = bodies.into_iter().collect();
        for job in &mut taken {
            job.payload = bodies.remove(&job.job_id);
        }
        Ok(taken)
    }
}

#[derive(Serialize)]
struct Id {
    #[serde(serialize_with = "hex_id")]
    job_id: JobId,
}

#[derive(sqlx::FromRow)]
struct Picked {
    job_id: JobId,
    rank: i64,
    turn_key: Option<String>,
    turn_per_minute: Option<i32>,
}

async fn running(tx: &mut Tx, queue: &str) -> sqlx::Result<u32> {
    let running: i64 = with_tx!(tx, c => sqlx::query_scalar::<DB, i64>(
        "select count(*) from job_queue where process_id is not null and queue = $1").bind(queue).fetch_one(c).await)?;
    Ok(u32::try_from(running).unwrap_or(u32::MAX))
}

async fn pick_in_turn(tx: &mut Tx, claim: Claim<'_>) -> sqlx::Result<Vec<Picked>> {
    let sql = "with busy as (
            select turn_key, count(*) as running from job_queue
            where process_id is not null and turn_key is not null group by turn_key),
        ranked as (
            select job_id, turn_key, turn_concurrency, turn_per_minute, rank,
                row_number() over (partition by turn_key order by rank, job_id) as place
            from job_queue
            where status = 'queued' and queue = $1 and turn_key is not null and rank <= $4 and run_at <= $3)
        select r.job_id, r.rank, r.turn_key, r.turn_per_minute from ranked r
            left join busy b on b.turn_key = r.turn_key left join turn_rates t on t.turn_key = r.turn_key
        where not exists (select 1 from queues where name = $1 and paused)
            and r.place + coalesce(b.running, 0) <= r.turn_concurrency
            and (r.turn_per_minute is null or (r.place = 1 and coalesce(t.next_at, $5) <= $3))
        order by r.rank, r.job_id limit $2";
    with_tx!(tx, c => sqlx::query_as::<DB, Picked>(sql)
        .bind(claim.queue).bind(i64::from(claim.limit)).bind(claim.now).bind(claim.highest_rank).bind(LONG_AGO)
        .fetch_all(c).await)
}

async fn pick_plain(tx: &mut Tx, claim: Claim<'_>) -> sqlx::Result<Vec<Picked>> {
    let sql = PICK.replace("select job_id from", "select job_id, rank from");
    #[derive(sqlx::FromRow)]
    struct Plain {
        job_id: JobId,
        rank: i64,
    }
    let plain: Vec<Plain> = with_tx!(tx, c => sqlx::query_as::<DB, Plain>(AssertSqlSafe(sql))
        .bind(claim.queue).bind(i64::from(claim.limit)).bind(claim.now).bind(claim.highest_rank)
        .fetch_all(c).await)?;
    let picked =
        |job: Plain| Picked { job_id: job.job_id, rank: job.rank, turn_key: None, turn_per_minute: None };
    Ok(plain.into_iter().map(picked).collect())
}

/// A job may have been cancelled since it was picked, or claimed by somebody who does not count: those are left out.
async fn take(tx: &mut Tx, picked: &[Picked], claim: &Claim<'_>) -> sqlx::Result<Vec<Claimed>> {
    let ids: Vec<_> = picked.iter().map(|job| Id { job_id: job.job_id }).collect();
    let values = rows(tx.is_sqlite(), &[("job_id", Column::Id)]);
    let sql = format!(
        "update job_queue set status = 'initializing', process_id = $2, fence = fence + 1, attempt = attempt + 1,
             deadline_at = $3, started_at = coalesce(started_at, $4)
         where status = 'queued' and job_id in (select v.job_id from {values}) returning {CLAIMED}"
    );
    let ids = parameter(&ids)?;
    with_tx!(tx, c => sqlx::query_as::<DB, Claimed>(AssertSqlSafe(sql))
        .bind(ids).bind(claim.process).bind(claim.deadline).bind(claim.now).fetch_all(c).await)
}

/// Notes when the next job of each key with a rate may start.
async fn start_rates(tx: &mut Tx, picked: &[Picked], now: DateTime<Utc>) -> sqlx::Result<()> {
    for job in picked {
        let (Some(key), Some(per_minute)) = (&job.turn_key, job.turn_per_minute) else { continue };
        let next = now + chrono::Duration::milliseconds(60_000 / i64::from(per_minute.max(1)));
        with_tx!(tx, c => sqlx::query::<DB>(
            "insert into turn_rates (turn_key, next_at) values ($1, $2)
             on conflict (turn_key) do update set next_at = excluded.next_at")
            .bind(key).bind(next).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// How the database would go about it: for the tests that keep plans from going bad.
impl Store {
    /// The plan of [`Store::claim`], as the database words it.
    pub async fn explain_claim(&self, claim: Claim<'_>) -> sqlx::Result<String> {
        match &self.write {
            Db::Postgres(pool) => {
                let sql = format!("explain {PICK} for update skip locked");
                let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql));
                let query = query.bind(claim.queue).bind(i64::from(claim.limit)).bind(claim.now);
                Ok(query.bind(claim.highest_rank).fetch_all(pool).await?.join("\n"))
            }
            Db::Sqlite(pool) => {
                let sql = format!("explain query plan update job_queue set {TAKE} where job_id in ({PICK})");
                let query = bound!(sqlx::query_as::<_, (i64, i64, i64, String)>(AssertSqlSafe(sql)), claim);
                let rows = query.fetch_all(pool).await?;
                Ok(rows.into_iter().map(|(.., detail)| detail).collect::<Vec<_>>().join("\n"))
            }
        }
    }

    /// Lets the database count what is in its tables.
    pub async fn analyze(&self) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>("analyze").execute(pool).await.map(drop))
    }
}
