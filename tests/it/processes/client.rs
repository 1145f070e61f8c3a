//! A client of running servers: HTTP, sockets and what it checks of every answer.

use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{PATIENCE, within};
use crate::support::PASSWORD;

/// Somebody with an account. The token is good on every replica.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    token: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<u64>,
    pub(super) body: Value,
}

/// An open socket.
pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Client {
    /// Makes an account through the front door.
    pub(super) async fn register(url: &str) -> Self {
        // There is one provider in this program; it only has to be named before a client is built.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let mut client = Self { http, token: String::new() };
        let asked = json!({"email": "founder@example.com", "password": PASSWORD});
        let session = client.post(url, "/api/v1/auth/register", &asked).await.expect(201);
        client.token = session["access_token"].as_str().unwrap().to_owned();
        client
    }

    /// Posts; no answer at all is a failure.
    pub(super) async fn post(&self, url: &str, path: &str, body: &Value) -> Reply {
        let sent = self.http.post(format!("{url}{path}")).bearer_auth(&self.token).json(body);
        Reply::read(sent).await.unwrap_or_else(|error| panic!("POST {path}: {error:?}"))
    }

    /// Gets; no answer at all is a failure.
    pub(super) async fn get(&self, url: &str, path: &str) -> Reply {
        let sent = self.http.get(format!("{url}{path}")).bearer_auth(&self.token);
        Reply::read(sent).await.unwrap_or_else(|error| panic!("GET {path}: {error:?}"))
    }

    /// Submits an analysis; returns its id.
    pub(super) async fn submit(&self, url: &str, body: &Value) -> String {
        self.post(url, "/api/analysis/", body).await.accepted()
    }

    /// Submits an analysis under a key that makes it safe to repeat. An error: the server was not there, or went away
    /// before it answered.
    pub(super) async fn try_submit(&self, url: &str, key: &str, body: &Value) -> reqwest::Result<Reply> {
        let sent = self.http.post(format!("{url}/api/analysis/")).bearer_auth(&self.token);
        Reply::read(sent.header("idempotency-key", key).json(body)).await
    }

    /// Waits, by long polls, for an event of one of these types; returns its frame.
    pub(super) async fn until(&self, url: &str, job: &str, types: &[&str]) -> Value {
        let mut after = 0;
        let wait = async {
            loop {
                let path = format!("{url}/api/v1/jobs/{job}/events?limit=1000&after={after}");
                let sent = self.http.get(path).bearer_auth(&self.token).header("prefer", "wait=20");
                let page = Reply::read(sent).await.unwrap().expect(200);
                let events = page["events"].as_array().unwrap();
                let found = events.iter().find(|event| types.contains(&event["type"].as_str().unwrap()));
                if let Some(found) = found {
                    return found.clone();
                }
                after = page["next_after"].as_i64().unwrap();
            }
        };
        within(PATIENCE, format!("{job} tells of {types:?}"), wait).await
    }

    /// The whole log of a job, checked to have no holes and exactly one end.
    pub(super) async fn log(&self, url: &str, job: &str) -> Vec<Value> {
        let page = self.get(url, &format!("/api/v1/jobs/{job}/events?limit=1000")).await.expect(200);
        let events = page["events"].as_array().unwrap().clone();
        assert_eq!((&page["has_more"], &page["ended"]), (&json!(false), &json!(true)), "{job}");
        let numbers: Vec<_> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        assert_eq!(numbers, (1..).take(events.len()).collect::<Vec<_>>(), "the log of {job} has holes");
        let ends = events.iter().filter(|event| is_end(event)).count();
        assert_eq!(ends, 1, "the log of {job} has {ends} ends: {events:#?}");
        events
    }

    /// Opens a socket on a job, for what comes after number `after`.
    pub(super) async fn socket(&self, url: &str, job: &str, after: i64) -> Socket {
        let opened = self.try_socket(url, job, after).await;
        opened.unwrap_or_else(|error| panic!("a socket on {job} at {url}: {error:?}"))
    }

    /// As [`Client::socket`], at a server that may be gone.
    pub(super) async fn try_socket(
        &self,
        url: &str,
        job: &str,
        after: i64,
    ) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
        let url = format!("{}/ws/jobs/{job}?after={after}", url.replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.token)).unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let opening = tokio_tungstenite::connect_async(request);
        within(PATIENCE, "a socket opens", opening).await.map(|(socket, _)| socket)
    }
}

impl Reply {
    async fn read(sent: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let answer = sent.send().await?;
        let status = answer.status().as_u16();
        let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(Self { status, retry_after: header, body: answer.json().await? })
    }

    /// Checks the status; returns the body.
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The id of the job that was taken on.
    #[track_caller]
    pub(super) fn accepted(self) -> String {
        self.expect(202)["task_id"].as_str().unwrap().to_owned()
    }

    /// Whether the submit was taken on; if not, it must have been turned away for now, saying until when.
    #[track_caller]
    pub(super) fn was_accepted(&self) -> bool {
        if self.status == 202 {
            return true;
        }
        assert_eq!(self.status, 503, "neither taken on nor turned away: {}", self.body);
        assert!(self.retry_after.is_some_and(|seconds| seconds > 0), "no Retry-After: {self:?}");
        assert!(self.body["error"]["code"].is_string(), "{}", self.body);
        false
    }
}

/// The next frame of a socket; `None` when it was closed or lost.
pub(super) async fn next_frame(socket: &mut Socket) -> Option<Value> {
    loop {
        match within(PATIENCE, "a frame comes", socket.next()).await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// Whether a frame is the last word about its job.
pub(super) fn is_end(frame: &Value) -> bool {
    matches!(frame["status"].as_str(), Some("completed" | "failed" | "cancelled"))
        && frame["type"] != "connected"
}

/// Python with something to find, a little different each time.
pub(super) fn some_code(number: usize) -> Value {
    json!({"code": format!("import os\n\ndef run_{number}(name):\n    os.system(name)\n"), "language": "python"})
}

/// How long a server may take to say that its database is gone, or back.
pub(super) const TRUTH: Duration = Duration::from_secs(15);
