//! Builds with a model through the front door: submitted, watched, packed.

use std::io::{Cursor, Read};
use std::time::Duration;

use codeyard::model::{JobId, Status};
use serde_json::{Value, json};

use super::flow::{RIGHT, TEST, mending};
use super::model::{Script, Scripted, Turn, call, write};
use crate::support::replay::Replay;
use crate::support::{SignedIn, TestApp};

async fn submit(app: &TestApp, who: &SignedIn, parameters: &Value) -> JobId {
    let goal = "a command line tool that counts words in files";
    let build = json!({"project_name": "word-count", "goal": goal, "parameters": parameters});
    let accepted = app.post("/api/build/", &build).bearer(&who.access).await.expect(202);
    accepted["task_id"].as_str().unwrap().parse().unwrap()
}

async fn view(app: &TestApp, who: &SignedIn, id: JobId) -> Value {
    app.get(&format!("/api/build/{id}")).bearer(&who.access).await.expect(200)
}

/// Settings under which no model is found but what a test puts in.
const ALONE: [(&str, &str); 1] = [("llm.find_ollama", "false")];

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_there_is_asked_and_what_it_made_is_packed_with_all_it_said() {
    for app in TestApp::on_each_database_with(&ALONE).await {
        let ann = app.sign_up("ann@example.com").await;
        let model = Scripted::new(mending());
        app.app.env.llm.add("scripted", model.clone());
        let id = submit(&app, &ann, &json!({"language": "python", "scaffold": false})).await;
        app.until(id, Status::Completed).await;
        let seen = view(&app, &ann, id).await;
        let results = &seen["results"];
        assert_eq!(
            (&results["provider"], &results["tests"]["verdict"]),
            (&json!("scripted"), &json!("passed")),
            "{seen}"
        );
        assert_eq!(results["ended"], json!({"reason": "tests_passed"}));
        assert_eq!(
            (&seen["cost"]["calls"], &seen["cost"]["output_tokens"]),
            (&json!(8), &json!(800)),
            "{seen}"
        );
        assert_eq!((&results["plan"]["files"][0]["path"], &results["steps"]), (&json!("wc.py"), &json!(3)));
        let file = async |path: &str| {
            app.get(&format!("/api/build/{id}/artifacts/{path}")).bearer(&ann.access).await.body
        };
        let mut archive = zip::ZipArchive::new(Cursor::new(file("project.zip").await)).unwrap();
        let mut text = String::new();
        archive.by_name("word-count/wc.py").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, RIGHT);
        let transcript = String::from_utf8(file("trajectory.jsonl").await).unwrap();
        let sorts: Vec<Value> = transcript
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone())
            .collect();
        assert_eq!((sorts.first(), sorts.last()), (Some(&json!("build")), Some(&json!("end"))));
        assert_eq!(sorts.iter().filter(|sort| **sort == "answer").count(), 8);
        assert!(String::from_utf8(file("tests.xml").await).unwrap().contains("test_nothing"));
        let progress: Vec<i32> = app.log(id).await.iter().map(|event| event.progress).collect();
        assert!(progress.is_sorted() && progress.last() == Some(&100), "{progress:?}");

        // The catalogue is still there for whoever wants it.
        let plain = submit(&app, &ann, &json!({"provider": "scaffold", "language": "python"})).await;
        app.until(plain, Status::Completed).await;
        assert_eq!(view(&app, &ann, plain).await["results"]["provider"], "scaffold");
        assert_eq!(model.asked().len(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_output_is_shown_in_part_and_kept_whole_as_a_file() {
    let app = TestApp::with(&ALONE).await;
    let ann = app.sign_up("ann@example.com").await;
    let turns = vec![
        call("run_command", json!({"command": "seq 1 100000"})),
        call("run_command", json!({"command": "echo short"})),
        Turn::Calls(vec![write("a.txt", "a")]),
    ];
    app.app.env.llm.add("scripted", Scripted::new(Script::new(&[], turns)));
    let id = submit(&app, &ann, &json!({"test_command": "true"})).await;
    app.until(id, Status::Completed).await;
    let log = app.log(id).await;
    let data = |name: &str| -> Vec<Value> {
        let named = log.iter().filter(|event| event.name == name);
        named.map(|event| serde_json::from_str(event.data.as_deref().unwrap()).unwrap()).collect()
    };
    let named: Vec<Value> = data("tool_result").iter().map(|result| result["artifact"].clone()).collect();
    let named: Vec<&str> = named.iter().filter_map(Value::as_str).collect();
    assert_eq!(named.len(), 1, "{named:?}");
    let path = format!("/api/build/{id}/artifacts/{}", named[0]);
    let kept = app.get(&path).bearer(&ann.access).await;
    let all: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert!(kept.text() == all, "{}", kept.text().len());
    let shown: String = data("command").iter().filter_map(|piece| piece["text"].as_str()).collect();
    assert_eq!(shown.matches("what follows is not shown as it comes").count(), 1);
    assert!(shown.len() < 300 << 10 && shown.starts_with("1\n2\n"), "{}", shown.len());
    let results = &view(&app, &ann, id).await["results"]["artifacts"];
    assert!(results.as_array().unwrap().iter().any(|file| file["path"] == named[0]), "{results}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_waits_shows_its_question_and_what_it_has_cost() {
    let app = TestApp::with(&ALONE).await;
    let ann = app.sign_up("ann@example.com").await;
    app.app.env.llm.add("scripted", Scripted::new(mending()));
    let id = submit(&app, &ann, &json!({"require_approval": true})).await;
    app.until(id, Status::Waiting).await;
    let seen = view(&app, &ann, id).await;
    assert_eq!(
        (&seen["approval"]["approval_id"], &seen["approval"]["state"]),
        (&json!("plan-1"), &json!("pending"))
    );
    assert_eq!(seen["cost"]["calls"], 2);
    app.post(&format!("/api/build/{id}/approve"), json!({"comment": "Go."}))
        .bearer(&ann.access)
        .await
        .expect(200);
    app.until(id, Status::Completed).await;
    let seen = view(&app, &ann, id).await;
    assert_eq!(
        (&seen["approval"]["state"], &seen["approval"]["comment"]),
        (&json!("approved"), &json!("Go."))
    );
    assert_eq!(seen["results"]["approvals"][0]["answer"]["approved"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_starts_from_files_or_from_the_catalogue_if_that_is_asked_for() {
    let app = TestApp::with(&ALONE).await;
    let ann = app.sign_up("ann@example.com").await;
    let script =
        || Script::new(&[], vec![Turn::Calls(vec![write("wc.py", RIGHT), write("test_wc.py", TEST)])]);
    for (number, (parameters, file)) in [
        (json!({"source": {"files": [{"path": "notes.txt", "content": "mine"}]}}), "notes.txt"),
        (json!({"template": "cli", "language": "python", "test_command": "true"}), "pyproject.toml"),
        (json!({"language": "python", "test_command": "true"}), "pyproject.toml"),
    ]
    .into_iter()
    .enumerate()
    {
        let (model, name) = (Scripted::new(script()), format!("scripted-{number}"));
        app.app.env.llm.add(&name, model.clone());
        let mut parameters = parameters;
        parameters["provider"] = name.into();
        let id = submit(&app, &ann, &parameters).await;
        app.until(id, Status::Completed).await;
        let first = &model.asked()[0];
        assert!(serde_json::to_string(&first.messages).unwrap().contains(file), "{file}");
        assert!(first.tools.iter().any(|tool| tool.name == "read_file"), "there is something to look at");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_model_is_refused_or_fails_where_there_is_none() {
    let app = TestApp::with(&ALONE).await;
    let ann = app.sign_up("ann@example.com").await;
    for (parameters, field) in [
        (json!({"provider": "oracle"}), "parameters.provider"),
        (json!({"provider": "scaffold", "require_approval": true}), "parameters.provider"),
        (json!({"models": {"plan": {"provider": "oracle"}}}), "parameters.models"),
        (json!({"limits": {"tokens": 0}}), "parameters.limits.tokens"),
        (json!({"limits": {"seconds": 100_000}}), "parameters.limits.seconds"),
    ] {
        let build = json!({"project_name": "x", "goal": "x", "parameters": parameters});
        let refused = app.post("/api/build/", &build).bearer(&ann.access).await.expect(422);
        assert_eq!(refused["error"]["details"]["fields"][0]["field"], field, "{refused}");
    }
    let id = submit(&app, &ann, &json!({"require_approval": true})).await;
    assert_eq!(app.until(id, Status::Failed).await.error_code.as_deref(), Some("NO_MODEL_CONFIGURED"));
    let id = submit(&app, &ann, &json!({"provider": "openai"})).await;
    assert_eq!(app.until(id, Status::Failed).await.error_code.as_deref(), Some("LLM_NOT_CONFIGURED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_makes_no_call_that_could_cost_more_than_it_may() {
    let replay = Replay::start().await;
    let settings = [
        ("llm.find_ollama", "false"),
        ("llm.providers.openai.base_url", replay.url()),
        ("llm.providers.openai.key", "key"),
    ];
    let app = TestApp::with(&settings).await;
    let ann = app.sign_up("ann@example.com").await;
    let asked = |model: &str| json!({"provider": "openai", "model": model, "limits": {"cost_micros": 1}});
    let id = submit(&app, &ann, &asked("gpt-5")).await;
    assert_eq!(app.until(id, Status::Failed).await.error_code.as_deref(), Some("LIMIT_MET"));
    let id = submit(&app, &ann, &asked("of-unknown-price")).await;
    assert_eq!(app.until(id, Status::Failed).await.error_code.as_deref(), Some("LLM_PRICE_UNKNOWN"));
    assert!(replay.asked().is_empty(), "nobody was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_builds_at_once_on_a_slow_model_all_go_on() {
    const BUILDS: usize = 100;
    let slots = [ALONE[0], ("queues.builds.slots", "100"), ("limits.builds_per_minute", "0")];
    let app = TestApp::with(&slots).await;
    let ann = app.sign_up("ann@example.com").await;
    let script =
        Script::new(&["a.txt"], vec![Turn::Calls(vec![write("a.txt", "a")]), call("finish", json!({}))]);
    // Every answer takes its time, and all builds wait for theirs at once.
    let model = Scripted::slow(script, Duration::from_secs(2));
    app.app.env.llm.add("scripted", model.clone());
    let mut jobs = Vec::new();
    for _ in 0..BUILDS {
        jobs.push(submit(&app, &ann, &json!({"test_command": "true"})).await);
    }
    for id in jobs {
        app.until(id, Status::Completed).await;
    }
    assert_eq!(model.asked().len(), BUILDS * 4);
    assert!(model.most_at_once() > BUILDS / 2, "only {} waited at once", model.most_at_once());
}
