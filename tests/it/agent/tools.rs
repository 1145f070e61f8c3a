//! What each tool does and says.

use serde_json::{Value, json};

use super::model::{Script, Turn, call, write};
use super::stage::Yard;

/// Plays these calls, one a turn; returns what each said, and the files in the end.
async fn play(calls: Vec<(&'static str, Value)>) -> (Vec<(String, bool)>, Value) {
    let yard = Yard::open().await;
    let turns = calls.into_iter().map(|one| Turn::Calls(vec![one])).collect();
    let build = yard.build(Script::new(&[], turns), json!({"test_command": "true"})).await;
    let done = yard.done(&build).await;
    (build.model.results(), done["files"].clone())
}

#[track_caller]
fn says(result: &(String, bool), failed: bool, words: &[&str]) {
    assert_eq!(result.1, failed, "{}", result.0);
    for word in words {
        assert!(result.0.contains(word), "no {word:?} in {}", result.0);
    }
}

#[tokio::test]
async fn files_are_written_read_listed_searched_edited_and_taken_back() {
    let text = "one\ntwo\nthree\n";
    let (results, files) = play(vec![
        write("src/a.txt", text),
        ("read_file", json!({"path": "src/a.txt", "first_line": 2, "last_line": 2})),
        ("read_file", json!({"path": "a.txt"})),
        ("list_files", json!({})),
        ("list_files", json!({"folder": "docs"})),
        ("search_files", json!({"pattern": "^T", "ignore_case": true, "files": "src/**"})),
        ("search_files", json!({"pattern": "("})),
        ("edit_file", json!({"path": "src/a.txt", "old": "two\n", "new": "2\n"})),
        ("edit_file", json!({"path": "src/a.txt", "old": "twoo", "new": "2"})),
        ("undo", json!({})),
        ("undo", json!({"step": 9})),
        write("src/a.txt", text),
        ("read_file", json!({"path": "src"})),
    ])
    .await;
    says(&results[0], false, &["Wrote `src/a.txt`: 3 lines.", "[step 1]"]);
    says(&results[1], false, &["lines 2 to 2 of 3", "    2\ttwo\n"]);
    says(&results[2], true, &["there is no `a.txt`", "Did you mean `src/a.txt`?"]);
    says(&results[3], false, &["1 files", "src/a.txt\n"]);
    says(&results[4], false, &["no files in `docs`"]);
    says(&results[5], false, &["2 lines match", "src/a.txt:2: two", "src/a.txt:3: three"]);
    says(&results[6], true, &["Patterns are regular expressions"]);
    says(&results[7], false, &["Changed `src/a.txt`", "    2\t2\n", "[step 2]"]);
    says(&results[8], true, &["does not contain the text", "nothing was changed"]);
    says(&results[9], false, &["Step 2 was taken back.", "[step 3]"]);
    says(&results[10], true, &["there is no step 9"]);
    says(&results[11], false, &["Replaced `src/a.txt`"]);
    assert!(!results[11].0.contains("[step"), "nothing has changed: {}", results[11].0);
    says(&results[12], true, &["`src` is a folder"]);
    assert_eq!(files, json!({"src/a.txt": text}));
}

#[tokio::test]
async fn a_patch_is_applied_whole_or_not_at_all_and_cannot_leave() {
    let two = "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n--- /dev/null\n+++ b/new/b.txt\n@@ -0,0 +1 @@\n+fresh\n";
    let stale = "--- a/a.txt\n+++ b/a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n--- a/new/b.txt\n+++ b/new/b.txt\n@@ -1 +1 @@\n-fresh\n+old\n";
    let outside = "--- /dev/null\n+++ b/../outside.txt\n@@ -0,0 +1 @@\n+x\n";
    let (results, files) = play(vec![
        write("a.txt", "one\ntwo\nthree\n"),
        ("apply_patch", json!({"patch": two})),
        ("apply_patch", json!({"patch": stale})),
        ("apply_patch", json!({"patch": outside})),
        ("apply_patch", json!({"patch": "*** Begin Patch\n*** Update File: a.txt\n"})),
    ])
    .await;
    says(&results[1], false, &["The patch was applied.", "[step 2]"]);
    says(&results[2], true, &["not applied, not even in part", "a.txt"]);
    says(&results[3], true, &["not applied"]);
    says(&results[4], true, &["it is no unified diff", "edit_file"]);
    assert_eq!(files, json!({"a.txt": "one\n2\nthree\n", "new/b.txt": "fresh\n"}));
}

#[tokio::test]
async fn commands_run_in_the_workspace_without_network_and_end_in_time() {
    let (results, files) = play(vec![
        ("run_command", json!({"command": "echo hello > made.txt; echo out; echo err >&2; exit 3"})),
        ("run_command", json!({"command": "sleep 60", "timeout_seconds": 1})),
        ("run_command", json!({"command": "no-such-program"})),
        ("run_command", json!({"command": " "})),
        ("run_command", json!({"command": "ln -s /etc/passwd secret.txt"})),
        ("read_file", json!({"path": "secret.txt"})),
        ("run_command", json!({"command": "rm secret.txt"})),
    ])
    .await;
    says(&results[0], false, &["exit code 3", "out\n", "[stderr]\nerr\n", "[step 1]"]);
    says(&results[1], false, &["It was killed after 1 s"]);
    says(&results[2], false, &["exit code 127"]);
    says(&results[3], true, &["`command` is empty"]);
    says(&results[5], true, &["symbolic link"]);
    assert_eq!(files, json!({"made.txt": "hello\n"}));
}

#[tokio::test]
async fn the_analysis_names_what_is_wrong_and_the_tests_what_failed() {
    let (results, _) = play(vec![
        write("app.py", "import subprocess\n\n\ndef run(name):\n    subprocess.run('ls ' + name, shell=True)\n"),
        ("analyze", json!({})),
        write("test_app.py", "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(1, 2)\n"),
        ("run_tests", json!({"command": "python3 -m unittest -v"})),
    ])
    .await;
    says(&results[1], false, &["Score: ", "app.py:5: ", "py-subprocess-shell"]);
    says(&results[3], false, &["1 of 1 failed", "test_a", "1 != 2"]);
}

#[tokio::test]
async fn no_page_is_fetched_unless_the_build_may() {
    let yard = Yard::open().await;
    let script = Script::new(
        &[],
        vec![
            call("fetch_page", json!({"url": "https://example.com/"})),
            Turn::Calls(vec![write("a.txt", "a")]),
        ],
    );
    let build = yard.build(script, json!({"test_command": "true"})).await;
    yard.done(&build).await;
    says(&build.model.results()[0], true, &["`fetch_page` is not available"]);
    assert!(
        build.model.asked().iter().all(|request| request.tools.iter().all(|tool| tool.name != "fetch_page"))
    );
}
