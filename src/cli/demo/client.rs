//! The demo as any other client: HTTP and a WebSocket, with a token.

use anyhow::{Context as _, bail};
use futures::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};

use crate::analysis::Report;
use crate::cli::meter::Meter;

/// How often a socket that closes early is opened again.
const TRIES: usize = 5;

/// Talks to one server, as one account.
pub(super) struct Client {
    url: String,
    token: String,
    http: reqwest::Client,
}

/// What the demo reads of a frame.
#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    sort: String,
    seq: Option<i64>,
    progress: Option<u64>,
    message: Option<String>,
    status: Option<String>,
    error: Option<String>,
}

/// Whether a job is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    End,
    NotYet,
}

impl Client {
    pub(super) fn new(url: String, token: &str) -> anyhow::Result<Self> {
        // This machine needs no proxy to reach itself.
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { url, token: token.to_owned(), http })
    }

    /// Submits the archive; returns the id of its analysis.
    pub(super) async fn submit(&self, name: String, zip: Vec<u8>) -> anyhow::Result<String> {
        let file = Part::bytes(zip).file_name("source.zip").mime_str("application/zip")?;
        let form = Form::new().text("name", name).part("file", file);
        let accepted =
            self.ask(self.http.post(format!("{}/api/analysis/", self.url)).multipart(form)).await?;
        let accepted: Value = accepted.json().await?;
        let id = accepted["task_id"].as_str().context("the server's answer names no task_id")?;
        Ok(id.to_owned())
    }

    /// Follows the analysis to its end; an error if that is no good one.
    pub(super) async fn follow(&self, id: &str, meter: &Meter) -> anyhow::Result<()> {
        let mut after = 0;
        for _ in 0..TRIES {
            if self.follow_once(id, &mut after, meter).await? == Seen::End {
                return Ok(());
            }
        }
        bail!("the socket of analysis {id} closed {TRIES} times before the end")
    }

    /// The report of an analysis that has completed.
    pub(super) async fn report(&self, id: &str) -> anyhow::Result<Report> {
        let answer = self.ask(self.http.get(format!("{}/api/analysis/{id}", self.url))).await?;
        answer.json().await.context("the report cannot be read")
    }

    async fn follow_once(&self, id: &str, after: &mut i64, meter: &Meter) -> anyhow::Result<Seen> {
        let url = format!("{}/api/ws/analysis/{id}?after={after}", self.url.replacen("http", "ws", 1));
        let mut request = url.into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.token))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.context("open the socket")?;
        while let Some(message) = socket.next().await {
            let text = match message {
                Ok(Message::Text(text)) => text,
                Ok(Message::Close(_)) | Err(_) => break,
                Ok(_) => continue,
            };
            let frame: Frame = serde_json::from_str(&text).context("a frame cannot be read")?;
            if let Some(seq) = frame.seq.filter(|_| frame.sort != "connected") {
                *after = seq;
            }
            if frame.tell(meter)? == Seen::End {
                return Ok(Seen::End);
            }
        }
        Ok(Seen::NotYet)
    }

    /// Sends a request; an answer that is an error becomes one, in the server's words.
    async fn ask(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let said: Value = answer.json().await.unwrap_or_default();
        bail!(
            "the server answered {status}: {}",
            said["error"]["message"].as_str().unwrap_or("no reason given")
        )
    }
}

impl Frame {
    /// Shows the frame; an error if the job ended, and not well.
    fn tell(&self, meter: &Meter) -> anyhow::Result<Seen> {
        let status = self.status.as_deref().unwrap_or_default();
        match self.sort.as_str() {
            "error" => bail!("the analysis failed: {}", self.error.as_deref().unwrap_or(status)),
            "completion" if status == "cancelled" => bail!("the analysis was cancelled"),
            "completion" => {
                meter.show(100, "Done");
                Ok(Seen::End)
            }
            "connected" | "progress" | "log" => {
                if let Some(percent) = self.progress {
                    meter.show(percent, self.message.as_deref().unwrap_or(status));
                }
                Ok(Seen::NotYet)
            }
            _ => Ok(Seen::NotYet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::meter::How;

    fn told(json: &str) -> anyhow::Result<Seen> {
        serde_json::from_str::<Frame>(json).unwrap().tell(&Meter::new(How::WhenLong))
    }

    #[test]
    fn only_a_completion_that_is_none_of_a_cancelled_job_is_the_end() {
        assert_eq!(told(r#"{"type": "progress", "seq": 2, "progress": 40}"#).unwrap(), Seen::NotYet);
        assert_eq!(told(r#"{"type": "closing", "data": {}}"#).unwrap(), Seen::NotYet);
        assert_eq!(told(r#"{"type": "completion", "status": "completed"}"#).unwrap(), Seen::End);
        assert!(told(r#"{"type": "completion", "status": "cancelled"}"#).is_err());
        let failed = told(r#"{"type": "error", "status": "failed", "error": "no space"}"#).unwrap_err();
        assert!(failed.to_string().contains("no space"), "{failed}");
    }
}
