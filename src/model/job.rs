//! The job: its states, what may follow what, and how it looks from outside.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Filing, JobId, Tags, UserId};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Status {
    /// Waits for a slot, or for its time.
    Queued,
    /// A worker has it and gets ready: nothing of the job itself has run yet in this attempt.
    Initializing,
    /// A worker runs it.
    Running,
    /// It has stepped aside, for its children, for a time or for a person, and holds no slot.
    Waiting,
    /// It ended well.
    Completed,
    /// It ended, and not well.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl Status {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Initializing,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Whether the job is over, unless somebody retries it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// Whether a worker holds it.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Initializing | Self::Running)
    }

    /// Whether the state machine has an arrow from here to `next`. Whoever writes SQL states the same
    /// precondition there; a property test compares the two.
    pub fn may_become(self, next: Self) -> bool {
        use Status::*;
        match self {
            Queued => matches!(next, Initializing | Cancelled),
            // Back to queued: the worker died, drained, or the attempt is to be repeated.
            Initializing => matches!(next, Running | Waiting | Queued | Completed | Failed | Cancelled),
            Running => matches!(next, Waiting | Queued | Completed | Failed | Cancelled),
            Waiting => matches!(next, Queued | Cancelled),
            // Only by a person's retry.
            Failed | Cancelled => next == Queued,
            Completed => false,
        }
    }

    /// The word in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initializing => "initializing",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Priority of a job in its queue, −10 to 10; higher goes first, and waiting makes up for lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Priority(i32);

impl Priority {
    /// The lowest and the highest.
    pub const RANGE: std::ops::RangeInclusive<i32> = -10..=10;

    /// `None` outside of the range.
    pub fn new(value: i32) -> Option<Self> {
        Self::RANGE.contains(&value).then_some(Self(value))
    }

    /// The number.
    pub fn get(self) -> i32 {
        self.0
    }
}

/// A key under which jobs take turns: at most so many at once, and at most so often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnKey {
    /// For example `user:0192…` or `repository:https://…`.
    pub name: String,
    /// How many jobs with this key may run at once, over all processes.
    pub concurrency: i32,
    /// How many may start in a minute, if that is limited; starts are spread evenly.
    pub per_minute: Option<i32>,
}

/// A job to be submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its id, from the clock.
    pub id: JobId,
    /// Which kind runs it.
    pub kind: String,
    /// Where it waits.
    pub queue: String,
    /// Whose it is; `None` for the server's own.
    pub owner: Option<UserId>,
    /// What it is called in lists, such as a project's name.
    pub label: Option<String>,
    /// What it is filed under.
    pub filing: Filing,
    /// What the log calls the request that submits it.
    pub request_id: Option<String>,
    /// The job that waits for it, if any.
    pub parent: Option<JobId>,
    /// Who goes first.
    pub priority: Priority,
    /// How often it may be tried.
    pub max_attempts: i32,
    /// Not before this time.
    pub run_at: DateTime<Utc>,
    /// While a job with this key lives, a second submit gets that job instead.
    pub unique_key: Option<String>,
    /// The caller's `Idempotency-Key` and a hash of the request it came with.
    pub idempotency: Option<Idempotency>,
    /// Takes turns with others of this key.
    pub turn: Option<TurnKey>,
    /// What the kind parses.
    pub payload: Box<RawValue>,
}

/// A caller's word that two requests are the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The header's value.
    pub key: String,
    /// SHA-256 of the request, in hexadecimal: the same key with another request is a mistake.
    pub fingerprint: String,
}

/// A job as it stands in the database, without its bodies.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Which kind runs it.
    pub kind: String,
    /// Where it waits or waited.
    pub queue: String,
    /// Whose it is; `None` for the server's own.
    pub owner_id: Option<UserId>,
    /// What it is called in lists.
    pub label: Option<String>,
    /// The project it is for.
    pub project: Option<String>,
    /// Words it is filed under.
    #[sqlx(try_from = "Option<String>")]
    pub tags: Tags,
    /// The job that waits for it.
    pub parent_id: Option<JobId>,
    /// Where it is in its life.
    pub status: Status,
    /// Priority, −10 to 10.
    pub priority: i32,
    /// The attempt under way or the last one, from 1; 0 before the first.
    pub attempt: i32,
    /// How often it may be tried.
    pub max_attempts: i32,
    /// Percent, 0 to 100.
    pub progress: i32,
    /// The step under way, for a person.
    pub step: Option<String>,
    /// Number of the last event.
    pub last_seq: i64,
    /// When it was submitted.
    pub created_at: DateTime<Utc>,
    /// It does not start before this time; absent once it has ended.
    pub run_at: Option<DateTime<Utc>>,
    /// When its first attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When somebody asked for it to be cancelled.
    pub cancel_requested_at: Option<DateTime<Utc>>,
    /// Why it failed: a stable name.
    pub error_code: Option<String>,
    /// Why it failed, for a person.
    pub error_message: Option<String>,
}

/// A job with what it was asked and what came of it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct JobWithBodies {
    /// The job.
    #[sqlx(flatten)]
    pub job: Job,
    /// JSON as it was submitted.
    pub payload: Option<String>,
    /// JSON as the kind returned it.
    pub result: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completed_job_stays_so_and_nothing_skips_the_queue() {
        for next in Status::ALL {
            assert!(!Status::Completed.may_become(next));
            assert_eq!(next.may_become(Status::Initializing), next == Status::Queued);
            if next.is_final() {
                assert!(!next.may_become(Status::Running) && !next.may_become(Status::Waiting));
            }
        }
    }
}
