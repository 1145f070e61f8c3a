//! Tests of projects are found, run in the sandbox, and read back into cases.

use std::time::Duration;

use codeyard::agent::Workspace;
use codeyard::agent::testing::{self, Framework, Outcome, Tested, Verdict};
use codeyard::sandbox::Sandbox;
use tokio_util::sync::CancellationToken;

use super::strongest;

async fn tested(sandbox: &Sandbox, framework: Option<Framework>, files: &[(&str, &str)]) -> Tested {
    let home = tempfile::tempdir().unwrap();
    let mut workspace = Workspace::open(home.path(), None, sandbox).unwrap();
    for (path, text) in files {
        workspace.write(path, text.as_bytes()).unwrap();
    }
    let read = |path: &str| String::from_utf8(workspace.read(path).ok()?).ok();
    let framework = framework.or_else(|| testing::detect(&workspace.list().unwrap(), &read)).unwrap();
    let (never, wall) = (CancellationToken::new(), Duration::from_secs(60));
    testing::run(&workspace, &framework, wall, sandbox, &never, &|_, _| ()).await.unwrap()
}

fn outcomes(tested: &Tested) -> Vec<(&str, Outcome)> {
    tested.cases.iter().map(|case| (case.name.as_str(), case.outcome)).collect()
}

const UNITTEST: &str = "import unittest\n\nclass T(unittest.TestCase):\n    def test_good(self):\n        pass\n\n    \
                        def test_bad(self):\n        self.assertEqual(1, 2)\n";

#[tokio::test]
async fn unittest_is_run_and_read() {
    let sandbox = strongest();
    let tested = tested(&sandbox, None, &[("tests/__init__.py", ""), ("tests/test_x.py", UNITTEST)]).await;
    assert_eq!(outcomes(&tested), [("test_bad", Outcome::Failed), ("test_good", Outcome::Passed)]);
    assert!(tested.cases[0].message.as_ref().unwrap().contains("1 != 2"), "{tested:?}");
    assert_eq!((tested.verdict, tested.sentence().as_str()), (Verdict::Failed, "tests: 1 of 2 failed"));
    assert!(String::from_utf8_lossy(&tested.output).contains("FAILED (failures=1)"));
}

#[tokio::test]
async fn node_is_run_and_read() {
    let sandbox = strongest();
    let test = "import { test } from 'node:test';\nimport assert from 'node:assert';\n\
                test('good', () => {});\ntest('bad', () => assert.equal(1, 2));\n";
    let package = r#"{"type": "module", "scripts": {"test": "node --test"}}"#;
    let tested = tested(&sandbox, None, &[("package.json", package), ("a.test.js", test)]).await;
    assert_eq!(outcomes(&tested), [("good", Outcome::Passed), ("bad", Outcome::Failed)], "{tested:?}");
    assert!(tested.cases[0].seconds.is_some());
}

#[tokio::test]
async fn a_command_of_somebodys_is_understood_by_its_report_or_its_words() {
    let sandbox = strongest();
    let files = [("tests/__init__.py", ""), ("tests/test_x.py", UNITTEST)];
    let words = Framework::Command("python3 -m unittest discover -v".to_owned());
    assert_eq!(tested(&sandbox, Some(words), &files).await.summary.failed, 1);
    let xml = "<testsuite><testcase name=\"a\"/><testcase name=\"b\"/></testsuite>";
    let report = Framework::Command(format!("echo '{xml}' > \"$JUNIT_REPORT\""));
    let both = tested(&sandbox, Some(report), &files).await;
    assert_eq!((both.verdict, both.summary.passed), (Verdict::Passed, 2));
    let silent = tested(&sandbox, Some(Framework::Command("exit 3".to_owned())), &files).await;
    assert_eq!((silent.verdict, silent.status, silent.summary.errors), (Verdict::Failed, Some(3), 1));
}

#[tokio::test]
async fn what_cannot_be_run_says_why_and_has_not_passed() {
    let sandbox = strongest();
    let none = tested(&sandbox, None, &[("a.py", "x = 1\n")]).await;
    assert_eq!(
        (none.verdict, none.reason.as_deref()),
        (Verdict::NotRun, Some("there are no tests")),
        "{none:?}"
    );
    let missing = tested(&sandbox, Some(Framework::Jest), &[("package.json", "{}")]).await;
    assert_eq!(missing.verdict, Verdict::NotRun, "{missing:?}");
    assert!(
        missing.sentence().starts_with("tests: not run, because node_modules/.bin/jest is not installed")
    );
    let shell = Framework::Command("no-such-program --test".to_owned());
    assert_eq!(tested(&sandbox, Some(shell), &[("a", "")]).await.verdict, Verdict::NotRun);
}

#[tokio::test]
async fn tests_that_hang_are_killed_and_have_failed() {
    let sandbox = strongest();
    let home = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(home.path(), None, &sandbox).unwrap();
    let hangs = Framework::Command("echo begun; sleep 1000".to_owned());
    let (never, wall) = (CancellationToken::new(), Duration::from_millis(300));
    let tested = testing::run(&workspace, &hangs, wall, &sandbox, &never, &|_, _| ()).await.unwrap();
    assert_eq!(tested.verdict, Verdict::Failed);
    assert_eq!(tested.reason.as_deref(), Some("the command was killed: it ran too long"));
    assert_eq!(tested.output, b"begun\n");
}
