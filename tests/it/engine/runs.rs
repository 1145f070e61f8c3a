//! One run: how it ends, and what the log says of it.

use std::time::Duration;

use codeyard::jobs::{NewRequest, Policy};
use codeyard::model::Status;
use serde_json::json;

use crate::support::TestApp;
use crate::support::stage::{SCRIPT, payload_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_and_its_log_tells_it_in_order() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "chat", "times": 3})).await;
        let done = app.until(job, Status::Completed).await;

        assert_eq!((done.progress, done.attempt, done.step.as_deref()), (100, 1, Some("step 2")));
        let names = app.event_names(job).await;
        assert_eq!(
            names,
            ["queued", "started", "progress", "log", "progress", "log", "progress", "log", "completed"]
        );
        let log = app.log(job).await;
        let percents: Vec<_> = log.iter().map(|event| event.progress).collect();
        assert!(percents.is_sorted(), "{percents:?}");
        let result = app.app.store.result(job).await.unwrap().unwrap();
        assert!(result.contains(r#""played":"chat""#), "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_repeated_after_a_pause_until_the_attempts_are_used_up() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "fail"})).await;
        for _ in 0..3 {
            assert_eq!(stage.next().await, job);
            app.until_event(job, "retrying").await;
            app.advance(Duration::from_secs(60));
        }
        let failed = app.until(job, Status::Failed).await;

        assert_eq!((failed.attempt, failed.error_code.as_deref()), (3, Some("SCRIPTED")));
        let names = app.event_names(job).await;
        assert_eq!(names, ["queued", "started", "retrying", "started", "retrying", "started", "failed"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_keeps_beside_its_checkpoint_grows_from_attempt_to_attempt_and_goes_when_it_is_over() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "attach"})).await;
        app.until_event(job, "retrying").await;
        app.advance(Duration::from_secs(10));
        app.until(job, Status::Completed).await;

        let of = async |names: &str| app.app.store.attachments(job, names).await.unwrap();
        let notes: Vec<u8> = of("notes").await.into_iter().flat_map(|piece| piece.bytes).collect();
        assert_eq!(String::from_utf8(notes).unwrap(), "1 2 ");
        assert_eq!(of("other").await[1].bytes, [0, 255]);
        assert_eq!((of("").await.len(), of("not").await.len(), of("x").await.len()), (4, 2, 0));
        let once = ["started", "progress", "log", "log"];
        let names = [&["queued"], &once[..], &["retrying"], &once[..], &["completed"]].concat();
        assert_eq!(app.event_names(job).await, names, "what is held back is told all the same, in order");

        app.app.store.prune_small(app.app.clock.now(), app.app.clock.now()).await.unwrap();
        assert!(of("").await.is_empty(), "who has completed goes on from nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_for_good_is_not_repeated_and_a_passing_one_is_forgotten() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let job = app.play(&json!({"play": "fail_for_good"})).await;
        assert_eq!(app.until(job, Status::Failed).await.attempt, 1);

        let job = app.play(&json!({"play": "fail_once"})).await;
        app.until_event(job, "retrying").await;
        app.advance(Duration::from_secs(10));
        let done = app.until(job, Status::Completed).await;
        assert_eq!((done.attempt, done.error_code), (2, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_its_attempt_and_nothing_else() {
    for (app, stage) in TestApp::on_each_stage(&[("queues.builds.slots", "1")]).await {
        let job = app.play(&json!({"play": "panic"})).await;
        stage.next().await;
        let retrying = app.until_event(job, "retrying").await;
        assert!(retrying.data.unwrap().contains("PANICKED"));
        // Its slot is free again.
        let other = app.play(&json!({})).await;
        app.until(other, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_and_an_unreadable_payload_are_their_jobs_errors() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let unknown = Policy { kind: "no_such_kind", ..SCRIPT };
        let job = app.app.jobs.submit(NewRequest::new(unknown, None, payload_of(&json!({})))).await.unwrap();
        assert_eq!(app.until(job.id, Status::Failed).await.error_code.as_deref(), Some("UNKNOWN_KIND"));

        let analysis = app.app.registry.policy("analysis").unwrap();
        let job = app.app.jobs.submit(NewRequest::new(analysis, None, payload_of(&json!({})))).await.unwrap();
        assert_eq!(app.until(job.id, Status::Failed).await.error_code.as_deref(), Some("PAYLOAD_UNREADABLE"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_takes_too_long_is_asked_to_stop_and_one_that_does_not_listen_is_dropped() {
    let settings = [("engine.soft_timeout_seconds", "1"), ("engine.hard_timeout_seconds", "2")];
    for (app, _) in TestApp::on_each_stage(&settings).await {
        let listens = app.play(&json!({"play": "until_cancelled"})).await;
        let deaf = app.play(&json!({"play": "ignore_stop"})).await;
        for job in [listens, deaf] {
            let retrying = app.until_event(job, "retrying").await;
            assert!(retrying.data.unwrap().contains("TIMED_OUT"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chatty_job_is_cut_short_in_its_log_and_in_nothing_else() {
    for (app, _) in TestApp::on_each_stage(&[("engine.max_events_per_job", "10")]).await {
        let job = app.play(&json!({"play": "chat", "times": 50})).await;
        let done = app.until(job, Status::Completed).await;
        let log = app.log(job).await;
        assert!(log.len() <= 11, "{}", log.len());
        assert!(log.iter().any(|event| event.message.as_deref().is_some_and(|m| m.contains("left out"))));
        assert_eq!((done.progress, done.step.as_deref()), (100, Some("step 49")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_step_aside_for_a_word_for_a_time_and_for_its_children() {
    for (app, _) in TestApp::on_each_stage(&[("queues.builds.slots", "1")]).await {
        let job = app.play(&json!({"play": "wait"})).await;
        app.until(job, Status::Waiting).await;
        // It holds no slot: the only one is there for others.
        let other = app.play(&json!({})).await;
        app.until(other, Status::Completed).await;
        app.app.jobs.resume(job, None, &app.root()).await.unwrap();
        let done = app.until(job, Status::Completed).await;
        assert_eq!(done.attempt, 1, "stepping aside costs no attempt");
        assert_eq!(
            app.event_names(job).await,
            ["queued", "started", "waiting", "resumed", "started", "completed"]
        );

        let napper = app.play(&json!({"play": "nap"})).await;
        app.until(napper, Status::Waiting).await;
        app.app.clock.advance(Duration::from_secs(3601));
        app.app.jobs.rescue(false, true, app.app.clock.now()).await.unwrap();
        app.until(napper, Status::Completed).await;

        let parent = app.play(&json!({"play": "children", "each": {"play": "finish"}})).await;
        app.until(parent, Status::Completed).await;
        let children = codeyard::store::Filter { parent: Some(parent), ..Default::default() };
        assert_eq!(app.app.store.count_jobs(&children).await.unwrap(), 3);
    }
}
