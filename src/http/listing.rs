//! Lists of jobs: which page, and where the next one begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::app::App;
use crate::error::{Error, Result};
use crate::model::{Job, JobId, Status};
use crate::store::{Filter, JobPage};

/// The most jobs on one page.
const LARGEST_PAGE: u32 = 200;

/// Which part of a list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only jobs in this state.
    pub status: Option<Status>,
    /// Only jobs with this tag.
    pub tag: Option<String>,
    /// Only jobs for this project.
    pub project: Option<String>,
    /// How many, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    pub limit: Option<u32>,
    /// How many to pass over.
    #[param(minimum = 0, default = 0)]
    pub offset: Option<u32>,
    /// Where to go on: `next_cursor` of the page before. Cheaper than an offset, and stable while jobs come in.
    pub cursor: Option<String>,
}

/// One page of jobs, newest first.
pub(super) struct Listed {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// How many there are in all.
    pub total: i64,
    /// How many were asked for.
    pub limit: u32,
    /// How many were passed over.
    pub offset: u32,
    /// Where to go on, if there is more.
    pub next_cursor: Option<String>,
}

impl ListQuery {
    /// Fetches the page.
    pub(super) async fn fetch(&self, app: &App, filter: Filter) -> Result<Listed> {
        let limit = self.limit.unwrap_or(20);
        if !(1..=LARGEST_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", format!("must be from 1 to {LARGEST_PAGE}")));
        }
        let offset = self.offset.unwrap_or(0);
        let after = self.cursor.as_deref().map(job_of).transpose()?;
        let (tag, project) = (self.tag.clone(), self.project.clone());
        let filter = Filter { status: self.status, tag, project, ..filter };
        // One more than asked for: then there is a next page.
        let page = JobPage { limit: limit + 1, offset: offset.into(), after };
        let (mut jobs, total) = app.jobs.list(&filter, page).await?;
        let more = jobs.len() > limit as usize;
        jobs.truncate(limit as usize);
        let next_cursor = jobs.last().filter(|_| more).map(|job| cursor_of(job.id));
        Ok(Listed { jobs, total, limit, offset, next_cursor })
    }
}

fn cursor_of(job: JobId) -> String {
    URL_SAFE_NO_PAD.encode(job.0.as_bytes())
}

fn job_of(cursor: &str) -> Result<JobId> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.map(JobId)
        .ok_or_else(|| Error::invalid("cursor", "is none of ours; take next_cursor of the page before"))
}
