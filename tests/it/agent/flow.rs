//! A build from goal to passing tests, with what it tells on the way.

use serde_json::{Value, json};

use super::model::{Script, Turn, call, write};
use super::stage::Yard;

pub(super) const WRONG: &str = "def count(text):\n    return len(text.split(' '))\n";
pub(super) const RIGHT: &str = "def count(text):\n    return len(text.split())\n";
pub(super) const TEST: &str = "import unittest\n\nfrom wc import count\n\n\nclass CountTest(unittest.TestCase):\n    \
    def test_words(self):\n        self.assertEqual(count('a  b\\nc'), 3)\n\n    \
    def test_nothing(self):\n        self.assertEqual(count(''), 0)\n";

/// Two files with a mistake, which the tests find and one edit mends.
pub(super) fn mending() -> Script {
    let edit = json!({"path": "wc.py", "old": "text.split(' ')", "new": "text.split()"});
    let work = vec![
        Turn::Calls(vec![write("wc.py", WRONG), write("test_wc.py", TEST)]),
        call("finish", json!({"summary": "Counts words."})),
        call("read_file", json!({"path": "wc.py"})),
        call("edit_file", edit),
        call("run_tests", json!({})),
    ];
    Script::new(&["wc.py", "test_wc.py"], work)
}

#[tokio::test]
async fn a_build_plans_fails_its_tests_mends_and_passes_them() {
    let yard = Yard::open().await;
    let build = yard.build(mending(), json!({})).await;
    let done = yard.done(&build).await;

    assert_eq!(done["files"], json!({"wc.py": RIGHT, "test_wc.py": TEST}));
    let state = &done["state"];
    assert_eq!(state["ended"]["reason"], "tests_passed", "{state}");
    assert_eq!(state["tests"]["summary"]["passed"], 2);
    assert_eq!(state["plan"]["files"][0]["path"], "wc.py");
    assert_eq!((&state["cost"]["calls"], &state["cost"]["tool_calls"]), (&json!(8), &json!(9)));
    assert_eq!(
        (&state["cost"]["input_tokens"], &state["cost"]["output_tokens"]),
        (&json!(8000), &json!(800))
    );

    // The failure was shown to the model, fenced, in the words of the test.
    let seen = build.model.last_seen();
    assert!(seen.contains("1 of 2 failed") && seen.contains("test_nothing"), "{seen}");
    assert!(seen.contains("<data from=\"the tests\" mark="), "{seen}");

    let names = yard.app.event_names(build.job).await;
    for name in [
        "requirements",
        "plan",
        "thinking",
        "tool_call",
        "tool_result",
        "file_changed",
        "command",
        "test_result",
        "cost",
    ] {
        assert!(names.iter().any(|other| other == name), "no {name} in {names:?}");
    }
    let verdicts: Vec<Value> =
        yard.said(&build, "test_result").await.into_iter().map(|test| test["verdict"].clone()).collect();
    assert_eq!(verdicts, ["failed", "passed", "passed"]);
    let changes = yard.said(&build, "file_changed").await;
    assert_eq!(changes.len(), 3);
    assert!(changes[2]["diff"].as_str().unwrap().contains("+    return len(text.split())"), "{}", changes[2]);
    let words: String = yard
        .said(&build, "thinking")
        .await
        .iter()
        .map(|said| said["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(words, (1..=8).map(|turn| format!("Turn {turn}.")).collect::<String>(), "no word is lost");
    let progress: Vec<i32> = yard.app.log(build.job).await.iter().map(|event| event.progress).collect();
    assert!(progress.is_sorted(), "{progress:?}");
}

#[tokio::test]
async fn a_transcript_tells_everything_in_order() {
    let yard = Yard::open().await;
    let build = yard.build(mending(), json!({})).await;
    yard.done(&build).await;
    let pieces = yard.app.app.store.attachments(build.job, "trajectory.jsonl").await.unwrap();
    let text = String::from_utf8(pieces.into_iter().flat_map(|piece| piece.bytes).collect()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sorts: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!((sorts[0], *sorts.last().unwrap()), ("build", "phase"));
    let count = |sort| sorts.iter().filter(|other| **other == sort).count();
    assert_eq!((count("answer"), count("tool"), count("tests"), count("ended")), (8, 9, 2, 1));
    assert!(lines.iter().all(|line| line["at"].is_string()));
    let phases: Vec<&str> = lines.iter().filter_map(|line| line["phase"].as_str()).collect();
    assert_eq!(phases, ["plan", "generate", "test", "mend", "test", "finalize"]);
}

#[tokio::test]
async fn a_model_that_cannot_call_tools_for_a_plan_is_taken_at_its_word() {
    let yard = Yard::open().await;
    let mut script = mending();
    script.requirements = vec![Turn::Says("Here you are:\n```json\n{\"summary\": \"Counts words\"}\n```")];
    script.plan = vec![Turn::Says("I would write one module."), Turn::Says("One module and one test.")];
    let build = yard.build(script, json!({})).await;
    let state = yard.done(&build).await["state"].clone();
    assert_eq!(state["requirements"]["summary"], "Counts words");
    assert_eq!(state["plan"]["summary"], "One module and one test.");
    assert_eq!(state["ended"]["reason"], "tests_passed");
}
