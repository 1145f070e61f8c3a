//! A build with a model behind a real server and a real wire: plan, failing test, mend, passing test; and the same with
//! the server killed at every question to the model.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::client::Client;
use super::server::{Recipe, SHORT_LEASES, Server};
use super::{PATIENCE, eventually, holds};
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
    json!({"project_name": "word-count", "goal": goal, "parameters": {"provider": "openai", "language": "python"}})
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
