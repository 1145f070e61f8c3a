//! The frame: an event as clients see it, the same over sockets, event streams and pages.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::model::event::names;
use crate::model::{Event, Job, JobId, Status};

/// Results larger than this stand not in the last frame but where `data.results_url` says.
const LARGEST_RESULT: usize = 1024 * 1024;

/// One frame. Fields that do not apply are absent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Frame<'a> {
    /// `connected`, `progress`, `log`, `completion`, `error`, `gap`, `closing`, or what a kind calls it.
    #[serde(rename = "type")]
    #[schema(example = "progress")]
    pub sort: &'a str,
    /// The job.
    pub task_id: JobId,
    /// The same job.
    pub job_id: JobId,
    /// 1, 2, 3… per job, without holes; absent from frames that are not events of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    /// Where the job is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<i32>,
    /// For a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// When it happened.
    pub timestamp: DateTime<Utc>,
    /// More, by type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<&'a RawValue>,
    /// What came of the job, in the last frame of one that completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub results: Option<&'a RawValue>,
    /// Why it failed, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'a str>,
    /// Why it failed: a stable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// A frame about a job that is no event of it.
    pub(super) fn about(sort: &'a str, job: JobId, timestamp: DateTime<Utc>) -> Self {
        Self {
            sort,
            task_id: job,
            job_id: job,
            seq: None,
            status: None,
            progress: None,
            message: None,
            timestamp,
            data: None,
            results: None,
            error: None,
            error_code: None,
        }
    }

    /// The first frame of every socket: the job as it stands.
    pub(super) fn connected(job: &'a Job, timestamp: DateTime<Utc>) -> Self {
        Self {
            seq: Some(job.last_seq),
            status: Some(job.status),
            progress: Some(job.progress),
            message: job.step.as_deref(),
            ..Self::about("connected", job.id, timestamp)
        }
    }

    /// As JSON text.
    pub(super) fn text(&self) -> String {
        // Everything in it is JSON already or turns into it.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The type of frame that an event becomes.
pub(super) fn sort_of(event: &Event) -> &str {
    match event.name.as_str() {
        names::COMPLETED | names::CANCELLED => "completion",
        names::FAILED => "error",
        names::QUEUED
        | names::STARTED
        | names::RETRYING
        | names::WAITING
        | names::RESUMED
        | names::RESCUED
        | names::RELEASED
        | names::CANCEL_REQUESTED => names::PROGRESS,
        other => other,
    }
}

/// Renders an event; `result` is what came of the job, and is shown where it completed.
pub(super) fn render(event: &Event, result: Option<&str>) -> String {
    let sort = sort_of(event);
    let fits = result.filter(|result| event.status == Status::Completed && result.len() <= LARGEST_RESULT);
    let results = fits.and_then(|result| serde_json::from_str::<&RawValue>(result).ok());
    let data = data_of(event, sort, result.is_some() && fits.is_none());
    let data = data.as_deref().and_then(|data| serde_json::from_str::<&RawValue>(data).ok());
    let error_code = error_code_of(event);
    Frame {
        seq: Some(event.seq),
        status: Some(event.status),
        progress: Some(event.progress),
        message: event.message.as_deref(),
        data,
        results,
        error: (sort == "error").then(|| event.message.as_deref().unwrap_or("the job failed")),
        error_code: (sort == "error").then_some(error_code.as_deref().unwrap_or("FAILED")),
        ..Frame::about(sort, event.job_id, event.at)
    }
    .text()
}

/// The event's own data, and what the frame's type does not say by itself.
fn data_of(event: &Event, sort: &str, too_large: bool) -> Option<String> {
    let named = sort == names::PROGRESS && event.name != names::PROGRESS;
    match event.data.as_deref().map(str::trim) {
        // A step of the job's life that says more than its name, such as why it is tried again.
        Some(data) if named && data.starts_with('{') && data.ends_with('}') => {
            let rest = data[1..].trim_start();
            let comma = if rest == "}" { "" } else { "," };
            return Some(format!(r#"{{"event":"{}"{comma}{rest}"#, event.name));
        }
        Some(data) => return Some(data.to_owned()),
        None => {}
    }
    if too_large && event.status == Status::Completed {
        return Some(format!(r#"{{"results_url":"/api/v1/jobs/{}"}}"#, event.job_id));
    }
    match sort {
        names::PROGRESS if !named => {
            let step = serde_json::to_string(&event.message).ok()?;
            Some(format!(r#"{{"step":{step}}}"#))
        }
        names::PROGRESS => Some(format!(r#"{{"event":"{}"}}"#, event.name)),
        _ => None,
    }
}

fn error_code_of(event: &Event) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Data {
        error_code: String,
    }
    let data = event.data.as_deref()?;
    serde_json::from_str::<Data>(data).ok().map(|data| data.error_code)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::Clock;

    fn event(name: &str, status: Status, data: Option<&str>) -> Event {
        let job_id = JobId(Clock::seeded(1).new_id());
        let (message, data) = (Some("so it is".to_owned()), data.map(str::to_owned));
        Event {
            job_id,
            seq: 3,
            at: DateTime::UNIX_EPOCH,
            name: name.to_owned(),
            status,
            progress: 40,
            message,
            data,
        }
    }

    fn shown(event: &Event, result: Option<&str>) -> Value {
        serde_json::from_str(&render(event, result)).unwrap()
    }

    #[test]
    fn an_end_shows_the_results_or_the_error_and_nothing_else_does() {
        let completed = shown(&event(names::COMPLETED, Status::Completed, None), Some(r#"{"a":1}"#));
        assert_eq!((&completed["type"], &completed["results"]["a"]), (&"completion".into(), &1.into()));
        let data = r#"{"error_code":"TIMED_OUT"}"#;
        let failed = shown(&event(names::FAILED, Status::Failed, Some(data)), None);
        assert_eq!(
            (&failed["type"], &failed["error_code"], &failed["error"]),
            (&"error".into(), &"TIMED_OUT".into(), &"so it is".into())
        );
        let again = shown(&event(names::RETRYING, Status::Queued, Some(data)), None);
        assert_eq!((&again["type"], &again["data"]["event"]), (&"progress".into(), &"retrying".into()));
        assert_eq!(again["data"]["error_code"], "TIMED_OUT");
        let moved = shown(&event(names::PROGRESS, Status::Running, None), Some("{}"));
        assert_eq!(
            (&moved["type"], &moved["data"]["step"], moved.get("results")),
            (&"progress".into(), &"so it is".into(), None)
        );
    }

    #[test]
    fn a_result_that_is_too_large_for_a_frame_is_named_by_its_address() {
        let large = format!("\"{}\"", "x".repeat(LARGEST_RESULT));
        let completed = shown(&event(names::COMPLETED, Status::Completed, None), Some(&large));
        assert!(completed.get("results").is_none());
        assert!(completed["data"]["results_url"].as_str().unwrap().starts_with("/api/v1/jobs/"));
    }
}
