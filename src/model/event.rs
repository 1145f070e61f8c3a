//! The event: one line in the log of a job.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::{JobId, Status};

/// One line in the log of a job, as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Event {
    /// Whose log.
    pub job_id: JobId,
    /// 1, 2, 3… per job, without holes.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What happened: `queued`, `started`, `progress`, `log`, `completed` … or what a kind calls it.
    pub name: String,
    /// Where the job was, from then on.
    pub status: Status,
    /// Percent, from then on.
    pub progress: i32,
    /// For a person.
    pub message: Option<String>,
    /// A JSON value with what else is known.
    pub data: Option<String>,
}

/// An event on its way into the log, which will give it its number.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What happened.
    pub name: String,
    /// Where the job is, from then on.
    pub status: Status,
    /// Percent, from then on.
    pub progress: i32,
    /// For a person.
    pub message: Option<String>,
    /// What else is known.
    pub data: Option<Box<RawValue>>,
}

impl NewEvent {
    /// The event as it will be in the log, once it has its number.
    pub fn numbered(self, job_id: JobId, seq: i64) -> Event {
        let data = self.data.map(|data| String::from(Box::<str>::from(data)));
        let (name, message) = (self.name, self.message);
        Event { job_id, seq, at: self.at, name, status: self.status, progress: self.progress, message, data }
    }
}

/// Names that the engine itself writes. Kinds add their own (`thinking`, `tool_call`, …).
pub mod names {
    /// Submitted, or back in the queue because a person retried it.
    pub const QUEUED: &str = "queued";
    /// An attempt began.
    pub const STARTED: &str = "started";
    /// Progress or step moved.
    pub const PROGRESS: &str = "progress";
    /// A line of the job's log.
    pub const LOG: &str = "log";
    /// The attempt failed and there will be another.
    pub const RETRYING: &str = "retrying";
    /// It stepped aside.
    pub const WAITING: &str = "waiting";
    /// What it waited for is there.
    pub const RESUMED: &str = "resumed";
    /// Its process died; it will run again.
    pub const RESCUED: &str = "rescued";
    /// Its process drained and gave it back.
    pub const RELEASED: &str = "released";
    /// Somebody asked for its end.
    pub const CANCEL_REQUESTED: &str = "cancel_requested";
    /// It ended well.
    pub const COMPLETED: &str = "completed";
    /// It ended, and not well.
    pub const FAILED: &str = "failed";
    /// Somebody ended it.
    pub const CANCELLED: &str = "cancelled";
}
