//! The project's file, the gate, and what git knows: `codeyard analyze` as a pipeline uses it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::program::run;

/// A repository with one commit; everybody's and the machine's own settings of git stay outside.
struct Repository(TempDir);

impl Repository {
    fn new(files: &[(&str, &str)]) -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        made.git(&["init", "--quiet", "--initial-branch=main"]);
        for (path, text) in files {
            made.write(path, text);
        }
        made.commit();
        made
    }

    fn root(&self) -> String {
        self.path("").display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(self.0.path()).args(["-c", "user.name=A", "-c", "user.email=a@b.example"]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        assert!(command.args(arguments).status().unwrap().success(), "{arguments:?}");
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "a step"]);
    }

    /// `path:line` of every finding.
    async fn places(&self, folder: &str, arguments: &[&str]) -> Vec<String> {
        let place = self.path(folder).display().to_string();
        let arguments =
            [&["analyze", &place, "--format", "json", "--fail-on", "never", "--no-cache"], arguments]
                .concat();
        let report: Value = serde_json::from_str(&run(&arguments).await.expect(0)).unwrap();
        let lists = ["security_issues", "type_errors", "code_smells"]
            .map(|list| report[list].as_array().unwrap().clone());
        let mut places: Vec<String> = lists
            .iter()
            .flatten()
            .map(|it| format!("{}:{}", it["region"]["path"].as_str().unwrap(), it["region"]["line"]))
            .collect();
        places.sort();
        let counted = report["summary"]["findings"].as_u64().unwrap();
        assert_eq!(places.len() as u64, counted, "the summary counts what is there");
        places
    }
}

#[tokio::test]
async fn only_lines_that_changed_are_reported_in_a_diff() {
    let made = Repository::new(&[
        ("app/a.py", "eval(a)\nx = 1\n"),
        ("app/old name.py", "eval(b)\nx = 1\ny = 2\nz = 3\n"),
        ("lib/c.py", "eval(c)\n"),
    ]);
    assert_eq!(made.places("", &["--diff", "HEAD"]).await, [""; 0]);
    made.write("app/a.py", "eval(a)\nx = 1\neval(d)\n");
    made.git(&["mv", "app/old name.py", "app/new näme.py"]);
    made.write("app/new näme.py", "eval(b)\nx = 1\ny = 2\nz = 3\nexec(e)\n");
    made.write("lib/untracked.py", "eval(f)\n");
    made.write("lib/c.py", "# a line above\neval(c)\n");
    let all = ["app/a.py:3", "app/new näme.py:5", "lib/untracked.py:1"];
    assert_eq!(made.places("", &["--diff", "HEAD"]).await, all);
    assert_eq!(made.places("app", &["--diff", "HEAD"]).await, ["a.py:3", "new näme.py:5"]);
    assert_eq!(made.places("app/a.py", &["--diff", "HEAD"]).await, ["a.py:3"]);
    made.git(&["switch", "--quiet", "--create", "topic"]);
    made.commit();
    made.git(&["switch", "--quiet", "main"]);
    made.write("lib/c.py", "eval(c)\neval(g)\n");
    made.commit();
    made.git(&["switch", "--quiet", "topic"]);
    assert_eq!(made.places("", &["--diff", "main..."]).await, all, "what main did since is not ours");
    let root = made.root();
    let text = run(&["analyze", &root, "--diff", "HEAD"]).await.expect(0);
    assert!(text.contains("Left out: 6 findings on lines that have not changed."), "{text}");
    for (revision, part) in [("nothing", "`nothing` is no commit"), ("--output=x", "is no commit")] {
        let said = run(&["analyze", &root, &format!("--diff={revision}")]).await.refused();
        assert!(said.contains(part), "{said}");
    }
    let alone = tempfile::tempdir().unwrap();
    let said = run(&["analyze", alone.path().to_str().unwrap(), "--diff", "HEAD"]).await.refused();
    assert!(said.contains("no git repository"), "{said}");
}

#[tokio::test]
async fn a_commit_is_a_baseline_and_nothing_in_the_repository_changes() {
    let made = Repository::new(&[("app/a.py", "eval(a)\nexec(b)\n"), (".gitignore", "*.log\n")]);
    made.write("app/a.py", "# one\neval(a)\neval(c)\n");
    made.git(&["add", "--all"]);
    made.write("app/b.py", "x = 1\n");
    let state = |made: &Repository| {
        let said = Command::new("git").current_dir(made.0.path()).args(["status", "--porcelain"]).output();
        String::from_utf8(said.unwrap().stdout).unwrap()
    };
    let before = state(&made);
    for place in
        [made.root(), made.path("app").display().to_string(), made.path("app/a.py").display().to_string()]
    {
        let text = run(&["analyze", &place, "--baseline", "HEAD", "--no-cache"]).await.expect(1);
        assert!(
            text.contains("Against commit ") && text.contains(": 1 new, 0 unchanged, 1 moved, 1 fixed"),
            "{text}"
        );
        assert!(text.contains("Fails: 1 new finding is high or worse."), "{text}");
    }
    assert_eq!(state(&made), before);
    let text =
        run(&["analyze", &made.path("app/b.py").display().to_string(), "--baseline", "HEAD"]).await.expect(0);
    assert!(text.contains(": 0 new"), "{text}");
    let sarif = run(&["analyze", &made.root(), "--baseline", "HEAD", "--format", "sarif"]).await.expect(1);
    let log: Value = serde_json::from_str(&sarif).unwrap();
    let states: Vec<&str> = log["runs"][0]["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["baselineState"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["updated", "new"]);
    let said = run(&["analyze", &made.root(), "--baseline", "nowhere"]).await.refused();
    assert!(said.contains("there is no such file, either"), "{said}");
}

#[tokio::test]
async fn the_projects_file_holds_and_flags_come_first() {
    let made = Repository::new(&[
        ("codeyard.toml", "[analysis]\nexclude = ['gen/']\n[gate]\nfail_on = 'critical'\nmin_score = 3\n"),
        ("a.py", "eval(a)\n"),
        ("gen/b.py", "eval(a)\n"),
    ]);
    let root = made.root();
    let text = run(&["analyze", &root]).await.expect(0);
    assert!(text.contains("✓ no finding is critical") && text.contains("✓ the score is "), "{text}");
    assert!(text.contains("Passes: no finding is critical; the score is "), "{text}");
    assert!(!text.contains("gen/b.py"), "{text}");
    let text = run(&["analyze", &root, "--fail-on", "high", "--min-coverage", "80"]).await.expect(1);
    let failed = "Fails: 1 finding is high or worse; there is no coverage report in the tree.";
    assert!(text.contains(failed), "{text}");
    let text = run(&["analyze", &root, "--isolated"]).await.expect(1);
    assert!(text.contains("Fails: 2 findings are high or worse."), "{text}");
    run(&["analyze", &root, "--min-score", "9.9"]).await.expect(1);
    let report = run(&["analyze", &root, "--format", "json"]).await.expect(0);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(
        (&report["gate"]["passed"], &report["gate"]["conditions"][0]["name"]),
        (&true.into(), &"findings".into())
    );
    for (flag, value) in [("--min-score", "11"), ("--min-coverage", "0.8"), ("--min-score", "much")] {
        let said = run(&["analyze", &root, flag, value]).await.refused();
        assert!(said.contains(flag), "{said}");
    }
    made.write("codeyard.toml", "[[suppress]]\npath = 'a.py'\nreason = 'ours'\nuntil = 2020-01-31\n");
    let text = run(&["analyze", &root]).await.expect(1);
    assert!(
        text.contains("Suppressions of nothing (1)\n  codeyard.toml:1  expired on 2020-01-31: ours"),
        "{text}"
    );
    made.write("codeyard.toml", "[analysis]\n\nexclud = []\n");
    let said = run(&["analyze", &root]).await.refused();
    assert!(said.contains("codeyard.toml, line 3: unknown field `exclud`"), "{said}");
}

#[tokio::test]
async fn what_is_found_in_our_own_source_is_accounted_for() {
    let report = run(&["analyze", env!("CARGO_MANIFEST_DIR"), "--no-cache", "--format", "json"]).await;
    let report: Value = serde_json::from_str(&report.expect(0)).unwrap();
    assert_eq!(report["summary"]["findings"], 0);
    let unused = report["unused_suppressions"].as_array().unwrap();
    let ours: Vec<&Value> = unused.iter().filter(|it| it["path"] == "codeyard.toml").collect();
    assert!(ours.is_empty(), "codeyard.toml suppresses what is not there: {ours:?}");
    assert!(report["summary"]["files_analysed"].as_u64().unwrap() > 300);
}
