//! Leases: what happens to the jobs of a process that died, drained, or was thought dead.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use codeyard::model::event::names;
use codeyard::model::{JobId, NewEvent, ProcessId, Status};
use codeyard::store::{Batch, Claim, Claimed, Ending, ProcessRow, Report, Store};
use serde_json::json;

use crate::support::TestApp;

const IDLE: [(&str, &str); 1] = [("engine.run_jobs", "false")];

/// Another process, played by the test.
async fn process(app: &TestApp) -> ProcessId {
    let (id, now) = (ProcessId(app.app.clock.new_id()), app.app.clock.now());
    let row = ProcessRow { id, host: "elsewhere".into(), version: "0".into(), started_at: now, beat_at: now };
    app.app.store.register_process(&row).await.unwrap();
    id
}

async fn claim(app: &TestApp, process: ProcessId) -> Vec<Claimed> {
    let now = app.app.clock.now();
    let deadline = now + Duration::from_secs(3600);
    let highest_rank = now.timestamp_micros();
    app.app
        .store
        .claim(Claim { queue: "builds", process, limit: 10, now, deadline, highest_rank })
        .await
        .unwrap()
}

fn finish(app: &TestApp, claimed: &Claimed) -> Report {
    let event = NewEvent {
        at: app.app.clock.now(),
        name: names::COMPLETED.to_owned(),
        status: Status::Completed,
        progress: 100,
        message: None,
        data: None,
    };
    let ending = Some(Ending::Final { outcome: Status::Completed, error: None, result: None });
    Report { events: vec![event], ending, ..Report::new(claimed.job_id, claimed.fence) }
}

/// Whether the report was taken.
async fn write(store: &Store, app: &TestApp, report: Report) -> bool {
    let (job, process, now) = (report.job, app.app.jobs.process(), app.app.clock.now());
    static NUMBERS: AtomicI64 = AtomicI64::new(1);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let batch =
        || Batch { process, lane: 9, number, now, submissions: &[], reports: std::slice::from_ref(&report) };
    let accepted = store.write_batch(batch()).await.unwrap().unwrap();
    assert!(store.write_batch(batch()).await.unwrap().is_none(), "a batch was written twice");
    accepted.reported.contains_key(&job)
}

/// Declares a process dead and takes back what it held.
async fn rescue(app: &TestApp, dead: ProcessId) {
    app.app.store.retire_process(dead).await.unwrap();
    app.app.jobs.rescue(true, false, app.app.clock.now()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_dead_process_runs_again_and_what_the_dead_one_says_is_rejected() {
    for (app, _) in TestApp::on_each_stage(&IDLE).await {
        let job = app.play(&json!({})).await;
        let (first, second) = (process(&app).await, process(&app).await);
        let stale = claim(&app, first).await.remove(0);
        rescue(&app, first).await;
        let fresh = claim(&app, second).await.remove(0);

        assert_eq!((fresh.job_id, fresh.attempt), (job, 1), "a crash costs no attempt");
        assert!(fresh.fence > stale.fence);
        assert!(!write(&app.app.store, &app, finish(&app, &stale)).await);
        assert!(write(&app.app.store, &app, finish(&app, &fresh)).await);
        assert!(!write(&app.app.store, &app, finish(&app, &fresh)).await, "nothing ends twice");
        assert_eq!(app.event_names(job).await, ["queued", "rescued", "completed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_keeps_killing_its_process_is_stopped() {
    for (app, _) in TestApp::on_each_stage(&IDLE).await {
        let job = app.play(&json!({})).await;
        for _ in 0..3 {
            let victim = process(&app).await;
            assert_eq!(claim(&app, victim).await.len(), 1);
            rescue(&app, victim).await;
        }
        let failed = app.until(job, Status::Failed).await;
        assert_eq!(failed.error_code.as_deref(), Some("WORKER_CRASHED"));
        assert_eq!(app.event_names(job).await, ["queued", "rescued", "rescued", "failed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_process_died_while_it_was_to_be_cancelled_is_cancelled() {
    for (app, _) in TestApp::on_each_stage(&IDLE).await {
        let job = app.play(&json!({})).await;
        let dead = process(&app).await;
        claim(&app, dead).await;
        app.app.jobs.cancel(job, &app.root()).await.unwrap();
        rescue(&app, dead).await;
        app.until(job, Status::Cancelled).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_past_its_deadline_is_taken_from_a_process_that_lives() {
    for (app, _) in TestApp::on_each_stage(&IDLE).await {
        let job = app.play(&json!({})).await;
        let hung = process(&app).await;
        claim(&app, hung).await;
        app.app.clock.advance(Duration::from_secs(3601));
        app.app.jobs.rescue(true, false, app.app.clock.now()).await.unwrap();
        assert_eq!(app.event_names(job).await, ["queued", "rescued"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_heard_of_is_buried_and_cannot_beat_again() {
    for (app, _) in TestApp::on_each_stage(&IDLE).await {
        let quiet = process(&app).await;
        app.app.clock.advance(Duration::from_secs(60));
        let loud = process(&app).await;
        let dead = app.app.clock.now() - Duration::from_secs(30);
        assert!(app.app.store.look_around(app.app.clock.now(), dead, dead).await.unwrap().dead);
        app.app.store.bury(dead).await.unwrap();
        assert_eq!(app.app.store.beat(quiet, app.app.clock.now()).await.unwrap(), None);
        assert_eq!(app.app.store.beat(loud, app.app.clock.now()).await.unwrap(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_lets_jobs_finish_and_gives_back_what_does_not() {
    let settings = [("engine.drain_grace_seconds", "1")];
    for (app, stage) in TestApp::on_each_stage(&settings).await {
        let quick = app.play(&json!({"play": "gate"})).await;
        let endless = app.play(&json!({"play": "until_cancelled"})).await;
        let _: [JobId; 2] = [stage.next().await, stage.next().await];
        app.until(endless, Status::Running).await;
        stage.gate.add_permits(1);
        app.app.worker.drain().await;

        let quick = app.app.jobs.check(quick, &app.root()).await.unwrap();
        let endless = app.app.jobs.check(endless, &app.root()).await.unwrap();
        assert_eq!(quick.status, Status::Completed);
        assert_eq!(
            (endless.status, endless.attempt),
            (Status::Queued, 0),
            "given back without costing an attempt"
        );
        assert!(app.app.store.processes().await.unwrap().is_empty());
        assert!(!app.app.worker.is_up());
    }
}
