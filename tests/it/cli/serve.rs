//! The server as a process: it starts, answers, and ends well.

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::program::{Program, codeyard, ended, run};

fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A token of a new account on the data in `dir`.
async fn token(dir: &std::path::Path) -> String {
    let data = dir.display().to_string();
    run(&["user", "--data-dir", &data, "create", "ada@example.com"]).await.expect(0);
    run(&["token", "--data-dir", &data, "ada@example.com"]).await.expect(0).trim().to_owned()
}

/// Submits a piece of Python; returns the id of its analysis.
async fn submit(url: &str, token: &str, code: &str) -> String {
    let body = json!({ "code": code, "language": "python" });
    let answer = http().post(format!("{url}/api/analysis/")).bearer_auth(token).json(&body).send().await;
    let job: Value = answer.unwrap().json().await.unwrap();
    job["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn it_answers_and_ends_with_0_on_each_signal_and_tells_the_password_only_once() {
    let dir = tempfile::tempdir().unwrap();
    for (signal, is_first) in [("TERM", true), ("INT", false)] {
        let (server, url) = Program::serve(dir.path()).await;
        let health: Value =
            http().get(format!("{url}/api/health/")).send().await.unwrap().json().await.unwrap();
        assert_eq!(health["status"], "healthy");
        server.signal(signal);
        let said = server.ends_with(0).await;
        assert_eq!(said.contains("Sign in as admin@localhost with the password "), is_first, "{said}");
    }
}

#[tokio::test]
async fn a_socket_is_told_that_the_server_closes_and_nobody_gets_in_any_more() {
    let dir = tempfile::tempdir().unwrap();
    // No slot: the job waits, and its socket stays open.
    let (server, url) = Program::serve_with(dir.path(), &[("CODEYARD_QUEUES_ANALYSIS_SLOTS", "0")]).await;
    let token = token(dir.path()).await;
    let job = submit(&url, &token, "x = 1\n").await;
    let address = url.trim_start_matches("http://").to_owned();
    let socket = format!("ws://{address}/ws/jobs/{job}?token={token}");
    let (mut socket, _) = tokio_tungstenite::connect_async(socket).await.unwrap();
    let mut frames = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let frame: Value = serde_json::from_str(&text).unwrap();
            frames.push(frame["type"].as_str().unwrap().to_owned());
            if frame["type"] == "connected" {
                server.signal("TERM");
            }
        }
    }
    assert_eq!(frames.last().map(String::as_str), Some("closing"), "{frames:?}");
    server.ends_with(0).await;
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn a_connection_that_idles_does_not_keep_it() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) =
        Program::serve_with(dir.path(), &[("CODEYARD_ENGINE_DRAIN_GRACE_SECONDS", "600")]).await;
    let mut idle = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    idle.write_all(b"GET /api/health/ HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    server.signal("TERM");
    server.ends_with(0).await;
}

#[tokio::test]
async fn it_ends_with_0_under_overload_and_loses_no_job_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = Program::serve(dir.path()).await;
    let token = token(dir.path()).await;
    let (client, stop) = (http(), tokio_util::sync::CancellationToken::new());
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel::<String>();
    let senders = (0..16).map(|number| {
        let (client, url, token) = (client.clone(), url.clone(), token.clone());
        let (stop, answered) = (stop.clone(), answered.clone());
        tokio::spawn(async move {
            let body = json!({ "code": format!("x = {number}\n"), "language": "python" });
            while !stop.is_cancelled() {
                let sent = client.post(format!("{url}/api/analysis/")).bearer_auth(&token).json(&body).send();
                let Ok(answer) = sent.await else { continue };
                let took = answer.status() == 202;
                let Ok(body) = answer.json::<Value>().await else { continue };
                if took {
                    answered.send(body["task_id"].as_str().unwrap().to_owned()).unwrap();
                }
            }
        })
    });
    let senders: Vec<_> = senders.collect();
    let mut taken = Vec::new();
    for _ in 0..30 {
        taken.push(answers.recv().await.unwrap());
    }
    server.signal("TERM");
    server.ends_with(0).await;
    stop.cancel();
    futures::future::join_all(senders).await;
    drop(answered);
    while let Some(id) = answers.recv().await {
        taken.push(id);
    }

    let (server, url) = Program::serve(dir.path()).await;
    for id in &taken {
        let path = format!("{url}/api/v1/jobs/{id}/events?after=0");
        let answer = client.get(path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{id}");
    }
    server.signal("TERM");
    server.ends_with(0).await;
}

#[tokio::test]
async fn an_address_that_is_taken_and_data_in_use_are_said_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) = Program::serve(dir.path()).await;
    let data = dir.path().display().to_string();
    let address = url.trim_start_matches("http://");
    let said = run(&["serve", "--listen", address, "--data-dir", &data]).await.refused();
    assert!(said.contains(address) && said.contains("server.listen"), "{said}");
    let said = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &data]).await.refused();
    assert!(said.contains("another process uses the data directory"), "{said}");
    let said = run(&["migrate", "--data-dir", &data]).await.refused();
    assert!(said.contains("another process uses the data directory"), "{said}");
    server.signal("TERM");
    server.ends_with(0).await;
}

#[tokio::test]
async fn settings_come_from_the_file_the_environment_and_flags_in_this_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("codeyard.toml");
    std::fs::write(&file, "data_dir = \"/from/file\"\n[server]\nlisten = \"not an address\"\n").unwrap();
    let file = file.display().to_string();
    let said = run(&["serve", "--config", &file]).await.refused();
    assert!(said.contains("listen"), "{said}");
    let mut command = codeyard(&["serve", "--listen", "256.0.0.1:80"]);
    let said = ended(command.env("CODEYARD_CONFIG", &file)).await.refused();
    assert!(said.contains("listen"), "{said}");
    let mut command = codeyard(&["doctor", "--json", "--listen", "127.0.0.1:0"]);
    let said = ended(command.env("CODEYARD_CONFIG", &file).env("CODEYARD_DATA_DIR", dir.path())).await;
    let said = said.expect(0);
    assert!(said.contains(&dir.path().display().to_string()) && !said.contains("/from/file"), "{said}");
}

/// Begins a request that never ends; the server waits for it as long as its grace lasts.
async fn begin_request(url: &str, token: &str) -> TcpStream {
    let mut upload = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/analysis/ HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    upload.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    upload
}

#[tokio::test]
async fn a_request_that_never_ends_keeps_it_no_longer_than_its_grace() {
    let dir = tempfile::tempdir().unwrap();
    let (server, url) =
        Program::serve_with(dir.path(), &[("CODEYARD_ENGINE_DRAIN_GRACE_SECONDS", "1")]).await;
    let _upload = begin_request(&url, &token(dir.path()).await).await;
    server.signal("TERM");
    let said = server.ends_with(0).await;
    assert!(said.contains("requests did not finish"), "{said}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut server, url) =
        Program::serve_with(dir.path(), &[("CODEYARD_ENGINE_DRAIN_GRACE_SECONDS", "600")]).await;
    let _upload = begin_request(&url, &token(dir.path()).await).await;
    server.signal("INT");
    server.line_with("stopping").await;
    server.signal("INT");
    server.ends_with(130).await;
}
