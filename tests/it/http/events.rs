//! A job's log by HTTP: pages, long polls, event streams, text; and the queues.

use std::time::Duration;

use codeyard::model::{JobId, Status};
use serde_json::{Value, json};

use crate::support::{SignedIn, TestApp};

async fn submit(app: &TestApp, user: &SignedIn, script: Value) -> JobId {
    let body = json!({"project_name": "p", "goal": "g", "parameters": script});
    let answer = app.post("/api/build/", body).bearer(&user.access).await.expect(202);
    answer["task_id"].as_str().unwrap().parse().unwrap()
}

fn numbers(page: &Value) -> Vec<i64> {
    page["events"].as_array().unwrap().iter().map(|frame| frame["seq"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_log_fit_together_without_holes() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let job = submit(&app, &ann, json!({"play": "chat", "times": 10})).await;
        app.until(job, Status::Completed).await;
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let path = format!("/api/v1/jobs/{job}/events?after={after}&limit=5");
            let page = app.get(&path).bearer(&ann.access).await.expect(200);
            seen.extend(numbers(&page));
            after = page["next_after"].as_i64().unwrap();
            assert_eq!(page["ended"], true);
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(seen, (1..=23).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_waits_for_news_and_not_for_an_ended_job() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let job = submit(&app, &ann, json!({"play": "gate"})).await;
        stage.next().await;
        app.until_event(job, "started").await;
        let path = format!("/api/v1/jobs/{job}/events?after=2");
        let poll = tokio::spawn(app.get(&path).bearer(&ann.access).header("prefer", "wait=50").into_future());
        stage.gate.add_permits(1);
        let page = poll.await.unwrap().expect(200);
        assert_eq!(page["events"][0]["type"], "completion");
        assert_eq!(page["events"][0]["results"]["played"], "gate");

        let path = format!("/api/v1/jobs/{job}/events?after=3");
        let ended = app.get(&path).bearer(&ann.access).header("prefer", "wait=50").await.expect(200);
        assert_eq!((numbers(&ended), &ended["ended"]), (Vec::new(), &json!(true)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_ends_with_its_job_and_goes_on_from_the_last_id() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let job = submit(&app, &ann, json!({"play": "chat", "times": 2})).await;
        let ask = || {
            app.get(&format!("/api/v1/jobs/{job}/events"))
                .bearer(&ann.access)
                .header("accept", "text/event-stream")
        };
        let stream = ask().await;
        assert!(stream.header("content-type").starts_with("text/event-stream"));
        let text = stream.text();
        let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!(ids, ["1", "2", "3", "4", "5", "6", "7"]);
        assert!(text.contains("event: completion"), "{text}");

        let rest = ask().header("last-event-id", "5").await.text();
        let ids: Vec<_> = rest.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!(ids, ["6", "7"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_lines_of_text_and_follow_the_job_when_asked() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let job = submit(&app, &ann, json!({"play": "chat", "times": 3})).await;
        let followed = app.get(&format!("/api/v1/jobs/{job}/logs?follow=true")).bearer(&ann.access).await;
        assert!(followed.header("content-type").starts_with("text/plain"));
        let lines: Vec<_> =
            followed.text().lines().map(|line| line.split_once("info  ").unwrap().1.to_owned()).collect();
        assert_eq!(lines, ["line 0", "line 1", "line 2"]);
        app.until(job, Status::Completed).await;
        let read = app.get(&format!("/api/v1/jobs/{job}/logs")).bearer(&ann.access).await;
        assert_eq!(read.text(), followed.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_every_kind_are_listed_filtered_retried_and_cancelled() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let failed = submit(&app, &ann, json!({"play": "fail_for_good"})).await;
        app.until(failed, Status::Failed).await;
        let asked = json!({"code": "x = 1\n", "language": "python"});
        let analysis = app.post("/api/analysis/", asked).bearer(&ann.access).await.expect(202);
        app.until(analysis["job_id"].as_str().unwrap().parse().unwrap(), Status::Completed).await;

        let list = async |query: &str| {
            app.get(&format!("/api/v1/jobs?{query}")).bearer(&ann.access).await.expect(200)
        };
        assert_eq!(list("").await["total"], 2);
        assert_eq!(list("kind=build").await["jobs"][0]["id"], json!(failed));
        assert_eq!(list("status=completed").await["jobs"][0]["kind"], "analysis");
        assert_eq!(list("queue=analysis&since=2020-01-01T00:00:00Z").await["total"], 1);
        assert_eq!(list("until=2020-01-01T00:00:00Z").await["total"], 0);

        let path = format!("/api/v1/jobs/{failed}");
        let seen = app.get(&path).bearer(&ann.access).await.expect(200);
        assert_eq!((&seen["error"]["code"], &seen["payload"]["goal"]), (&json!("SCRIPTED"), &json!("g")));
        let empty = json!({});
        app.post(&format!("{path}/retry"), &empty).bearer(&ann.access).await.expect(200);
        app.until(failed, Status::Failed).await;
        assert_eq!(
            app.post(&format!("{path}/cancel"), &empty).bearer(&ann.access).await.refused(409),
            "ALREADY_ENDED"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_pause_queues_and_nobody_else() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let (ann, admin) = (app.sign_up("ann@example.com").await, app.admin().await);
        let empty = json!({});
        assert_eq!(
            app.post("/api/v1/queues/builds/pause", &empty).bearer(&ann.access).await.refused(403),
            "FORBIDDEN"
        );
        assert_eq!(
            app.post("/api/v1/queues/nope/pause", &empty).bearer(&admin.access).await.refused(404),
            "NOT_FOUND"
        );
        let paused = app.post("/api/v1/queues/builds/pause", &empty).bearer(&admin.access).await.expect(200);
        assert_eq!(paused["paused"], true);
        let job = submit(&app, &ann, json!({})).await;
        app.advance(Duration::from_secs(1));
        let queues = app.get("/api/v1/queues").bearer(&admin.access).await.expect(200);
        let builds =
            queues.as_array().unwrap().iter().find(|queue| queue["name"] == "builds").unwrap().clone();
        assert_eq!((&builds["queued"], &builds["paused"]), (&json!(1), &json!(true)));
        app.post("/api/v1/queues/builds/resume", &empty).bearer(&admin.access).await.expect(200);
        assert_eq!(stage.next().await, job);
        app.until(job, Status::Completed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_tell_of_queues_and_slots() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let job = submit(&app, &ann, json!({"play": "gate"})).await;
        stage.next().await;
        app.until(job, Status::Running).await;
        let status = app.get("/api/health/status").await.expect(200);
        let builds =
            status["slots"].as_array().unwrap().iter().find(|slots| slots["queue"] == "builds").unwrap();
        assert_eq!((&builds["used"], &builds["all"]), (&json!(1), &json!(4)));
        let metrics = app.get("/metrics").await.text();
        for line in [
            r#"codeyard_queue_jobs{queue="builds",state="running"} 1"#,
            r#"codeyard_slots{queue="builds",state="used"} 1"#,
            "codeyard_sockets_open 0",
        ] {
            assert!(metrics.contains(line), "{line} is not in\n{metrics}");
        }
        stage.gate.add_permits(1);
        app.until(job, Status::Completed).await;
        let metrics = app.get("/metrics").await.text();
        assert!(
            metrics.contains(r#"codeyard_job_duration_seconds_count{kind="build",outcome="completed"}"#),
            "{metrics}"
        );
    }
}
