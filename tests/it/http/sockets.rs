//! Sockets over real connections: frames, replays, closing codes, ways to sign in.

use std::net::SocketAddr;

use codeyard::model::{JobId, Status};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::TestApp;
use crate::support::stage::{Stage, scripted};

struct Socket(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Socket {
    async fn open(address: SocketAddr, path: &str) -> Self {
        Self(connect_async(format!("ws://{address}{path}")).await.unwrap().0)
    }

    /// The next frame, or the code it was closed with.
    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            match self.0.next().await.expect("closed without a word").expect("a broken socket") {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(close) => return Err(close.map_or(0, |close| close.code.into())),
                _ => {}
            }
        }
    }

    /// All frames, and the code it was closed with.
    async fn rest(&mut self) -> (Vec<Value>, u16) {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Ok(frame) => frames.push(frame),
                Err(code) => return (frames, code),
            }
        }
    }
}

fn sorts(frames: &[Value]) -> Vec<&str> {
    frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
}

async fn submit(app: &TestApp, owner: codeyard::model::UserId, script: Value) -> JobId {
    app.app.jobs.submit(scripted(Some(owner), &script)).await.unwrap().id
}

async fn each() -> Vec<(TestApp, Stage)> {
    TestApp::on_each_stage(&[("server.socket_messages_per_minute", "5")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_shows_a_jobs_life_as_it_happens_and_closes_with_it() {
    for (app, stage) in each().await {
        let (ann, address) = (app.sign_up("ann@example.com").await, app.listen().await);
        let job = submit(&app, ann.id, json!({"play": "gate"})).await;
        stage.next().await;
        app.until(job, Status::Running).await;
        for path in ["/api/ws/build", "/ws/jobs", "/ws/progress"] {
            let mut socket = Socket::open(address, &format!("{path}/{job}?token={}", ann.access)).await;
            let connected = socket.next().await.unwrap();
            assert_eq!((&connected["type"], &connected["seq"]), (&json!("connected"), &json!(2)), "{path}");
            assert_eq!((&connected["task_id"], &connected["job_id"]), (&json!(job), &json!(job)));
        }
        let mut socket = Socket::open(address, &format!("/api/ws/build/{job}/?token={}", ann.access)).await;
        for seq in [2, 1, 2] {
            assert_eq!(socket.next().await.unwrap()["seq"], seq);
        }
        stage.gate.add_permits(1);
        let (frames, code) = socket.rest().await;
        assert_eq!((sorts(&frames), code), (vec!["completion"], 1000));
        assert_eq!((&frames[0]["results"]["played"], &frames[0]["progress"]), (&json!("gate"), &json!(100)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_comes_back_sees_the_rest_and_nothing_twice() {
    for (app, _) in each().await {
        let (ann, address) = (app.sign_up("ann@example.com").await, app.listen().await);
        let job = submit(&app, ann.id, json!({"play": "chat", "times": 5})).await;
        app.until(job, Status::Completed).await;
        let path = format!("/ws/jobs/{job}?after=7&token={}", ann.access);
        let (frames, code) = Socket::open(address, &path).await.rest().await;
        let numbers: Vec<_> = frames[1..].iter().map(|frame| frame["seq"].as_i64().unwrap()).collect();
        assert_eq!((numbers, code), ((8..=13).collect(), 1000));
        let failed = submit(&app, ann.id, json!({"play": "fail_for_good"})).await;
        app.until(failed, Status::Failed).await;
        let (frames, _) =
            Socket::open(address, &format!("/ws/jobs/{failed}?token={}", ann.access)).await.rest().await;
        let last = frames.last().unwrap();
        assert_eq!((&last["type"], &last["error_code"]), (&json!("error"), &json!("SCRIPTED")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_wrong_ids_are_told_by_closing_codes() {
    for (app, stage) in each().await {
        let (ann, bob) = (app.sign_up("ann@example.com").await, app.sign_up("bob@example.com").await);
        let address = app.listen().await;
        let job = submit(&app, ann.id, json!({"play": "gate"})).await;
        stage.next().await;
        for (path, code) in [
            (format!("/ws/jobs/{job}"), 4401),
            (format!("/ws/jobs/{job}?token=nonsense"), 4401),
            (format!("/ws/jobs/{job}?ticket=nonsense"), 4401),
            (format!("/ws/jobs/{job}?token={}", bob.access), 4404),
            (format!("/ws/jobs/nonsense?token={}", ann.access), 4404),
            (format!("/ws/jobs/{}?token={}", JobId(app.app.clock.new_id()), ann.access), 4404),
            (format!("/api/ws/analysis/{job}?token={}", ann.access), 4404),
        ] {
            assert_eq!(Socket::open(address, &path).await.rest().await, (Vec::new(), code), "{path}");
        }
        stage.gate.add_permits(1);
        app.until(job, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_socket_and_a_browser_hides_its_token_in_a_subprotocol() {
    let (app, _) = each().await.remove(0);
    let (ann, address) = (app.sign_up("ann@example.com").await, app.listen().await);
    let job = submit(&app, ann.id, json!({})).await;
    app.until(job, Status::Completed).await;
    let ticket = app.post("/api/v1/ws-ticket", json!({})).bearer(&ann.access).await;
    let ticket: Value = ticket.good();
    let path = format!("/ws/jobs/{job}?ticket={}", ticket["ticket"].as_str().unwrap());
    assert_eq!(Socket::open(address, &path).await.rest().await.1, 1000);
    assert_eq!(Socket::open(address, &path).await.rest().await.1, 4401);

    let mut request = format!("ws://{address}/ws/jobs/{job}").into_client_request().unwrap();
    let token = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &ann.access);
    let offer = format!("codeyard.v1, codeyard.bearer.{token}");
    request.headers_mut().insert("sec-websocket-protocol", offer.parse().unwrap());
    let (socket, answer) = connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "codeyard.v1");
    assert_eq!(Socket(socket).rest().await.1, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_talks_too_much_or_too_long_is_closed() {
    let (app, stage) = each().await.remove(0);
    let (ann, address) = (app.sign_up("ann@example.com").await, app.listen().await);
    let job = submit(&app, ann.id, json!({"play": "gate"})).await;
    stage.next().await;
    let path = format!("/ws/jobs/{job}?token={}", ann.access);
    let mut chatty = Socket::open(address, &path).await;
    for _ in 0..6 {
        chatty.0.send(Message::text("hello")).await.unwrap();
    }
    assert_eq!(chatty.rest().await.1, 1008);
    let mut long = Socket::open(address, &path).await;
    long.0.send(Message::text("x".repeat(10_000))).await.unwrap();
    let closed = loop {
        match long.0.next().await {
            Some(Ok(Message::Close(Some(close)))) => break u16::from(close.code),
            None | Some(Err(tungstenite::Error::Protocol(_) | tungstenite::Error::Io(_))) => break 1008,
            Some(_) => {}
        }
    };
    assert!([1008, 1009].contains(&closed), "{closed}");
    stage.gate.add_permits(1);
    app.until(job, Status::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_says_so() {
    for (app, stage) in each().await {
        let (ann, address) = (app.sign_up("ann@example.com").await, app.listen().await);
        let job = submit(&app, ann.id, json!({"play": "gate"})).await;
        stage.next().await;
        app.until(job, Status::Running).await;
        let mut socket = Socket::open(address, &format!("/ws/jobs/{job}?after=2&token={}", ann.access)).await;
        assert_eq!(socket.next().await.unwrap()["type"], "connected");
        app.app.hub.close();
        let (frames, code) = socket.rest().await;
        assert_eq!((sorts(&frames), code), (vec!["closing"], 1001));
        assert!(frames[0]["data"]["retry_after_ms"].as_u64().unwrap() > 0);
        stage.gate.add_permits(1);
        app.until(job, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_removed_shows_as_a_gap() {
    for (app, _) in each().await {
        let (ann, address) = (app.sign_up("ann@example.com").await, app.listen().await);
        let job = submit(&app, ann.id, json!({"play": "chat", "times": 4})).await;
        app.until(job, Status::Completed).await;
        let later = app.app.clock.now() + std::time::Duration::from_secs(60);
        assert!(app.app.store.prune_events(later, 10).await.unwrap() > 0);
        let (frames, code) =
            Socket::open(address, &format!("/ws/jobs/{job}?token={}", ann.access)).await.rest().await;
        assert_eq!((sorts(&frames), code), (vec!["connected", "gap", "completion"], 1000));
        assert_eq!(frames[1]["data"], json!({"from": 1, "to": 10}));
    }
}
