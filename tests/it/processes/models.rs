//! A build with a model behind a real server and a real wire: plan, failing test, mend, passing test; and the same with
//! the server killed at every question to the model, and replaced by one that has none of its files.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::client::Client;
use super::server::{Recipe, SHORT_LEASES, Server};
use super::{PATIENCE, eventually, holds};
use crate::builds::bucket::Bucket;
use crate::support::postgres::TestDatabase;
use crate::support::replay::{Replay, Scripted};

const WRONG: &str = "def count(text):\n    return len(text.split(' '))\n";
const TEST: &str = "import unittest\n\nfrom wc import count\n\n\nclass CountTest(unittest.TestCase):\n    \
    def test_nothing(self):\n        self.assertEqual(count(''), 0)\n";
/// Questions to the model in a build that nobody disturbs.
const QUESTIONS: usize = 7;

/// The model: what it says depends on nothing but what it is shown.
fn answer(body: &Value) -> Scripted {
    let tools = body["tools"].as_array().unwrap();
    let offers = |name: &str| tools.iter().any(|tool| tool["function"]["name"] == name);
    let turns =
        body["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "assistant").count();
    let finish = ("finish", json!({"summary": "Counts words."}));
    let calls = match turns {
        _ if offers("submit_requirements") => {
            vec![("submit_requirements", json!({"summary": "Counts words."}))]
        }
        _ if offers("submit_plan") => {
            let files = json!([{"path": "wc.py"}, {"path": "test_wc.py"}]);
            vec![("submit_plan", json!({"summary": "One module, one test.", "files": files}))]
        }
        0 => vec![
            ("write_file", json!({"path": "wc.py", "content": WRONG})),
            ("write_file", json!({"path": "test_wc.py", "content": TEST})),
        ],
        1 => vec![finish],
        2 => vec![("edit_file", json!({"path": "wc.py", "old": "split(' ')", "new": "split()"}))],
        3 => vec![("analyze", json!({}))],
        _ => vec![finish],
    };
    Scripted::turn("Working.", &calls)
}

fn build() -> Value {
    let goal = "a command line tool that counts words in files";
    json!({"project_name": "word-count", "goal": goal, "parameters": {"provider": "openai", "language": "python", "scaffold": false}})
}

async fn digests(client: &Client, url: &str, job: &str) -> Vec<Value> {
    let list = client.get(url, &format!("/api/build/{job}/artifacts")).await.expect(200);
    let all = list["artifacts"].as_array().unwrap().clone();
    let project = all.into_iter().filter(|file| file["path"].as_str().unwrap().starts_with("project."));
    project.map(|file| file["sha256"].clone()).collect()
}

#[tokio::test]
async fn a_build_with_a_model_survives_kill_9_at_every_question_and_ends_with_the_same_files() {
    let (dir, replay) = (tempfile::tempdir().unwrap(), Replay::start().await);
    let gate = Arc::new(Semaphore::new(QUESTIONS));
    replay.find(answer, &gate);
    let key = ["not", "a", "key"].join("-");
    let settings = [
        ("CODEYARD_ENGINE_MAX_CRASHES", "1000"),
        ("CODEYARD_LOG_FILTER", "warn"),
        ("CODEYARD_LLM_FIND_OLLAMA", "false"),
        ("CODEYARD_LLM_PROVIDERS_OPENAI_BASE_URL", replay.url()),
        ("CODEYARD_LLM_PROVIDERS_OPENAI_KEY", &key),
    ];
    let recipe = Recipe::embedded(dir.path(), &SHORT_LEASES).with(&settings);
    let mut server = recipe.start().await;
    let client = Client::register(server.url()).await;
    let calm = client.post(server.url(), "/api/build/", &build()).await.accepted();
    client.until(server.url(), &calm, &["completion"]).await;
    let seen = client.get(server.url(), &format!("/api/build/{calm}")).await.expect(200);
    assert_eq!(seen["results"]["ended"]["reason"], "tests_passed", "{seen}");
    assert_eq!(
        (&seen["cost"]["calls"], &seen["cost"]["input_tokens"]),
        (&json!(QUESTIONS), &json!(QUESTIONS * 100))
    );
    let log = client.log(server.url(), &calm).await;
    let verdicts: Vec<&Value> = log
        .iter()
        .filter(|event| event["type"] == "test_result")
        .map(|event| &event["data"]["verdict"])
        .collect();
    assert_eq!(verdicts, ["failed", "passed"]);
    assert_eq!(replay.asked().len(), QUESTIONS);
    let expected = digests(&client, server.url(), &calm).await;
    assert_eq!(expected.len(), 3);

    let job = client.post(server.url(), "/api/build/", &build()).await.accepted();
    let mut asked = QUESTIONS;
    for _ in 0..QUESTIONS {
        // Each question is under way when the server dies, and is asked again by the next one.
        asked = another_question(&replay, asked).await;
        server = replace(&recipe, server).await;
        asked = another_question(&replay, asked).await;
        gate.add_permits(1);
    }
    let end = client.until(server.url(), &job, &["completion"]).await;
    assert_eq!(end["status"], "completed", "{end}");
    assert_eq!(digests(&client, server.url(), &job).await, expected);
    let seen = client.get(server.url(), &format!("/api/build/{job}")).await.expect(200);
    assert_eq!(seen["results"]["ended"]["reason"], "tests_passed");
    assert_eq!(replay.asked().len(), QUESTIONS * 3);
    assert_eq!(seen["cost"]["calls"], QUESTIONS, "an answer that was taken down is not asked for again");
}

/// Waits until the model is asked once more than before; how often it was asked by then.
async fn another_question(replay: &Replay, before: usize) -> usize {
    eventually(PATIENCE, "the model is asked", async || {
        let now = replay.asked().len();
        holds(now > before, now).map(|()| now)
    })
    .await
}

async fn replace(recipe: &Recipe, server: Server) -> Server {
    server.kill().await;
    recipe.start().await
}

/// What a build did, in order, without what differs from one to the next: each call and its result, each change, each
/// verdict.
async fn deeds(client: &Client, url: &str, job: &str) -> Vec<String> {
    let log = client.log(url, job).await;
    let told =
        ["requirements", "plan", "tool_call", "tool_result", "file_changed", "test_result", "artifact"];
    let deed = |event: &Value| {
        let data = &event["data"];
        format!("{} {} {} {}", event["type"], data["name"], data["path"], data["verdict"])
    };
    log.iter().filter(|event| told.contains(&event["type"].as_str().unwrap())).map(deed).collect()
}

#[tokio::test]
async fn a_build_goes_on_on_a_server_that_has_none_of_its_files() {
    let Some(database) = TestDatabase::create().await else { return };
    let (replay, bucket) = (Replay::start().await, Bucket::start().await);
    let gate = Arc::new(Semaphore::new(QUESTIONS));
    replay.find(answer, &gate);
    let key = ["not", "a", "key"].join("-");
    let mut settings: Vec<(String, String)> = bucket
        .settings()
        .into_iter()
        .map(|(name, value)| (format!("CODEYARD_{}", name.replace('.', "_").to_uppercase()), value))
        .collect();
    settings.extend(
        [
            ("CODEYARD_ENGINE_MAX_CRASHES", "1000"),
            ("CODEYARD_LOG_FILTER", "warn"),
            ("CODEYARD_LLM_FIND_OLLAMA", "false"),
            ("CODEYARD_LLM_PROVIDERS_OPENAI_BASE_URL", replay.url()),
            ("CODEYARD_LLM_PROVIDERS_OPENAI_KEY", &key),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let shared = Recipe::shared(&database.url(), &SHORT_LEASES).with(&settings);
    let disks = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let on =
        |disk: usize| shared.clone().with(&[("CODEYARD_DATA_DIR", disks[disk].path().to_str().unwrap())]);

    let mut server = on(0).start().await;
    let client = Client::register(server.url()).await;
    let calm = client.post(server.url(), "/api/build/", &build()).await.accepted();
    client.until(server.url(), &calm, &["completion"]).await;
    let expected = digests(&client, server.url(), &calm).await;
    let done = deeds(&client, server.url(), &calm).await;
    assert_eq!(expected.len(), 3);

    let job = client.post(server.url(), "/api/build/", &build()).await.accepted();
    let mut asked = QUESTIONS;
    for question in 0..QUESTIONS {
        asked = another_question(&replay, asked).await;
        server.kill().await;
        // One that has never seen it, one that has seen a part of it, and one that has seen another.
        server = on((question + 1) % disks.len()).start().await;
        asked = another_question(&replay, asked).await;
        gate.add_permits(1);
    }
    let end = client.until(server.url(), &job, &["completion"]).await;
    assert_eq!(end["status"], "completed", "{end}");
    assert_eq!(digests(&client, server.url(), &job).await, expected, "the same files, in the same steps");
    assert_eq!(deeds(&client, server.url(), &job).await, done, "nothing is done or told twice");
    let seen = client.get(server.url(), &format!("/api/build/{job}")).await.expect(200);
    assert_eq!(seen["cost"]["calls"], QUESTIONS, "an answer that was taken down is not asked for again");
    let kept = "select count(*) from job_attachments";
    assert_ne!(database.sql(kept).trim(), "0");
}

#[tokio::test]
async fn a_build_with_a_model_survives_kill_9_whenever_it_says_something() {
    let (dir, replay) = (tempfile::tempdir().unwrap(), Replay::start().await);
    replay.find(answer, &Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)));
    let key = ["not", "a", "key"].join("-");
    let settings = [
        ("CODEYARD_ENGINE_MAX_CRASHES", "1000"),
        ("CODEYARD_LOG_FILTER", "warn"),
        ("CODEYARD_LLM_FIND_OLLAMA", "false"),
        ("CODEYARD_LLM_PROVIDERS_OPENAI_BASE_URL", replay.url()),
        ("CODEYARD_LLM_PROVIDERS_OPENAI_KEY", &key),
    ];
    let recipe = Recipe::embedded(dir.path(), &SHORT_LEASES).with(&settings);
    let mut server = recipe.start().await;
    let client = Client::register(server.url()).await;
    let calm = client.post(server.url(), "/api/build/", &build()).await.accepted();
    client.until(server.url(), &calm, &["completion"]).await;
    let expected = digests(&client, server.url(), &calm).await;

    let job = client.post(server.url(), "/api/build/", &build()).await.accepted();
    let (end, blows) = super::builds::strike(&recipe, &mut server, &client, &job).await;
    assert_eq!(end["status"], "completed", "{end}");
    assert!(blows >= 4, "it was killed {blows} times only");
    assert_eq!(digests(&client, server.url(), &job).await, expected);
    let seen = client.get(server.url(), &format!("/api/build/{job}")).await.expect(200);
    assert_eq!(seen["cost"]["calls"], QUESTIONS, "what was answered and taken down counts once");
    // Whatever changed something or ran has exactly one result, but for the tests that were killed under way.
    let log = client.log(server.url(), &job).await;
    let results = log.iter().filter(|event| event["type"] == "tool_result");
    let mut calls: Vec<&Value> = results
        .filter(|event| event["data"]["step"].is_number())
        .map(|event| &event["data"]["step"])
        .collect();
    let all = calls.len();
    calls.dedup();
    assert_eq!(calls.len(), all, "a step was told twice: {log:#?}");
}
