//! What every door shows of a job alike: where it is in its life, and why it failed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::{Job, Status};

/// Where a job is in its life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Life {
    /// Where it is.
    pub(super) status: Status,
    /// Percent.
    pub(super) progress: i32,
    /// What it is at.
    pub(super) current_step: Option<String>,
    /// The attempt under way or the last one, from 1; 0 before the first.
    pub(super) attempts: i32,
    /// How often it may be tried.
    pub(super) max_attempts: i32,
    /// When it was submitted.
    pub(super) created_at: DateTime<Utc>,
    /// When its first attempt began.
    pub(super) started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub(super) finished_at: Option<DateTime<Utc>>,
    /// When somebody asked for it to be cancelled.
    pub(super) cancel_requested_at: Option<DateTime<Utc>>,
    /// Why it failed.
    pub(super) error: Option<JobError>,
}

/// Why a job failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct JobError {
    /// A stable name.
    code: String,
    /// For a person.
    message: String,
}

impl Life {
    /// Of a job as it stands.
    pub(super) fn of(job: &Job) -> Self {
        let error = job.error_code.clone().map(|code| {
            let message = job.error_message.clone().unwrap_or_default();
            JobError { code, message }
        });
        Self {
            status: job.status,
            progress: job.progress,
            current_step: job.step.clone(),
            attempts: job.attempt,
            max_attempts: job.max_attempts,
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            cancel_requested_at: job.cancel_requested_at,
            error,
        }
    }
}
