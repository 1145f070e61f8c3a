//! The analysis without a server.

use serde_json::Value;
use tempfile::TempDir;

use super::program::{codeyard, ended, run};

const RULE: &str = "\
id: no-launch
language: python
category: bug
severity: high
confidence: high
message: \"`launch` does not come back\"
why: It never returns.
instead: Call `start`.
example: launch(rocket)
rule:
  pattern: launch($X)
";

/// A folder with one file that the rule finds on its second line, and the rule.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("app")).unwrap();
        std::fs::write(dir.path().join("app/main.py"), "def go(rocket):\n    launch(rocket)\n").unwrap();
        std::fs::write(dir.path().join("rule.yml"), RULE).unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn root(&self) -> String {
        self.0.path().display().to_string()
    }
}

#[tokio::test]
async fn a_clean_tree_passes() {
    let tree = Tree::new();
    let text = run(&["analyze", &tree.root()]).await.expect(0);
    assert!(text.contains("Quality score  10.0 of 10") && text.contains("Passes:"), "{text}");
    assert!(text.contains("Python"), "{text}");
}

#[tokio::test]
async fn a_finding_is_shown_with_its_code_and_fails_the_run_unless_told_not_to() {
    let tree = Tree::new();
    let rules = tree.path("rule.yml");
    let text = run(&["analyze", &tree.root(), "--rules", &rules]).await.expect(1);
    let frame = "\
high[no-launch] `launch` does not come back  (bug)
 --> app/main.py:2:5
2 |     launch(rocket)
  |     ^^^^^^^^^^^^^^
  = why: It never returns.
  = fix: Call `start`.
";
    assert!(text.contains(frame), "{text}");
    assert!(text.contains("Fails: 1 finding is high or worse."), "{text}");
    for lenient in [&["--fail-on", "critical"][..], &["--fail-on", "never"], &["--disable-rule", "no-launch"]]
    {
        let arguments = [&["analyze", tree.0.path().to_str().unwrap(), "--rules", &rules], lenient].concat();
        run(&arguments).await.expect(0);
    }
}

#[tokio::test]
async fn json_is_the_report() {
    let tree = Tree::new();
    let rules = tree.path("rule.yml");
    let text = run(&["analyze", &tree.root(), "--rules", &rules, "--format", "json"]).await.expect(1);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["code_smells"][0]["rule"], "no-launch");
    assert_eq!(report["code_smells"][0]["region"]["path"], "app/main.py");
    assert!(
        report["quality_score"].as_f64().is_some_and(|score| score <= 7.0),
        "{}",
        report["quality_score"]
    );
}

#[tokio::test]
async fn the_report_can_go_into_a_file_and_one_file_can_be_all_there_is() {
    let tree = Tree::new();
    let report = tree.path("report.json");
    let main = tree.path("app/main.py");
    let text = run(&["analyze", &main, "--format", "json", "--output", &report]).await.expect(0);
    assert_eq!(text, "");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    assert_eq!(report["metrics"]["files"][0]["path"], "main.py");
    assert_eq!(report["metrics"]["files"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn languages_and_globs_narrow_what_is_analysed() {
    let tree = Tree::new();
    std::fs::write(tree.path("app/ship.go"), "package app\n").unwrap();
    let analysed = async |arguments: &[&str]| {
        let root = tree.root();
        let arguments = [&["analyze", &root, "--format", "json"], arguments].concat();
        let report: Value = serde_json::from_str(&run(&arguments).await.expect(0)).unwrap();
        report["summary"]["files_analysed"].as_u64().unwrap()
    };
    assert_eq!(analysed(&[]).await, 2);
    assert_eq!(analysed(&["--lang", "go"]).await, 1);
    assert_eq!(analysed(&["--lang", "go,Python"]).await, 2);
    assert_eq!(analysed(&["--exclude", "*.go"]).await, 1);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name() {
    let tree = Tree::new();
    std::fs::write(tree.path("bad.yml"), "id: x\nlanguage: klingon\n").unwrap();
    let (root, bad) = (tree.root(), tree.path("bad.yml"));
    let cases: [(&[&str], &str); 6] = [
        (&["analyze", "/no/such/place"], "/no/such/place"),
        (&["analyze", &root, "--lang", "klingon"], "klingon"),
        (&["analyze", &root, "--format", "pdf"], "json"),
        (&["analyze", &root, "--rules", &bad], "bad.yml"),
        (&["analyze", &root, "--rules", "/no/such/rule.yml"], "/no/such/rule.yml"),
        (&["analyze", &root, "--fail-on", "sometimes"], "never"),
    ];
    for (arguments, part) in cases {
        let said = run(arguments).await.refused();
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn a_bad_setting_is_refused_by_name_wherever_it_stands() {
    let tree = Tree::new();
    let root = tree.root();
    let mut command = codeyard(&["analyze", &root]);
    let said = ended(command.env("CODEYARD_INTAKE_MAX_FILE", "5")).await.refused();
    assert!(said.contains("CODEYARD_INTAKE_MAX_FILE"), "{said}");

    let file = tree.path("settings.toml");
    std::fs::write(&file, "[intake]\nmax_fles = 5\n").unwrap();
    let said = run(&["analyze", &root, "--config", &file]).await.refused();
    assert!(said.contains("max_fles"), "{said}");
}

#[tokio::test]
async fn the_caps_of_the_configuration_hold() {
    let tree = Tree::new();
    let root = tree.root();
    let mut command = codeyard(&["analyze", &root]);
    let said = ended(command.env("CODEYARD_INTAKE_MAX_FILES", "1")).await.refused();
    assert!(said.contains("intake.max_files"), "{said}");
}

#[tokio::test]
async fn colours_are_for_terminals_unless_asked_for() {
    let tree = Tree::new();
    let root = tree.root();
    let plain = run(&["analyze", &root]).await.expect(0);
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let painted = run(&["analyze", &root, "--color", "always"]).await.expect(0);
    assert!(painted.contains("\u{1b}["), "{painted}");
}

#[tokio::test]
async fn hostile_code_cannot_reach_the_terminal() {
    let tree = Tree::new();
    std::fs::write(tree.path("app/main.py"), "launch('\u{1b}[2J')\n").unwrap();
    let rules = tree.path("rule.yml");
    let text = run(&["analyze", &tree.root(), "--rules", &rules]).await.expect(1);
    assert!(text.contains("launch('\\u{1b}[2J')") && !text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn a_repository_on_a_private_address_is_refused() {
    let said = run(&["analyze", "https://127.0.0.1:1/x.git"]).await.refused();
    assert!(said.contains("intake.allow_private_addresses"), "{said}");
}

#[tokio::test]
async fn a_rule_is_explained() {
    let all = run(&["analyze", "--explain", "all"]).await.expect(0);
    let id = all.lines().next().unwrap().split_whitespace().nth(1).unwrap();
    let page = run(&["analyze", "--explain", id]).await.expect(0);
    assert!(page.starts_with(id) && page.contains("Why\n") && page.contains("Instead\n"), "{page}");
    let tree = Tree::new();
    let (root, rules) = (tree.root(), tree.path("rule.yml"));
    let page = run(&["analyze", &root, "--rules", &rules, "--explain", "no-launch"]).await.expect(0);
    assert!(page.starts_with("no-launch") && page.contains("It never returns."), "{page}");
    std::fs::write(tree.path("codeyard.toml"), "[analysis]\nrule_files = ['/rule.yml']\n").unwrap();
    let all = run(&["analyze", &root, "--explain", "all"]).await.expect(0);
    assert!(all.contains("no-launch") && all.contains("py-is-literal"), "{all}");
    for id in ["too-many-parameters", "secret-github-token", "unreachable-code", "S307"] {
        run(&["analyze", "--explain", id]).await.expect(0);
    }
    let page = run(&["analyze", "--explain", "py-is-literal"]).await.expect(0);
    assert!(page.contains("`codeyard analyze --fix` mends it."), "{page}");
    let said = run(&["analyze", "--explain", "ruff/F401"]).await.refused();
    assert!(said.contains("its documentation explains F401"), "{said}");
    let said = run(&["analyze", "--explain", "no-such-rule"]).await.refused();
    assert!(said.contains("no-such-rule"), "{said}");
}

#[tokio::test]
async fn every_format_is_there_and_another_tool_can_read_it() {
    let tree = Tree::new();
    let (root, rules) = (tree.root(), tree.path("rule.yml"));
    for format in codeyard::export::FORMATS {
        // What one holds is no text, and what the other is about is not the code.
        let sign = match format.name {
            "xlsx" => "PK",
            "cyclonedx" => "\"CycloneDX\"",
            _ => "no-launch",
        };
        let arguments = ["analyze", &root, "--rules", &rules, "--format", format.name];
        let text = run(&arguments).await.expect(1);
        assert!(text.contains(sign), "{}: {text}", format.name);
    }
}

#[tokio::test]
async fn the_schema_of_the_report_can_be_printed() {
    let schema = run(&["analyze", "--schema"]).await.expect(0);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema, codeyard::export::schema().unwrap());
}

#[tokio::test]
async fn with_a_baseline_only_what_is_new_is_shown_and_fails() {
    let tree = Tree::new();
    let (root, rules, before) = (tree.root(), tree.path("rule.yml"), tree.path("before.json"));
    let arguments = ["analyze", &root, "--rules", &rules, "--exclude", "*.json"];
    run(&[&arguments[..], &["--format", "json", "--output", &before]].concat()).await.expect(1);
    let against = [&arguments[..], &["--baseline", &before]].concat();
    let text = run(&against).await.expect(0);
    assert!(text.contains(": 0 new, 1 unchanged, 0 moved, 0 fixed; score +0.0."), "{text}");
    assert!(!text.contains("high[no-launch]"), "{text}");

    let code = "def go(rocket):\n    launch(rocket)\n\n\ndef all(rockets):\n    launch(rockets[0].engine)\n";
    std::fs::write(tree.path("app/main.py"), code).unwrap();
    let text = run(&against).await.expect(1);
    assert!(text.contains("app/main.py:6:5") && !text.contains("app/main.py:2:5"), "{text}");
    assert!(text.contains("Fails: 1 new finding is high or worse."), "{text}");

    std::fs::write(&before, "{}").unwrap();
    let said = run(&against).await.refused();
    assert!(said.contains("before.json"), "{said}");
}
