//! The HTTP doors, with 32 connections that are kept.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Place;
use crate::client::{Connection, load, request};
use crate::server::Server;

const CONNECTIONS: usize = 32;
const TIME: Duration = Duration::from_secs(5);
const BUILD: &str =
    r#"{"project_name":"word-count","goal":"a command line tool that counts words in files"}"#;
/// Jobs are taken in and not run, so that the submits alone are measured.
const KEEP: [(&str, &str); 2] = [("engine.run_jobs", "false"), ("engine.max_queued", "100000000")];

/// `POST /api/build/`, answered once the job is on disk.
pub(crate) async fn post_build(place: &Place) -> String {
    let server = Server::start(place, &KEEP).await;
    let submit = request("POST", "/api/build/", &server.token, BUILD);
    let result = load(server.address, CONNECTIONS, TIME, &submit).await;
    format!("{result}, {:.0} MiB", server.memory())
}

/// `GET /api/build/{id}` with a JWT.
pub(crate) async fn get_build(place: &Place) -> String {
    let server = Server::start(place, &KEEP).await;
    let job = server.submit(&json!({})).await;
    let get = request("GET", &format!("/api/build/{job}"), &server.token, "");
    let result = load(server.address, CONNECTIONS, TIME, &get).await;
    format!("{result}, {:.0} MiB", server.memory())
}

/// `GET /api/health/`.
pub(crate) async fn health(place: &Place) -> String {
    let server = Server::start(place, &KEEP).await;
    let get = request("GET", "/api/health/", "", "");
    load(server.address, CONNECTIONS, TIME, &get).await
}

/// The real binary: from its start until it is ready (the second start; the first makes the database), and what
/// memory it has then.
pub(crate) async fn start_and_memory(place: &Place) -> String {
    let first = real(place).await;
    let again = real(place).await;
    format!("first start {first}; later {again}")
}

async fn real(place: &Place) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = ([127, 0, 0, 1], port).into();
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeyard"));
    command
        .arg("serve")
        .env("CODEYARD_SERVER_LISTEN", format!("127.0.0.1:{port}"))
        .env("CODEYARD_LOG_FILTER", "warn");
    for (path, value) in &place.settings {
        command.env(format!("CODEYARD_{}", path.replace('.', "_").to_uppercase()), value);
    }
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut connection = Connection::open(address).await;
    while connection.ask(&request("GET", "/api/health/ready", "", "")).await.status != 200 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let ready = begun.elapsed().as_millis();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned();
    let memory = memory.trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0;
    child.kill().unwrap();
    child.wait().unwrap();
    format!("{ready} ms, {memory:.0} MiB idle")
}
