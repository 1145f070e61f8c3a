//! What people do to jobs: cancel, retry, delete, submit twice.

use std::time::Duration;

use codeyard::error::Error;
use codeyard::jobs::NewRequest;
use codeyard::model::{Idempotency, Status, UserId};
use codeyard::store::Filter;
use serde_json::json;

use crate::support::TestApp;
use crate::support::stage::scripted;

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_job_is_cancelled_on_the_spot_and_cancelling_an_ended_one_is_a_conflict() {
    for (app, _) in TestApp::on_each_stage(&[("engine.run_jobs", "false")]).await {
        let job = app.play(&json!({})).await;
        let seen = app.app.jobs.cancel(job, &app.root()).await.unwrap();
        assert_eq!(seen.status, Status::Cancelled);
        assert_eq!(app.event_names(job).await, ["queued", "cancelled"]);
        let again = app.app.jobs.cancel(job, &app.root()).await;
        assert!(matches!(again, Err(Error::Conflict { code: "ALREADY_ENDED", .. })), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_is_cancelled_only_once_its_worker_let_go() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "until_cancelled"})).await;
        stage.next().await;
        app.until(job, Status::Running).await;

        let first = app.app.jobs.cancel(job, &app.root()).await.unwrap();
        assert!(first.cancel_requested_at.is_some());
        app.until(job, Status::Cancelled).await;
        assert_eq!(app.event_names(job).await, ["queued", "started", "cancel_requested", "cancelled"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_listen_is_dropped_after_its_grace_and_asking_twice_is_asking_once() {
    for (app, stage) in TestApp::on_each_stage(&[("engine.cancel_grace_seconds", "1")]).await {
        let job = app.play(&json!({"play": "ignore_stop"})).await;
        stage.next().await;
        app.until(job, Status::Running).await;
        for _ in 0..2 {
            assert_eq!(app.app.jobs.cancel(job, &app.root()).await.unwrap().status, Status::Running);
        }
        app.until(job, Status::Cancelled).await;
        assert_eq!(app.event_names(job).await, ["queued", "started", "cancel_requested", "cancelled"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_parent_cancels_its_children() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let parent = app.play(&json!({"play": "children", "each": {"play": "until_cancelled"}})).await;
        for _ in 0..4 {
            stage.next().await;
        }
        app.until(parent, Status::Waiting).await;
        app.app.jobs.cancel(parent, &app.root()).await.unwrap();
        app.until(parent, Status::Cancelled).await;
        let children = Filter { parent: Some(parent), ..Filter::default() };
        let page = codeyard::store::JobPage { limit: 10, offset: 0, after: None };
        for child in app.app.store.list_jobs(&children, page).await.unwrap() {
            app.until(child.id, Status::Cancelled).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_job_can_be_retried_with_all_its_attempts_and_then_deleted_with_all_its_rows() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "fail_for_good"})).await;
        app.until(job, Status::Failed).await;
        let retried = app.app.jobs.retry(job, &app.root()).await.unwrap();
        assert_eq!((retried.status.is_final(), retried.error_code), (false, None));
        app.until(job, Status::Failed).await;
        let names = app.event_names(job).await;
        assert_eq!(names, ["queued", "started", "failed", "queued", "started", "failed"]);

        let done = app.play(&json!({})).await;
        app.until(done, Status::Completed).await;
        let refused = app.app.jobs.retry(done, &app.root()).await;
        assert!(matches!(refused, Err(Error::Conflict { code: "NOT_RETRYABLE", .. })), "{refused:?}");

        app.app.jobs.delete(job, &app.root()).await.unwrap();
        assert!(matches!(app.app.jobs.find(job, &app.root()).await, Err(Error::NotFound("job"))));
        assert!(app.app.store.events_after(job, 0, 10).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_job_cannot_be_deleted() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "gate"})).await;
        stage.next().await;
        let refused = app.app.jobs.delete(job, &app.root()).await;
        assert!(matches!(refused, Err(Error::Conflict { code: "NOT_ENDED", .. })), "{refused:?}");
        stage.gate.add_permits(1);
        app.until(job, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_submits_with_one_key_all_get_the_same_job() {
    for (app, _) in TestApp::on_each_stage(&[("engine.run_jobs", "false")]).await {
        let owner = Some(UserId(app.app.clock.new_id()));
        let keyed = |fingerprint: &str| NewRequest {
            idempotency: Some(Idempotency { key: "k".to_owned(), fingerprint: fingerprint.to_owned() }),
            ..scripted(owner, &json!({}))
        };
        let submits = (0..40).map(|_| app.app.jobs.submit(keyed("same")));
        let jobs = futures::future::try_join_all(submits).await.unwrap();
        assert!(jobs.iter().all(|job| job.id == jobs[0].id));
        assert_eq!(app.app.store.queued_in("builds").await.unwrap(), 1);

        let other = app.app.jobs.submit(keyed("another")).await;
        assert!(matches!(other, Err(Error::Invalid(_))), "{other:?}");
        let stranger = NewRequest { owner: None, ..keyed("another") };
        assert_ne!(app.app.jobs.submit(stranger).await.unwrap().id, jobs[0].id, "keys are per owner");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_job_is_there_once_while_it_lives() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let unique =
            || NewRequest { unique_key: Some("one".to_owned()), ..scripted(None, &json!({"play": "gate"})) };
        let first = app.app.jobs.submit(unique()).await.unwrap();
        stage.next().await;
        assert_eq!(app.app.jobs.submit(unique()).await.unwrap().id, first.id);
        stage.gate.add_permits(2);
        app.until(first.id, Status::Completed).await;
        let second = app.app.jobs.submit(unique()).await.unwrap();
        assert_ne!(second.id, first.id);
        app.until(second.id, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_turns_submits_away_and_writes_nothing() {
    let settings = [("engine.run_jobs", "false"), ("engine.max_queued", "5")];
    for (app, _) in TestApp::on_each_stage(&settings).await {
        for _ in 0..5 {
            app.play(&json!({})).await;
        }
        let refused = app.app.jobs.submit(scripted(None, &json!({}))).await;
        assert!(matches!(refused, Err(Error::Unavailable { code: "QUEUE_FULL", .. })), "{refused:?}");
        assert_eq!(app.app.store.count_jobs(&Filter::default()).await.unwrap(), 5);

        let page = codeyard::store::JobPage { limit: 1, offset: 0, after: None };
        let one = app.app.store.list_jobs(&Filter::default(), page).await.unwrap()[0].id;
        app.app.jobs.cancel(one, &app.root()).await.unwrap();
        app.advance(Duration::from_secs(2));
        app.play(&json!({})).await;
    }
}
