//! A process dies, or is asked across replicas: its jobs go on elsewhere, in the time that was promised.

use std::time::{Duration, Instant};

use super::client::Client;
use super::gate::{Gate, OPEN_TO_LOOPBACK};
use super::server::Recipe;
use super::within;
use crate::support::postgres::TestDatabase;

/// The promise, with the settings as they come.
const AGAIN_WITHIN: Duration = Duration::from_secs(15);

/// Far less than it takes to find work, or a request to cancel, without having been woken.
const WOKEN_WITHIN: Duration = Duration::from_secs(10);
const LOOKS_RARELY: [(&str, &str); 3] = [
    ("CODEYARD_ENGINE_POLL_SECONDS", "300"),
    ("CODEYARD_ENGINE_HEARTBEAT_SECONDS", "60"),
    ("CODEYARD_ENGINE_LEASE_SECONDS", "300"),
];

/// Says that a replica runs no jobs, so that the other one must.
const RUNS_NOTHING: [(&str, &str); 1] = [("CODEYARD_ENGINE_RUN_JOBS", "false")];

#[tokio::test]
async fn a_job_of_a_killed_process_runs_again_on_another_replica_within_fifteen_seconds() {
    let Some(database) = TestDatabase::create().await else { return };
    let recipe = Recipe::shared(&database.url(), &[OPEN_TO_LOOPBACK]);
    let (gate, first) = (Gate::new().await, recipe.start().await);
    let client = Client::register(first.url()).await;
    let job = client.submit(first.url(), &gate.job()).await;
    let held = gate.arrival().await;
    let second = recipe.start().await;

    let killed = Instant::now();
    first.kill().await;
    let again = gate.arrival_within(AGAIN_WITHIN).await;

    eprintln!("it ran again after {:?}", killed.elapsed());
    held.gone().await;
    let seen = client.get(second.url(), &format!("/api/v1/jobs/{job}")).await.expect(200);
    assert_eq!(seen["attempts"], 1, "the crash of a process used an attempt up: {seen}");
    client
        .post(second.url(), &format!("/api/v1/jobs/{job}/cancel"), &serde_json::Value::Null)
        .await
        .expect(200);
    client.until(second.url(), &job, &["completion"]).await;
    again.gone().await;
    client.log(second.url(), &job).await;
}

#[tokio::test]
async fn on_the_embedded_database_a_job_of_a_killed_process_runs_again_as_soon_as_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = Recipe::embedded(dir.path(), &[OPEN_TO_LOOPBACK]);
    let (gate, first) = (Gate::new().await, recipe.start().await);
    let client = Client::register(first.url()).await;
    let job = client.submit(first.url(), &gate.job()).await;
    let held = gate.arrival().await;

    first.kill().await;
    let second = recipe.start().await;
    // Far less than the lease of the process that died.
    let again = gate.arrival_within(Duration::from_secs(4)).await;

    held.gone().await;
    let asked = format!("/api/v1/jobs/{job}/cancel");
    client.post(second.url(), &asked, &serde_json::Value::Null).await.expect(200);
    client.until(second.url(), &job, &["completion"]).await;
    again.gone().await;
    client.log(second.url(), &job).await;
}

#[tokio::test]
async fn a_replica_that_only_answers_wakes_the_one_that_runs_to_start_and_to_cancel_a_job() {
    let Some(database) = TestDatabase::create().await else { return };
    let recipe = Recipe::shared(&database.url(), &LOOKS_RARELY).with(&[OPEN_TO_LOOPBACK]);
    let (gate, runs) = (Gate::new().await, recipe.start().await);
    let asked = recipe.with(&RUNS_NOTHING).start().await;
    let client = Client::register(asked.url()).await;
    let job = client.submit(asked.url(), &gate.job()).await;
    let held = gate.arrival_within(WOKEN_WITHIN).await;

    let answer =
        client.post(asked.url(), &format!("/api/v1/jobs/{job}/cancel"), &serde_json::Value::Null).await;

    // The other one may have let go of it before this one looks what to answer.
    let said = answer.expect(200);
    assert!(["initializing", "running", "cancelled"].map(Some).contains(&said["status"].as_str()), "{said}");
    let ending = client.until(asked.url(), &job, &["completion"]);
    let end = within(WOKEN_WITHIN, "the other replica lets go of the job", ending).await;
    assert_eq!(end["status"], "cancelled", "{end}");
    held.gone().await;
    let log = client.log(runs.url(), &job).await;
    let names: Vec<_> = log.iter().filter_map(|event| event["data"]["event"].as_str()).collect();
    assert!(names.contains(&"cancel_requested"), "{log:#?}");
}
