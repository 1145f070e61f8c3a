//! A thousand sockets on one job.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use codeyard::clock::Clock;
use futures::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::Place;
use crate::client::percentiles;
use crate::server::Server;

const SOCKETS: usize = 1_000;

/// Deliveries a second while a job says as much as it can.
pub(crate) async fn fan_out(place: &Place) -> String {
    const EVENTS: usize = 2_000;
    let server = Server::start(place, &[]).await;
    let job = server.submit(&json!({"play": "chat", "times": EVENTS, "after": 4})).await;
    let received = follow(&server, &job, |_| None).await;
    let first = received.iter().filter_map(|seen| seen.first).min().unwrap();
    let last = received.iter().filter_map(|seen| seen.last).max().unwrap();
    let deliveries: usize = received.iter().map(|seen| seen.frames).sum();
    assert_eq!(deliveries, SOCKETS * EVENTS, "every socket sees every line");
    let rate = deliveries as f64 / (last - first).as_secs_f64();
    format!("{rate:.0} deliveries/s to {SOCKETS} sockets, {:.0} MiB", server.memory())
}

/// From the event's own time to its arrival, at 50 events a second.
pub(crate) async fn latency(place: &Place) -> String {
    const EVENTS: usize = 250;
    let server = Server::start(place, &[]).await;
    let job = server.submit(&json!({"play": "chat", "times": EVENTS, "per_second": 50, "after": 4})).await;
    let clock = Clock::system();
    let received = follow(&server, &job, move |frame| {
        let at = frame.split("\"timestamp\":\"").nth(1)?.split('"').next()?.parse::<DateTime<Utc>>().ok()?;
        (clock.now() - at).to_std().ok()
    })
    .await;
    let mut waits: Vec<_> = received.into_iter().flat_map(|seen| seen.waits).collect();
    percentiles(&mut waits)
}

/// What one socket saw of the job's log lines.
#[derive(Default)]
struct Seen {
    frames: usize,
    first: Option<Instant>,
    last: Option<Instant>,
    waits: Vec<Duration>,
}

async fn follow(
    server: &Server,
    job: &str,
    wait: impl Fn(&str) -> Option<Duration> + Clone + Send + 'static,
) -> Vec<Seen> {
    let url = format!("ws://{}/ws/jobs/{job}?token={}", server.address, server.token);
    let sockets = (0..SOCKETS).map(|_| tokio::spawn(one(url.clone(), wait.clone())));
    let mut received = Vec::new();
    for socket in sockets.collect::<Vec<_>>() {
        received.push(socket.await.unwrap());
    }
    received
}

async fn one(url: String, wait: impl Fn(&str) -> Option<Duration>) -> Seen {
    // A thousand clients share this process, and the two cores with the server.
    let small = WebSocketConfig::default().read_buffer_size(2048).write_buffer_size(1024);
    let (mut socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(small), true).await.unwrap();
    let mut seen = Seen::default();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(frame) = message else { continue };
        if frame.starts_with(r#"{"type":"log""#) {
            seen.frames += 1;
            let now = Instant::now();
            seen.first.get_or_insert(now);
            seen.last = Some(now);
            seen.waits.extend(wait(&frame));
        }
        if frame.starts_with(r#"{"type":"completion""#) {
            break;
        }
    }
    seen
}
