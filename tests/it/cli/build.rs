//! `codeyard build`: a goal goes in, a project whose tests pass comes out.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::program::{codeyard, ended};
use crate::support::replay::{Replay, Scripted};

const TEST: &str = "import unittest\n\nfrom counts_words_files.more import longest\n\n\n\
    class MoreTest(unittest.TestCase):\n    def test_longest(self):\n        \
    self.assertEqual(longest('a bbb cc'), 'bbb')\n";

/// A model that begins with the catalogue's project, adds something that is wrong, and mends it.
fn mending(body: &Value) -> Scripted {
    let tools = body["tools"].as_array().unwrap();
    let offers = |name: &str| tools.iter().any(|tool| tool["function"]["name"] == name);
    let messages = body["messages"].as_array().unwrap();
    let turns = messages.iter().filter(|message| message["role"] == "assistant").count();
    let calls = match turns {
        _ if offers("submit_requirements") => vec![("submit_requirements", json!({"summary": "Words."}))],
        _ if offers("submit_plan") => {
            let files = json!([{"path": "counts_words_files/more.py", "purpose": "the longest word"}]);
            vec![("submit_plan", json!({"summary": "One more module.", "files": files}))]
        }
        0 => vec![
            ("read_file", json!({"path": "counts_words_files/core.py"})),
            ("write_file", json!({"path": "tests/test_more.py", "content": TEST})),
            (
                "write_file",
                json!({"path": "counts_words_files/more.py",
                    "content": "def longest(text):\n    return min(text.split(), key=len)\n"}),
            ),
        ],
        2 => {
            let edit = json!({"path": "counts_words_files/more.py", "old": "min(", "new": "max("});
            vec![("edit_file", edit)]
        }
        _ => vec![("finish", json!({"summary": "Counts words, and knows the longest."}))],
    };
    Scripted::turn("Working.", &calls)
}

#[tokio::test]
async fn a_model_mends_what_the_tests_find_in_the_project_that_it_began_with() {
    let (dir, replay) = (tempfile::tempdir().unwrap(), Replay::start().await);
    replay.find(mending, &Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)));
    let key = ["not", "a", "key"].join("-");
    let goal = "a command line tool that counts words in files";
    let mut command = codeyard(&["build", goal, "--lang", "python", "--output", "out", "--approve", "--yes"]);
    command.env("CODEYARD_LLM_FIND_OLLAMA", "false").env("CODEYARD_LLM_PROVIDERS_OPENAI_KEY", &key);
    command.env("CODEYARD_LLM_PROVIDERS_OPENAI_BASE_URL", replay.url()).current_dir(dir.path());
    let done = ended(&mut command).await;
    for line in ["One more module.", "Is this plan good?", "edit_file counts_words_files/more.py", "failed"] {
        assert!(done.stderr.contains(line), "no `{line}`: {}", done.stderr);
    }
    let text = done.expect(0);
    assert!(text.contains(" passed in ") && text.contains("knows the longest"), "{text}");
    let project = dir.path().join("out/counts-words-files");
    assert!(project.join("pyproject.toml").is_file(), "it began with the catalogue's project");
    let more = std::fs::read_to_string(project.join("counts_words_files/more.py")).unwrap();
    assert!(more.contains("max("), "{more}");
    let seen = serde_json::to_string(&replay.asked()[0].body).unwrap();
    assert!(seen.contains("counts_words_files/core.py"), "the model is told what is there: {seen}");
}

#[tokio::test]
async fn a_plan_that_nobody_approves_is_not_carried_out() {
    let (dir, replay) = (tempfile::tempdir().unwrap(), Replay::start().await);
    replay.find(mending, &Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)));
    let key = ["not", "a", "key"].join("-");
    let mut command = codeyard(&["build", "count words", "--no-scaffold", "--output", "out", "--approve"]);
    command.env("CODEYARD_LLM_FIND_OLLAMA", "false").env("CODEYARD_LLM_PROVIDERS_OPENAI_KEY", &key);
    command.env("CODEYARD_LLM_PROVIDERS_OPENAI_BASE_URL", replay.url()).current_dir(dir.path());
    let refused = ended(&mut command).await.refused();
    assert!(refused.contains("the longest word") && refused.contains("nobody answers (--yes)"), "{refused}");
    assert!(!dir.path().join("out").exists());
}

#[tokio::test]
async fn a_build_starts_from_a_directory_or_an_archive() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/README.md"), "mine\n").unwrap();
    let build = async |from: &str, output: &str| {
        let mut command = codeyard(&[
            "build",
            "count words in python",
            "--name",
            "words",
            "--from",
            from,
            "--output",
            output,
        ]);
        ended(command.current_dir(dir.path())).await.expect(0);
        let readme = dir.path().join(output).join("words/README.md");
        assert_eq!(std::fs::read_to_string(readme).unwrap(), "mine\n");
    };
    build("mine", "first").await;
    let mut archive = zip::ZipWriter::new(std::fs::File::create(dir.path().join("mine.zip")).unwrap());
    archive.start_file("README.md", zip::write::SimpleFileOptions::default()).unwrap();
    std::io::Write::write_all(&mut archive, b"mine\n").unwrap();
    archive.finish().unwrap();
    build("mine.zip", "second").await;
}

#[tokio::test]
async fn a_goal_becomes_a_project_that_does_it() {
    let dir = tempfile::tempdir().unwrap();
    let goal = "a command line tool that counts words in files";
    let mut command = codeyard(&["build", goal, "--lang", "python", "--output", "out"]);
    let done = ended(command.current_dir(dir.path())).await;
    assert!(done.stderr.contains("$ python3 -m unittest discover -v"), "{}", done.stderr);
    assert!(done.stderr.contains("tests: ") && done.stderr.contains("100 %"), "{}", done.stderr);
    let text = done.expect(0);
    assert!(text.contains("counts-words-files") && text.contains(" passed in "), "{text}");
    assert!(text.contains("quality") && text.contains("out/project.zip"), "{text}");

    let project = dir.path().join("out/counts-words-files");
    std::fs::write(dir.path().join("input.txt"), "one two\nthree\n").unwrap();
    let mut python = tokio::process::Command::new("python3");
    python.args(["-m", "counts_words_files", "../../input.txt"]).current_dir(project);
    assert_eq!(ended(&mut python).await.expect(0), "2 lines, 3 words, 14 characters\n");

    let mut again = codeyard(&["build", goal, "--output", "out"]);
    let refused = ended(again.current_dir(dir.path())).await.refused();
    assert!(refused.contains("not empty (--output)"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_built_is_refused_and_failing_tests_are_told_by_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, word) in [
        (["build", "x", "--lang", "cobol"], "parameters.language"),
        (["build", "x", "--template", "game"], "game"),
        (["build", "x", "--name", "../x"], "no name for a project"),
        (["build", "x", "--provider", "oracle"], "parameters.provider"),
        (["build", "x", "--from", "nothing-there"], "nothing-there"),
        (["build", "x", "--from", "ftp://example.org/x.git"], "parameters.source"),
        (["build", "x", "--max-cost", "0"], "--max-cost"),
    ] {
        let refused = ended(codeyard(&arguments).current_dir(dir.path())).await.refused();
        assert!(refused.contains(word), "{refused}");
    }
    let mut fails = codeyard(&["build", "a chess engine", "--test-command", "exit 3"]);
    let text = ended(fails.current_dir(dir.path())).await.expect(1);
    assert!(text.contains("1 of 1 failed") && text.contains("does not do what the goal says"), "{text}");
    let mut missing =
        codeyard(&["build", "a chess engine", "--test-command", "no-such-program", "--name", "c2"]);
    let text = ended(missing.current_dir(dir.path())).await.expect(1);
    assert!(text.contains("not run, because a program is missing"), "{text}");
}
