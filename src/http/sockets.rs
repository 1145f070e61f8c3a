//! Sockets: a job's events as they happen, each once and in order, whichever path opened the socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::to_raw_value;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::error::Problem;
use super::extract::{Path, Query};
use super::frame::{self, Frame};
use super::identity::{SOCKET_PROTOCOL, SocketCaller, SocketRefused};
use crate::app::App;
use crate::config::Server;
use crate::error::Error;
use crate::hub::Line;
use crate::jobs::Watch;
use crate::model::JobId;
use crate::model::event::names;

/// Closing codes: those of RFC 6455 and our own above 4000.
mod code {
    pub(super) const ENDED: u16 = 1000;
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TRY_AGAIN: u16 = 1013;
    pub(super) const NOT_AUTHENTICATED: u16 = 4401;
    pub(super) const NO_SUCH_JOB: u16 = 4404;
}

/// A client that takes longer than this to take what it was sent is cut off: it can come back with its last `seq`.
const PATIENCE: Duration = Duration::from_secs(10);
/// A client that took longer than this is spared steps of progress that newer ones have overtaken.
const SLOW: Duration = Duration::from_millis(500);
/// The largest message a client may send.
const LARGEST_MESSAGE: usize = 4096;
/// Bytes that each socket keeps for reading and writing: there may be thousands, most of them silent.
const READ_BUFFER: usize = 2048;
const WRITE_BUFFER: usize = 8192;
/// What a draining server advises.
const COME_BACK_MS: u64 = 1000;

/// A request to open a socket; plain HTTP is refused with an error like any other.
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// Where to begin. The ways to sign in that only sockets have are read elsewhere.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SocketQuery {
    /// Only events after this number: what a client that comes back has seen.
    #[param(minimum = 0, default = 0)]
    pub after: Option<i64>,
    /// An access token.
    #[serde(rename = "token")]
    #[param(rename = "token")]
    pub _token: Option<String>,
    /// An API key.
    #[serde(rename = "api_key")]
    #[param(rename = "api_key")]
    pub _api_key: Option<String>,
    /// A ticket from `POST /api/v1/ws-ticket`.
    #[serde(rename = "ticket")]
    #[param(rename = "ticket")]
    pub _ticket: Option<String>,
}

/// A build's progress, over a WebSocket.
///
/// Frames are JSON text messages as `Frame` describes them; the first is `connected`.
#[utoipa::path(get, path = "/api/ws/build/{task_id}", tag = "sockets", params(("task_id" = JobId, Path), SocketQuery),
    responses((status = 101, description = "The socket is open.", body = Frame<'static>)))]
pub(super) async fn build_socket(
    State(app): State<App>,
    caller: Result<SocketCaller, SocketRefused>,
    path: Result<Path<JobId>, Problem>,
    query: Query<SocketQuery>,
    upgrade: Upgrade,
) -> Response {
    open(&app, caller, path, &query.0, upgrade, Some("build"))
}

/// An analysis's progress, over a WebSocket.
///
/// Frames are JSON text messages as `Frame` describes them; the first is `connected`.
#[utoipa::path(get, path = "/api/ws/analysis/{id}", tag = "sockets", params(("id" = JobId, Path), SocketQuery),
    responses((status = 101, description = "The socket is open.", body = Frame<'static>)))]
pub(super) async fn analysis_socket(
    State(app): State<App>,
    caller: Result<SocketCaller, SocketRefused>,
    path: Result<Path<JobId>, Problem>,
    query: Query<SocketQuery>,
    upgrade: Upgrade,
) -> Response {
    open(&app, caller, path, &query.0, upgrade, Some("analysis"))
}

/// Any job's progress, over a WebSocket.
///
/// Frames are JSON text messages as `Frame` describes them; the first is `connected`. Also at
/// `/ws/progress/{job_id}`.
#[utoipa::path(get, path = "/ws/jobs/{job_id}", tag = "sockets", params(("job_id" = JobId, Path), SocketQuery),
    responses((status = 101, description = "The socket is open.", body = Frame<'static>)))]
pub(super) async fn job_socket(
    State(app): State<App>,
    caller: Result<SocketCaller, SocketRefused>,
    path: Result<Path<JobId>, Problem>,
    query: Query<SocketQuery>,
    upgrade: Upgrade,
) -> Response {
    open(&app, caller, path, &query.0, upgrade, None)
}

/// How many sockets are open in this process.
#[derive(Debug, Default)]
pub struct OpenSockets(AtomicUsize);

impl OpenSockets {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(app: &App) -> Option<Inside> {
        let before = app.sockets.0.fetch_add(1, Ordering::Relaxed);
        let inside = Inside(app.clone());
        (before < app.config.server.max_sockets).then_some(inside)
    }
}

/// One open socket, counted until it is dropped.
struct Inside(App);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.sockets.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn open(
    app: &App,
    caller: Result<SocketCaller, SocketRefused>,
    path: Result<Path<JobId>, Problem>,
    query: &SocketQuery,
    upgrade: Upgrade,
    kind: Option<&'static str>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(refused) => return Error::Malformed(refused.body_text()).into_response(),
    };
    let Some(inside) = OpenSockets::enter(app) else {
        let message = "too many sockets are open".to_owned();
        return Error::Unavailable { code: "TOO_MANY_SOCKETS", message, retry_after: Duration::from_secs(5) }
            .into_response();
    };
    let protocol = match &caller {
        Ok(caller) => caller.protocol,
        Err(refused) => refused.protocol,
    };
    let after = query.after.unwrap_or(0).max(0);
    let upgrade = upgrade.read_buffer_size(READ_BUFFER).write_buffer_size(WRITE_BUFFER);
    let upgrade = upgrade.max_message_size(LARGEST_MESSAGE).protocols(protocol.map(|_| SOCKET_PROTOCOL));
    upgrade.on_upgrade(move |socket| async move {
        let app = inside.0.clone();
        let mut socket = Socket { socket, app, told: after, slow: false };
        let end = socket.serve(caller, path.ok().map(|Path(id)| id), after, kind).await;
        socket.close(end).await;
        drop(inside);
    })
}

/// Why a socket is closed.
struct End {
    code: u16,
    reason: String,
}

impl End {
    fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    fn no_job() -> Self {
        Self::new(code::NO_SUCH_JOB, "no such job")
    }

    fn gone() -> Self {
        Self::new(code::GOING_AWAY, "the connection was lost")
    }
}

struct Socket {
    socket: WebSocket,
    app: App,
    /// Number of the last event that was sent.
    told: i64,
    /// Whether the client was slow to take what it was sent last.
    slow: bool,
}

impl Socket {
    async fn serve(
        &mut self,
        caller: Result<SocketCaller, SocketRefused>,
        id: Option<JobId>,
        after: i64,
        kind: Option<&str>,
    ) -> End {
        let caller = match caller {
            Ok(caller) => caller.caller,
            Err(refused) => return End::new(code::NOT_AUTHENTICATED, refused.problem.message()),
        };
        let Some(id) = id else { return End::no_job() };
        let (job, watch) = match self.app.jobs.watch(id, after, &caller).await {
            Ok((found, _)) if kind.is_some_and(|kind| kind != found.kind) => return End::no_job(),
            Ok(found) => found,
            Err(Error::NotFound(_)) => return End::no_job(),
            Err(_) => return End::new(code::TRY_AGAIN, "the job cannot be looked at right now"),
        };
        let connected = Frame::connected(&job, self.app.clock.now()).text();
        match self.send(vec![connected.into()]).await {
            Ok(()) => self.follow(id, watch).await,
            Err(end) => end,
        }
    }

    /// Sends what comes until the job is over, the client leaves, or the server goes away.
    async fn follow(&mut self, id: JobId, mut watch: Watch) -> End {
        let settings = self.app.config.server.clone();
        let mut client = Client::new(&settings);
        let closing = self.app.hub.closing().clone();
        let mut pings = tokio::time::interval(Duration::from_secs(settings.socket_ping_seconds.max(1)));
        pings.reset();
        loop {
            let ended = tokio::select! {
                biased;
                message = self.socket.recv() => client.said(message),
                () = closing.cancelled() => return self.say_closing(id).await,
                lines = watch.next() => match lines {
                    Ok(lines) => self.tell(id, lines).await,
                    Err(_) => Some(self.try_again("the log cannot be read right now")),
                },
                _ = pings.tick() => match client.is_idle() {
                    true => Some(End::new(code::GOING_AWAY, "nothing was heard of you for too long")),
                    false => self.ping().await,
                },
            };
            if let Some(end) = ended {
                return end;
            }
        }
    }

    /// Sends events; says how it ended, if the job is over.
    async fn tell(&mut self, id: JobId, lines: Vec<Arc<Line>>) -> Option<End> {
        let ends = lines.last().is_some_and(|line| line.event.status.is_final());
        match self.frames_of(id, &lines).await {
            Ok(frames) => {
                if let Err(end) = self.send(frames).await {
                    return Some(end);
                }
            }
            Err(_) => return Some(self.try_again("the result cannot be read right now")),
        }
        self.told = lines.last().map_or(self.told, |line| line.event.seq);
        if !ends {
            return None;
        }
        // Somebody may have retried it since.
        match self.app.store.log_bounds(id).await {
            Ok(Some(bounds)) if !bounds.ended || bounds.last_seq > self.told => None,
            _ => Some(End::new(code::ENDED, "the job is over")),
        }
    }

    async fn frames_of(&mut self, id: JobId, lines: &[Arc<Line>]) -> crate::error::Result<Vec<Utf8Bytes>> {
        let mut frames = Vec::with_capacity(lines.len());
        let first = lines.first().map_or(0, |line| line.event.seq);
        if first > self.told + 1 {
            frames.push(self.gap(id, self.told + 1, first - 1).into());
        }
        for (place, line) in lines.iter().enumerate() {
            let overtaken = lines.get(place + 1).is_some_and(|next| is_progress(next));
            if self.slow && overtaken && is_progress(line) {
                continue;
            }
            let result = match line.event.name == names::COMPLETED && !line.is_rendered() {
                true => self.app.store.result(id).await?,
                false => None,
            };
            frames.push(line.frame(|event| frame::render(event, result.as_deref())));
        }
        Ok(frames)
    }

    /// Retention has removed these.
    fn gap(&self, id: JobId, from: i64, to: i64) -> String {
        let data = to_raw_value(&serde_json::json!({ "from": from, "to": to })).ok();
        Frame { data: data.as_deref(), ..Frame::about("gap", id, self.app.clock.now()) }.text()
    }

    async fn say_closing(&mut self, id: JobId) -> End {
        let data = to_raw_value(&serde_json::json!({ "retry_after_ms": COME_BACK_MS })).ok();
        let frame =
            Frame { data: data.as_deref(), ..Frame::about("closing", id, self.app.clock.now()) }.text();
        match self.send(vec![frame.into()]).await {
            Ok(()) => End::new(code::GOING_AWAY, format!("the server goes away; last seq {}", self.told)),
            Err(end) => end,
        }
    }

    /// Writes frames and flushes once. A client that does not take them in time is told to come back.
    async fn send(&mut self, frames: Vec<Utf8Bytes>) -> Result<(), End> {
        let begun = Instant::now();
        let socket = &mut self.socket;
        let write = async {
            for frame in frames {
                socket.feed(Message::Text(frame)).await?;
            }
            socket.flush().await
        };
        match tokio::time::timeout(PATIENCE, write).await {
            Ok(Ok(())) => {
                self.slow = begun.elapsed() > SLOW;
                Ok(())
            }
            Ok(Err(_)) => Err(End::gone()),
            Err(_) => Err(self.try_again("you are too slow")),
        }
    }

    fn try_again(&self, why: &str) -> End {
        End::new(code::TRY_AGAIN, format!("{why}; last seq {}", self.told))
    }

    async fn ping(&mut self) -> Option<End> {
        let ping = self.socket.send(Message::Ping(bytes::Bytes::new()));
        match tokio::time::timeout(PATIENCE, ping).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(End::gone()),
            Err(_) => Some(self.try_again("you are too slow")),
        }
    }

    /// Says goodbye, without waiting long for an answer.
    async fn close(mut self, end: End) {
        let reason = end.reason.as_str().into();
        let goodbye = async {
            if self.socket.send(Message::Close(Some(CloseFrame { code: end.code, reason }))).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // Whoever does not answer is gone anyway.
        let _ = tokio::time::timeout(Duration::from_secs(2), goodbye).await;
    }
}

/// What a client may do: little, and not often.
struct Client {
    heard: Instant,
    idle: Duration,
    per_minute: u32,
    minute: Instant,
    messages: u32,
}

impl Client {
    fn new(settings: &Server) -> Self {
        let (heard, idle) = (Instant::now(), Duration::from_secs(settings.socket_idle_seconds));
        Self { heard, idle, per_minute: settings.socket_messages_per_minute, minute: heard, messages: 0 }
    }

    /// Takes note of a message; says how it ended, if the client has left or must.
    fn said(&mut self, message: Option<Result<Message, axum::Error>>) -> Option<End> {
        match message {
            None | Some(Ok(Message::Close(_))) => return Some(End::new(code::ENDED, "goodbye")),
            Some(Err(error)) if error.to_string().contains("too long") => {
                return Some(End::new(code::POLICY, format!("a message may have {LARGEST_MESSAGE} bytes")));
            }
            Some(Err(_)) => return Some(End::gone()),
            Some(Ok(_)) => {}
        }
        self.heard = Instant::now();
        if self.minute.elapsed() > Duration::from_secs(60) {
            (self.minute, self.messages) = (self.heard, 0);
        }
        self.messages += 1;
        (self.messages > self.per_minute).then(|| End::new(code::POLICY, "too many messages"))
    }

    fn is_idle(&self) -> bool {
        self.heard.elapsed() > self.idle
    }
}

fn is_progress(line: &Line) -> bool {
    line.event.name == names::PROGRESS
}
