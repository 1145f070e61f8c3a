//! SIGTERM under overload: sockets are told, the process ends in time, and the next one finishes what was accepted.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::client::{Client, Socket, next_frame, some_code};
use super::gate::{Gate, OPEN_TO_LOOPBACK};
use super::server::Recipe;
use super::{PATIENCE, within};

const WAITING: usize = 120;
const SUBMITTERS: usize = 16;
const SOCKETS: usize = 10;

/// Three seconds for jobs to finish, two for those that are asked to stop, and the last words.
const GRACE: [(&str, &str); 3] = [
    ("CODEYARD_ENGINE_DRAIN_GRACE_SECONDS", "3"),
    ("CODEYARD_ENGINE_CANCEL_GRACE_SECONDS", "2"),
    ("CODEYARD_QUEUES_ANALYSIS_SLOTS", "2"),
];
const WITHIN: Duration = Duration::from_secs(3 + 2 + 2 + 4 + 5);

#[tokio::test]
async fn sigterm_under_overload_ends_in_time_tells_sockets_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = Recipe::embedded(dir.path(), &GRACE).with(&[OPEN_TO_LOOPBACK]);
    let (gate, first) = (Gate::new().await, recipe.start().await);
    let client = Client::register(first.url()).await;
    // Both slots are taken by jobs that never end by themselves; all else waits.
    let stuck =
        [client.submit(first.url(), &gate.job()).await, client.submit(first.url(), &gate.job()).await];
    let held = [gate.arrival().await, gate.arrival().await];
    let mut jobs = Vec::new();
    for number in 0..WAITING {
        jobs.push(client.submit(first.url(), &some_code(number)).await);
    }
    let sockets = watch(&client, first.url(), &jobs[..SOCKETS]).await;
    let flood = flood(&client, first.url()).await;

    let asked = Instant::now();
    first.signal("TERM").await;
    for socket in sockets {
        let last = within(PATIENCE, "a socket is closed", socket).await.unwrap();
        assert_eq!(
            last.map(|frame| frame["type"].clone()),
            Some("closing".into()),
            "the last frame of a socket"
        );
    }
    let status = first.ended(PATIENCE).await;
    let took = asked.elapsed();
    for accepted in flood {
        jobs.extend(within(PATIENCE, "a submitter ends", accepted).await.unwrap());
    }
    for git in held {
        git.gone().await;
    }

    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took < WITHIN, "it took {took:?}");
    finish_all(&recipe, &client, &gate, &stuck, &jobs).await;
}

/// A second process on the same data runs what was stuck again, and finishes all the rest.
async fn finish_all(recipe: &Recipe, client: &Client, gate: &Gate, stuck: &[String; 2], jobs: &[String]) {
    let second = recipe.start().await;
    let again = [gate.arrival().await, gate.arrival().await];
    for job in stuck {
        let path = format!("/api/v1/jobs/{job}");
        let seen = client.get(second.url(), &path).await.expect(200);
        assert_eq!(seen["attempts"], 1, "being given back used an attempt up: {seen}");
        client.post(second.url(), &format!("{path}/cancel"), &Value::Null).await.expect(200);
        client.until(second.url(), job, &["completion"]).await;
        let log = client.log(second.url(), job).await;
        let given_back = log.iter().filter(|event| event["data"]["event"] == "released").count();
        assert_eq!(given_back, 1, "{log:#?}");
    }
    drop(again);
    for job in jobs {
        let end = client.until(second.url(), job, &["completion", "error"]).await;
        assert_eq!(end["status"], "completed", "{end}");
        client.log(second.url(), job).await;
    }
    let listed = client.get(second.url(), "/api/analysis/?limit=1").await.expect(200);
    let known = u64::try_from(jobs.len() + stuck.len()).unwrap();
    assert!(listed["total"].as_u64().unwrap() >= known, "{listed}");
}

/// Opens a socket on each job; each returns its last frame.
async fn watch(client: &Client, url: &str, jobs: &[String]) -> Vec<JoinHandle<Option<Value>>> {
    let mut sockets = Vec::new();
    for job in jobs {
        let mut socket = client.socket(url, job, 0).await;
        let first = next_frame(&mut socket).await.unwrap();
        assert_eq!(first["type"], "connected", "{first}");
        sockets.push(tokio::spawn(last_frame(socket)));
    }
    sockets
}

async fn last_frame(mut socket: Socket) -> Option<Value> {
    let mut last = None;
    while let Some(frame) = next_frame(&mut socket).await {
        last = Some(frame);
    }
    last
}

/// Submits from many connections until the server is gone; each returns what was accepted. Returns once all of them
/// have had one accepted.
async fn flood(client: &Client, url: &str) -> Vec<JoinHandle<Vec<String>>> {
    let mut submitters = Vec::new();
    for submitter in 0..SUBMITTERS {
        let (client, url) = (client.clone(), url.to_owned());
        let mut ids = vec![client.submit(&url, &some_code(submitter)).await];
        submitters.push(tokio::spawn(async move {
            for number in 0.. {
                let key = format!("flood-{submitter}-{number}");
                match client.try_submit(&url, &key, &some_code(number)).await {
                    Ok(reply) if reply.was_accepted() => ids.push(reply.accepted()),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            ids
        }));
    }
    submitters
}
