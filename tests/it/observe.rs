//! What the server says of itself.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use codeyard::clock::Clock;
use codeyard::config::Config;
use codeyard::observe::Telemetry;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::TestApp;

/// Everything that was written to the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs as these settings say, while `work` runs; returns what was written.
    async fn of(settings: &[(&str, &str)], work: impl AsyncFnOnce()) -> String {
        let log = Self::default();
        let flags = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = Config::load(None, [], flags).unwrap();
        let writer = Box::new(log.clone());
        let (subscriber, telemetry) =
            Telemetry::to_writer(&config, &Clock::seeded(1), writer, false).unwrap();
        let here = tracing::subscriber::set_default(subscriber);
        work().await;
        drop(here);
        drop(telemetry);
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_line_of_a_request_carries_its_id_and_none_carries_a_secret() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.com").await;
    let log = Log::of(&[("log.format", "json"), ("log.filter", "codeyard::http=info,it=info")], async || {
        let path = "/api/v1/users/me?token=in-the-query";
        app.get(path).bearer(&ada.access).header("x-request-id", "one").await.expect(200);
        app.get("/api/health/").await.expect(200);
        tracing::info_span!("run", job_id = 7, attempt = 1).in_scope(|| {
            tracing::info_span!("step", attempt = 2).in_scope(|| tracing::info!(x = f64::NAN, "said \"so\""));
        });
    })
    .await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(lines.len(), 2, "a health check is logged at debug: {log}");
    let answered = &lines[0];
    assert_eq!((&answered["request_id"], &answered["message"]), (&"one".into(), &"answered".into()));
    assert_eq!((&answered["route"], &answered["method"]), (&"/api/v1/users/me".into(), &"GET".into()));
    assert_eq!((&answered["status"], &answered["caller"]), (&200.into(), &ada.id.to_string().into()));
    assert!(answered["latency_ms"].as_f64().is_some_and(|latency| latency > 0.0), "{answered}");
    assert!(!log.contains("in-the-query") && !log.contains(&ada.access));
    assert_eq!((&lines[1]["job_id"], &lines[1]["attempt"]), (&7.into(), &2.into()));
    assert_eq!((&lines[1]["message"], &lines[1]["x"]), (&"said \"so\"".into(), &Value::Null));
}

#[tokio::test]
async fn a_log_for_people_has_the_same_in_words() {
    let app = TestApp::start().await;
    let log = Log::of(&[("log.format", "text")], async || {
        app.get("/nowhere").header("x-request-id", "two").await.refused(404);
    })
    .await;
    assert!(log.contains("request_id=\"two\"") && log.contains("status=404"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spans_reach_a_collector() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let collect = async |State(to): State<mpsc::UnboundedSender<(HeaderMap, Bytes)>>,
                         headers: HeaderMap,
                         body: Bytes| {
        to.send((headers, body)).unwrap();
    };
    let collector = axum::Router::new().route("/v1/traces", post(collect)).with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, collector).await });

    let app = TestApp::start().await;
    Log::of(&[("telemetry.otlp_endpoint", &endpoint)], async || {
        let ask = app.get("/api/health/status").header("x-request-id", "traced-request");
        ask.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            .await
            .expect(200);
    })
    .await;
    let (headers, body) =
        tokio::time::timeout(Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let has = |expected: &[u8]| body.windows(expected.len()).any(|part| part == expected);
    for expected in ["codeyard", "request", "traced-request", "/api/health/status"] {
        assert!(has(expected.as_bytes()), "{expected}");
    }
    assert!(has(&hex::decode("4bf92f3577b34da6a3ce929d0e0e4736").unwrap()), "the caller's trace goes on");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let (app, _other) = (TestApp::start().await, TestApp::start().await);
    app.get("/api/v1/users/018f0000-0000-7000-8000-000000000001").await.refused(401);
    app.get("/no/such/path/018f").await.refused(404);
    let text = app.get("/metrics").await.text();
    let counted = |route: &str| {
        let label = format!("route=\"{route}\"");
        text.lines().any(|line| line.starts_with("codeyard_http_requests_total") && line.contains(&label))
    };
    assert!(counted("/api/v1/users/{id}") && counted("unmatched"), "{text}");
    assert!(!text.contains("018f"), "{text}");
    assert!(text.contains("codeyard_http_request_duration_seconds_bucket"), "{text}");
    assert!(text.contains("codeyard_database_connections{state=\"open\"}"), "{text}");
}

#[test]
fn a_filter_that_does_not_read_is_refused_by_name() {
    let flags = [("log.filter".to_owned(), "codeyard=loudly".to_owned())];
    let config = Config::load(None, [], flags).unwrap();
    let refused =
        Telemetry::to_writer(&config, &Clock::seeded(1), Box::new(std::io::sink()), false).map(drop);
    assert!(refused.unwrap_err().to_string().contains("log.filter"));
}
