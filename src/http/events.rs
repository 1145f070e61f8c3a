//! The log of a job: as a page, as a long poll, as an event stream, as text.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use futures::stream::unfold;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Json, Path, Query};
use super::frame::{self, Frame};
use crate::app::App;
use crate::error::{Error, Result};
use crate::hub::Line;
use crate::jobs::Watch;
use crate::model::event::names;
use crate::model::{Caller, Event, JobId};

/// The most events on one page.
const LARGEST_PAGE: u32 = 1000;
/// The longest that a long poll waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Which events.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only events after this number.
    #[param(minimum = 0, default = 0)]
    pub after: Option<i64>,
    /// How many, 1 to 1000; for pages.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
}

/// A page of a job's log, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    /// The events, as frames.
    #[schema(value_type = Vec<Frame<'static>>)]
    pub events: Vec<Box<RawValue>>,
    /// What to send as `after` next time.
    pub next_after: i64,
    /// Whether there are more already.
    pub has_more: bool,
    /// Whether the job is over: then nothing more will come, unless somebody retries it.
    pub ended: bool,
}

/// A job's log.
///
/// A page; with `Prefer: wait=N` (up to 60 seconds) one that waits for the first event; with
/// `Accept: text/event-stream` a stream that goes on until the job ends, and after a break from `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/events", tag = "jobs",
    params(("id" = JobId, Path), EventQuery,
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds for an event."),
        ("Last-Event-ID" = Option<String>, Header, description = "For streams: as `after`.")),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The events.",
        content((EventPage = "application/json"), (String = "text/event-stream")))))]
pub(super) async fn job_events(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let after = query.after.unwrap_or(0);
    if after < 0 {
        return Err(Error::invalid("after", "must be 0 or more"));
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let (_, watch) = app.jobs.watch(id, last.unwrap_or(after).max(0), &caller).await?;
        return Ok(stream(app, id, watch));
    }
    let limit = query.limit.unwrap_or(100);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("must be from 1 to {LARGEST_PAGE}")));
    }
    if let Some(wait) = wait_of(&headers) {
        let (_, mut watch) = app.jobs.watch(id, after, &caller).await?;
        wait_for_news(&app, id, &mut watch, wait).await?;
    } else {
        app.jobs.check(id, &caller).await?;
    }
    page(&app, id, after, limit).await.map(IntoResponse::into_response)
}

/// A job's log lines as text.
///
/// One line each: time, level, message. With `follow=true` the answer goes on until the job ends.
#[utoipa::path(get, path = "/api/v1/jobs/{id}/logs", tag = "jobs", params(("id" = JobId, Path), LogQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, description = "The lines.", body = String, content_type = "text/plain")))]
pub(super) async fn job_logs(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<JobId>,
    Query(query): Query<LogQuery>,
) -> Result<Response> {
    let (_, watch) = app.jobs.watch(id, 0, &caller).await?;
    let follow = query.follow.unwrap_or(false);
    let lines = unfold(Follow::new(app, id, watch), move |mut state| async move {
        let lines = if follow { state.next().await } else { state.watch.at_hand().await.ok().flatten() };
        let text: String = lines?.iter().filter_map(|line| log_line(&line.event)).collect();
        Some((Ok::<_, Infallible>(Bytes::from(text)), state))
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(lines)).into_response())
}

/// Whether to wait for lines that are not there yet.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Go on until the job ends.
    pub follow: Option<bool>,
}

async fn page(app: &App, id: JobId, after: i64, limit: u32) -> Result<Json<EventPage>> {
    let bounds = app.store.log_bounds(id).await?.ok_or(Error::NotFound("job"))?;
    let events = app.store.events_after(id, after, limit).await?;
    let next_after = events.last().map_or(after, |event| event.seq);
    let result = result_for(app, &events).await?;
    let frames = events.iter().map(|event| frame::render(event, result.as_deref()));
    Ok(Json(EventPage {
        events: frames.filter_map(|frame| RawValue::from_string(frame).ok()).collect(),
        next_after,
        has_more: next_after < bounds.last_seq,
        ended: bounds.ended,
    }))
}

/// What came of the job, if one of these events is to show it.
pub(super) async fn result_for(app: &App, events: &[Event]) -> Result<Option<String>> {
    match events.iter().find(|event| event.name == names::COMPLETED) {
        Some(event) => Ok(app.store.result(event.job_id).await?),
        None => Ok(None),
    }
}

fn wait_of(headers: &HeaderMap) -> Option<Duration> {
    let prefer = headers.get("prefer")?.to_str().ok()?;
    let wait = prefer.split([',', ';']).find_map(|wish| wish.trim().strip_prefix("wait="))?;
    Some(Duration::from_secs(wait.trim().parse().ok()?).min(LONGEST_WAIT))
}

/// Waits for an event that `watch` has not seen; not when the job is over, and not while the server goes away.
async fn wait_for_news(app: &App, id: JobId, watch: &mut Watch, wait: Duration) -> Result<()> {
    if is_over(app, id, watch).await.unwrap_or(true) {
        return Ok(());
    }
    tokio::select! {
        news = watch.next() => news.map(drop),
        () = tokio::time::sleep(wait) => Ok(()),
        () = app.hub.closing().cancelled() => Ok(()),
    }
}

fn stream(app: App, id: JobId, watch: Watch) -> Response {
    let lines = unfold(Follow::new(app, id, watch), move |mut state| async move {
        let lines = state.next().await?;
        let events: Vec<Event> = lines.iter().map(|line| line.event.clone()).collect();
        let result = result_for(&state.app, &events).await.ok()?;
        let frames: Vec<_> = lines.iter().map(|line| sse_of(line, result.as_deref())).collect();
        Some((futures::stream::iter(frames), state))
    });
    let lines = futures::StreamExt::flatten(lines);
    Sse::new(typed(lines)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response()
}

fn typed(
    lines: impl Stream<Item = SseEvent> + Send + 'static,
) -> impl Stream<Item = std::result::Result<SseEvent, Infallible>> + Send {
    futures::StreamExt::map(lines, Ok)
}

fn sse_of(line: &Arc<Line>, result: Option<&str>) -> SseEvent {
    let frame = line.frame(|event| frame::render(event, result));
    let event = SseEvent::default().id(line.event.seq.to_string());
    event.event(frame::sort_of(&line.event)).data(frame.as_str())
}

/// A way through a log that ends where the job does.
struct Follow {
    app: App,
    id: JobId,
    watch: Watch,
    /// Whether the job may be over: not known at first, and again after each event that says so.
    may_be_over: bool,
}

impl Follow {
    fn new(app: App, id: JobId, watch: Watch) -> Self {
        Self { app, id, watch, may_be_over: true }
    }

    /// The next events, or `None` when the job is over and all of its log was seen, or the server goes away.
    async fn next(&mut self) -> Option<Vec<Arc<Line>>> {
        let mut lines = self.watch.at_hand().await.ok()?;
        if lines.is_none() {
            if self.may_be_over && is_over(&self.app, self.id, &self.watch).await? {
                return None;
            }
            lines = tokio::select! {
                lines = self.watch.next() => lines.ok(),
                () = self.app.hub.closing().cancelled() => None,
            };
        }
        self.may_be_over = lines.as_ref()?.last().is_some_and(|line| line.event.status.is_final());
        lines
    }
}

/// Whether the job is over and all of its log was seen; `None` when that cannot be found out.
async fn is_over(app: &App, id: JobId, watch: &Watch) -> Option<bool> {
    let bounds = app.store.log_bounds(id).await.ok()??;
    Some(bounds.ended && bounds.last_seq <= watch.seen())
}

fn log_line(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct Data {
        level: String,
    }
    if event.name != names::LOG {
        return None;
    }
    let data = event.data.as_deref().and_then(|data| serde_json::from_str::<Data>(data).ok());
    let level = data.map_or_else(|| "info".to_owned(), |data| data.level);
    let message = event.message.as_deref().unwrap_or_default();
    Some(format!("{} {level:5} {message}\n", event.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
}
