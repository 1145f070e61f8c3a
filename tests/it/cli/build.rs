//! `codeyard build`: a goal goes in, a project whose tests pass comes out.

use super::program::{codeyard, ended};

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
