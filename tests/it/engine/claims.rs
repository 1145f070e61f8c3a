//! Who runs what next: order, limits, pauses, times.

use std::time::Duration;

use codeyard::jobs::NewRequest;
use codeyard::model::{JobId, Priority, Status, TurnKey, UserId};
use codeyard::store::JobPage;
use serde_json::json;

use crate::support::TestApp;
use crate::support::stage::{Stage, scripted};

const ALL: JobPage = JobPage { limit: 100, offset: 0, after: None };

async fn submit(app: &TestApp, request: NewRequest) -> JobId {
    app.app.jobs.submit(request).await.unwrap().id
}

/// Runs what waits in `builds`, one after the other, and says in which order.
async fn order(app: &TestApp, stage: &Stage, count: usize) -> Vec<JobId> {
    app.app.jobs.set_paused("builds", false).await.unwrap();
    let mut order = Vec::new();
    for _ in 0..count {
        order.push(stage.next().await);
        stage.gate.add_permits(1);
    }
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn higher_priority_goes_first_and_waiting_makes_up_for_lower() {
    let settings = [("queues.builds.slots", "1"), ("engine.ageing_seconds", "60")];
    for (app, stage) in TestApp::on_each_stage(&settings).await {
        app.app.jobs.set_paused("builds", true).await.unwrap();
        let with = |priority| NewRequest {
            priority: Priority::new(priority).unwrap(),
            ..scripted(None, &json!({"play": "gate"}))
        };
        let low_and_old = submit(&app, with(-1)).await;
        app.advance(Duration::from_secs(130));
        let plain = submit(&app, with(0)).await;
        let low = submit(&app, with(-1)).await;
        let high = submit(&app, with(3)).await;
        assert_eq!(order(&app, &stage, 4).await, [high, low_and_old, plain, low]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_queue_gives_nothing_and_goes_on_when_resumed() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        app.app.jobs.set_paused("builds", true).await.unwrap();
        let job = app.play(&json!({"play": "gate"})).await;
        // A job of another queue runs meanwhile: the claimer has had its chance.
        let analysis = app.app.registry.policy("health_check").unwrap();
        let other = NewRequest::new(analysis, None, serde_json::value::to_raw_value(&json!({})).unwrap());
        let other = submit(&app, other).await;
        app.until(other, Status::Completed).await;
        assert_eq!(app.app.jobs.check(job, &app.root()).await.unwrap().status, Status::Queued);
        assert_eq!(order(&app, &stage, 1).await, [job]);
        app.until(job, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_does_not_start_before_its_time() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let run_at = Some(app.app.clock.now() + Duration::from_secs(600));
        let later = submit(&app, NewRequest { run_at, ..scripted(None, &json!({})) }).await;
        let now = app.play(&json!({})).await;
        app.until(now, Status::Completed).await;
        assert_eq!(stage.next().await, now);
        assert_eq!(app.app.jobs.check(later, &app.root()).await.unwrap().status, Status::Queued);
        app.advance(Duration::from_secs(601));
        app.until(later, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_user_has_no_more_running_than_the_queue_allows_one_user() {
    let settings = [("queues.builds.slots", "4"), ("queues.builds.per_user", "1")];
    for (app, stage) in TestApp::on_each_stage(&settings).await {
        let (greedy, modest) = (UserId(app.app.clock.new_id()), UserId(app.app.clock.new_id()));
        let gate = json!({"play": "gate"});
        let first = submit(&app, scripted(Some(greedy), &gate)).await;
        let second = submit(&app, scripted(Some(greedy), &gate)).await;
        assert_eq!(stage.next().await, first);
        let other = submit(&app, scripted(Some(modest), &gate)).await;
        assert_eq!(stage.next().await, other, "the second of the first user waits its turn");
        assert_eq!(app.app.jobs.check(second, &app.root()).await.unwrap().status, Status::Queued);
        stage.gate.add_permits(3);
        assert_eq!(stage.next().await, second);
        app.until(second, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_runs_no_more_at_once_than_its_concurrency_over_all_processes() {
    let settings = [("queues.builds.slots", "4"), ("queues.builds.concurrency", "2")];
    for (app, stage) in TestApp::on_each_stage(&settings).await {
        for _ in 0..5 {
            app.play(&json!({"play": "gate"})).await;
        }
        for _ in 0..5 {
            stage.next().await;
            let depth = app.app.store.queue_depths(app.app.clock.now()).await.unwrap();
            let running = depth.iter().find(|depth| depth.queue == "builds").unwrap().running;
            assert!(running <= 2, "{running} run");
            stage.gate.add_permits(1);
        }
        for job in app
            .app
            .store
            .list_jobs(&codeyard::store::Filter { kind: Some("build".to_owned()), ..Default::default() }, ALL)
            .await
            .unwrap()
        {
            app.until(job.id, Status::Completed).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_key_start_no_more_often_than_its_rate() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let turn = TurnKey { name: "repository".to_owned(), concurrency: 5, per_minute: Some(1) };
        let paced = || NewRequest { turn: Some(turn.clone()), ..scripted(None, &json!({})) };
        let first = submit(&app, paced()).await;
        let second = submit(&app, paced()).await;
        app.until(first, Status::Completed).await;
        assert_eq!(stage.next().await, first);
        let free = app.play(&json!({})).await;
        assert_eq!(stage.next().await, free, "others go on");
        assert_eq!(app.app.jobs.check(second, &app.root()).await.unwrap().status, Status::Queued);
        app.advance(Duration::from_secs(61));
        app.until(second, Status::Completed).await;
    }
}
