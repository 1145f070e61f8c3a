//! What is old goes, and whoever asks for it is told so.

use std::time::Duration;

use codeyard::kinds::{Cleanup, HealthCheck, request};
use codeyard::model::Status;
use codeyard::store::Filter;
use serde_json::json;

use crate::support::TestApp;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn clean_up(app: &TestApp) -> serde_json::Value {
    let job = app.app.jobs.submit(request(&Cleanup {}, None).unwrap()).await.unwrap();
    app.until(job.id, Status::Completed).await;
    serde_json::from_str(&app.app.store.result(job.id).await.unwrap().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_first_then_the_whole_job_and_what_lives_stays() {
    let settings = [("retention.batch", "2"), ("retention.events_days", "2"), ("retention.jobs_days", "10")];
    for (app, stage) in TestApp::on_each_stage(&settings).await {
        let mut old = Vec::new();
        for _ in 0..5 {
            let job = app.play(&json!({})).await;
            app.until(job, Status::Completed).await;
            stage.next().await;
            old.push(job);
        }
        let alive = app.play(&json!({"play": "gate"})).await;
        stage.next().await;

        app.app.clock.advance(3 * DAY);
        let pruned = clean_up(&app).await;
        assert!(pruned["events"].as_u64().unwrap() >= 10, "{pruned}");
        assert_eq!(pruned["jobs"], 0);
        for job in &old {
            let left = app.app.store.events_after(*job, 0, 10).await.unwrap();
            assert_eq!(left.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["completed"]);
            let bounds = app.app.store.log_bounds(*job).await.unwrap().unwrap();
            assert_eq!((bounds.first_seq, bounds.last_seq), (3, 3));
        }
        assert_eq!(app.event_names(alive).await, ["queued", "started"]);

        app.app.clock.advance(8 * DAY);
        let pruned = clean_up(&app).await;
        assert!(pruned["jobs"].as_u64().unwrap() >= 5, "{pruned}");
        for job in old {
            assert!(app.app.store.find_job(job, None).await.unwrap().is_none());
            assert!(app.app.store.events_after(job, 0, 10).await.unwrap().is_empty());
        }
        stage.gate.add_permits(1);
        app.until(alive, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_submits_itself_once_for_each_time_slot() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        // The server submitted both at its start; the same slots again change nothing.
        let maintenance = |kind: &str| Filter { kind: Some(kind.to_owned()), ..Filter::default() };
        let check = app.app.jobs.submit(request(&HealthCheck {}, None).unwrap()).await.unwrap();
        app.until(check.id, Status::Completed).await;
        assert_eq!(app.app.store.count_jobs(&maintenance("cleanup")).await.unwrap(), 1);
        assert_eq!(app.app.store.count_jobs(&maintenance("health_check")).await.unwrap(), 2);
    }
}
