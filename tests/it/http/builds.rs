//! Builds at the door: what is refused, what is answered, who sees what.

use codeyard::model::{JobId, Status};
use serde_json::{Value, json};

use crate::support::TestApp;

fn build(play: &str) -> Value {
    json!({"project_name": "word-count", "goal": "count words", "parameters": {"play": play}})
}

fn id_of(answer: &Value) -> JobId {
    answer["task_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_taken_on_runs_and_shows_what_came_of_it() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let accepted = app.post("/api/build/", build("finish")).bearer(&ann.access).await.expect(202);
        assert_eq!((&accepted["status"], &accepted["job_id"]), (&json!("queued"), &accepted["task_id"]));
        let id = id_of(&accepted);
        app.until(id, Status::Completed).await;

        for path in [format!("/api/build/{id}"), format!("/api/build/{id}/")] {
            let seen = app.get(&path).bearer(&ann.access).await.expect(200);
            assert_eq!((&seen["status"], &seen["progress"]), (&json!("completed"), &json!(100)));
            assert_eq!((&seen["goal"], &seen["project_name"]), (&json!("count words"), &json!("word-count")));
            assert_eq!((&seen["results"]["played"], &seen["artifacts"]), (&json!("finish"), &json!([])));
        }
        let listed = app.get("/api/build?limit=5").bearer(&ann.access).await.expect(200);
        assert_eq!((&listed["total"], &listed["builds"][0]["task_id"]), (&json!(1), &json!(id)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_field_by_field() {
    let app = TestApp::on_each_stage(&[]).await.remove(0).0;
    let ann = app.sign_up("ann@example.com").await;
    let wrong = json!({"project_name": "../etc", "goal": "  "});
    let refused = app.post("/api/build/", wrong).bearer(&ann.access).await.expect(422);
    let fields: Vec<_> =
        refused["error"]["details"]["fields"].as_array().unwrap().iter().map(|f| &f["field"]).collect();
    assert_eq!(fields, [&json!("project_name"), &json!("goal")]);

    let unknown = json!({"project_name": "a", "goal": "b", "golas": 1});
    let refused = app.post("/api/build/", unknown).bearer(&ann.access).await.expect(422);
    assert_eq!(refused["error"]["details"]["fields"][0]["field"], "golas");
    assert_eq!(app.post("/api/build/", build("finish")).await.refused(401), "UNAUTHENTICATED");

    // Markup and SQL are plain data.
    let goal = "<script>alert(1)</script>'; drop table jobs; --";
    let hostile = json!({"project_name": "a", "goal": goal});
    let id = id_of(&app.post("/api/build/", hostile).bearer(&ann.access).await.expect(202));
    let seen = app.get(&format!("/api/build/{id}")).bearer(&ann.access).await.expect(200);
    assert_eq!(seen["goal"], goal);
    app.until(id, Status::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_only_its_own_and_an_administrator_all() {
    for (app, stage) in TestApp::on_each_stage(&[]).await {
        let (ann, bob) = (app.sign_up("ann@example.com").await, app.sign_up("bob@example.com").await);
        let admin = app.admin().await;
        let id =
            id_of(&app.post("/api/build/", build("until_cancelled")).bearer(&ann.access).await.expect(202));
        stage.next().await;
        let path = format!("/api/build/{id}");
        for (method, path) in [
            ("GET", path.clone()),
            ("DELETE", path.clone()),
            ("GET", format!("/api/v1/jobs/{id}")),
            ("POST", format!("/api/v1/jobs/{id}/cancel")),
            ("POST", format!("/api/v1/jobs/{id}/retry")),
            ("GET", format!("/api/v1/jobs/{id}/events")),
            ("GET", format!("/api/v1/jobs/{id}/logs")),
            ("DELETE", format!("/api/v1/jobs/{id}")),
        ] {
            let refused = app.ask(method.parse().unwrap(), &path).bearer(&bob.access).await.refused(404);
            assert_eq!(refused, "NOT_FOUND", "{method} {path}");
        }
        assert_eq!(app.get("/api/build/").bearer(&bob.access).await.expect(200)["total"], 0);
        assert_eq!(app.get("/api/build/").bearer(&admin.access).await.expect(200)["total"], 1);

        app.delete(&path).bearer(&admin.access).await.expect(200);
        app.until(id, Status::Cancelled).await;
        assert_eq!(app.delete(&path).bearer(&ann.access).await.refused(409), "ALREADY_ENDED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_gets_the_same_build() {
    for (app, _) in TestApp::on_each_stage(&[]).await {
        let ann = app.sign_up("ann@example.com").await;
        let ask = |body| app.post("/api/build/", body).bearer(&ann.access).header("idempotency-key", "k1");
        let first = ask(build("finish")).await.expect(202);
        app.until(id_of(&first), Status::Completed).await;
        let second = ask(build("finish")).await.expect(202);
        assert_eq!((&first["task_id"], &second["status"]), (&second["task_id"], &json!("completed")));
        assert_eq!(ask(build("fail")).await.refused(422), "VALIDATION_FAILED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_build_in_a_minute_is_one_too_many() {
    let app = TestApp::on_each_stage(&[]).await.remove(0).0;
    let ann = app.sign_up("ann@example.com").await;
    for _ in 0..10 {
        app.post("/api/build/", build("finish")).bearer(&ann.access).await.expect(202);
    }
    let answer = app.post("/api/build/", build("finish")).bearer(&ann.access).await;
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert_eq!(answer.refused(429), "RATE_LIMITED");
    app.advance(std::time::Duration::from_secs(61));
    app.post("/api/build/", build("finish")).bearer(&ann.access).await.expect(202);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_where_the_last_one_ended_while_new_builds_come_in() {
    for (app, _) in TestApp::on_each_stage(&[("limits.builds_per_minute", "0")]).await {
        let ann = app.sign_up("ann@example.com").await;
        let submit = async || {
            let answer = app.post("/api/build/", build("finish")).bearer(&ann.access).await.expect(202);
            answer["task_id"].as_str().unwrap().to_owned()
        };
        let mut all = Vec::new();
        for _ in 0..5 {
            all.insert(0, submit().await);
        }
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = app.get(&format!("/api/build/?limit=2{cursor}")).bearer(&ann.access).await.expect(200);
            let ids =
                page["builds"].as_array().unwrap().iter().map(|b| b["task_id"].as_str().unwrap().to_owned());
            seen.extend(ids);
            submit().await;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, all);
        for wrong in ["limit=0", "limit=201", "limit=x", "offset=-1", "cursor=%21", "status=done", "lmit=3"] {
            let answer = app.get(&format!("/api/build/?{wrong}")).bearer(&ann.access).await;
            assert_eq!(answer.refused(422), "VALIDATION_FAILED", "{wrong}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_found_by_their_project_and_tags() {
    for (app, _) in TestApp::on_each_stage(&[("limits.builds_per_minute", "0")]).await {
        let (ann, bob) = (app.sign_up("ann@example.com").await, app.sign_up("bob@example.com").await);
        let submit = async |project: &str, tags: &[&str]| {
            let asked = json!({"project_name": project, "goal": "count", "tags": tags});
            id_of(&app.post("/api/build/", asked).bearer(&ann.access).await.expect(202))
        };
        let (first, second) =
            (submit("alpha", &["nightly", "team:core", "nightly"]).await, submit("beta", &["nightly"]).await);
        let third = submit("alpha", &[]).await;
        let code =
            json!({"code": "x = 1\n", "language": "python", "project": "alpha", "tags": ["team:core"]});
        let fourth = id_of(&app.post("/api/analysis/", code).bearer(&ann.access).await.expect(202));

        let found = async |path: &str, list: &str, token: &str| {
            let page = app.get(path).bearer(token).await.expect(200);
            let ids: Vec<JobId> = page[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|job| job.get("task_id").unwrap_or(&job["id"]).as_str().unwrap().parse().unwrap())
                .collect();
            assert_eq!(page["total"], ids.len());
            ids
        };
        for (query, jobs) in [
            ("tag=nightly", vec![second, first]),
            ("tag=team:core", vec![fourth, first]),
            ("tag=nightly&project=alpha", vec![first]),
            ("project=alpha", vec![fourth, third, first]),
            ("project=alpha&kind=build", vec![third, first]),
            ("tag=night", vec![]),
        ] {
            assert_eq!(found(&format!("/api/v1/jobs?{query}"), "jobs", &ann.access).await, jobs, "{query}");
        }
        assert_eq!(found("/api/build?tag=nightly", "builds", &ann.access).await, [second, first]);
        assert_eq!(found("/api/analysis?project=alpha", "analyses", &ann.access).await, [fourth]);
        assert!(found("/api/v1/jobs?tag=nightly", "jobs", &bob.access).await.is_empty());

        let seen = app.get(&format!("/api/v1/jobs/{first}")).bearer(&ann.access).await.expect(200);
        assert_eq!((&seen["project"], &seen["tags"]), (&json!("alpha"), &json!(["nightly", "team:core"])));
        for job in [first, second, third, fourth] {
            app.until(job, Status::Completed).await;
        }
        app.delete(&format!("/api/v1/jobs/{first}")).bearer(&ann.access).await.expect(204);
        assert_eq!(found("/api/v1/jobs?tag=nightly", "jobs", &ann.access).await, [second]);

        let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
        for (field, wrong) in [
            ("tags", json!({"tags": ["a b"]})),
            ("tags", json!({"tags": many})),
            ("project", json!({"project": "../x"})),
            ("name", json!({"name": "x".repeat(201)})),
        ] {
            let mut asked = json!({"code": "x = 1\n", "language": "python"});
            asked.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            let refused = app.post("/api/analysis/", asked).bearer(&ann.access).await.expect(422);
            assert_eq!(refused["error"]["details"]["fields"][0]["field"], field);
        }
    }
}
