//! The server of the HTTP and socket rows: a process of its own, with a build that does what its goal says.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use codeyard::app::App;
use codeyard::clock::Clock;
use codeyard::config::Config;
use codeyard::jobs::{Context, Failure, Level, Outcome, Policy};
use codeyard::kinds;
use serde_json::{Value, json};

use crate::Place;
use crate::client::{Connection, request};

const BUILD: Policy =
    Policy { kind: "build", queue: "builds", max_attempts: 3, prepares: false, soft_timeout: None };

/// Serves until it is killed; `arguments` are settings as `path=value`. Says its address and a token.
pub(crate) fn run(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let settings = arguments.iter().filter_map(|argument| argument.split_once('='));
        let settings = settings.map(|(path, value)| (path.to_owned(), value.to_owned()));
        let config = Config::load(None, [], settings).unwrap();
        let registry = kinds::all().with_start(BUILD, |payload, _, context| {
            let payload: Value = serde_json::from_str(payload.get()).unwrap();
            Box::pin(async move { play(&payload["parameters"], &context).await })
        });
        let app = App::start_with(config, Clock::system(), registry).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        codeyard::http::serve(&app, listener, std::future::pending()).await.unwrap();
    });
}

async fn play(script: &Value, context: &Context) -> Result<Outcome, Failure> {
    match script["play"].as_str() {
        Some("forever") => std::future::pending().await,
        Some("chat") => {
            let pause = Duration::from_secs_f64(1.0 / script["per_second"].as_f64().unwrap_or(f64::INFINITY));
            // Long enough for all subscribers to be there.
            tokio::time::sleep(Duration::from_secs(script["after"].as_u64().unwrap_or(0))).await;
            for time in 0..script["times"].as_u64().unwrap_or(0) {
                context
                    .log(
                        Level::Info,
                        &format!("line {time} of a log that somebody follows, with some text in it"),
                    )
                    .await;
                tokio::time::sleep(pause).await;
            }
        }
        _ => {}
    }
    Ok(Outcome::Done(None))
}

/// A server process, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Server {
    /// Starts one; returns when it is ready.
    pub(crate) async fn start(place: &Place, more: &[(&str, &str)]) -> Self {
        let more = more.iter().map(|(path, value)| format!("{path}={value}"));
        let settings = place.settings.iter().map(|(path, value)| format!("{path}={value}")).chain(more);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--server")
            .args(settings)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap();
        let mut server = Self { child, address, token: String::new() };
        server.token = server.sign_in().await;
        server
    }

    async fn sign_in(&self) -> String {
        let body = json!({"email": "bench@example.com", "password": "correct horse battery"}).to_string();
        let mut connection = Connection::open(self.address).await;
        let registered = connection.ask(&request("POST", "/api/v1/auth/register", "", &body)).await;
        let answer = match registered.status {
            201 => registered,
            _ => connection.ask(&request("POST", "/api/v1/auth/login", "", &body)).await,
        };
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks something; returns the answer as JSON.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let mut connection = Connection::open(self.address).await;
        let answer = connection.ask(&request(method, path, &self.token, body)).await;
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Submits a build that plays; returns its id.
    pub(crate) async fn submit_job(&self, play: &str) -> String {
        self.submit(&json!({"play": play})).await
    }

    /// Submits a build with these parameters; returns its id.
    pub(crate) async fn submit(&self, parameters: &Value) -> String {
        let body = json!({"project_name": "bench", "goal": "be fast", "parameters": parameters}).to_string();
        self.ask("POST", "/api/build/", &body).await["task_id"].as_str().unwrap().to_owned()
    }

    /// Waits until a job's log has this event this often.
    pub(crate) async fn until_event(&self, job: &str, event: &str, times: usize) {
        loop {
            let page = self.ask("GET", &format!("/api/v1/jobs/{job}/events?limit=1000"), "").await;
            let happened =
                page["events"].as_array().unwrap().iter().filter(|frame| frame["data"]["event"] == event);
            if happened.count() >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resident memory, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }

    /// Kills it, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
