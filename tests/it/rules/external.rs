//! What other analyzers say: read, merged with what we say, suppressed as ours; and the analyzers themselves, really run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use codeyard::analysis::external::{Analyzer, AnalyzerState, Hit, Output, Run, SARIF, tool};
use codeyard::analysis::{Options, Report, Unwatched, analyze};
use codeyard::config::{Analyzers, Config};
use codeyard::kinds::analysis::external::Wanted;
use codeyard::model::{Category, Finding, Origin, Severity, SourceFile};
use codeyard::sandbox::{Level, Sandbox, Settings};
use tokio_util::sync::CancellationToken;

use super::file;

fn settings() -> Analyzers {
    Config::defaults().unwrap().analyzers
}

/// What a tool's reader makes of what it wrote.
fn read(name: &str, stdout: &str) -> Vec<Hit> {
    let tool = if name.is_empty() { &SARIF } else { tool(name).unwrap() };
    (tool.read)(&Output { stdout: stdout.to_owned(), stderr: String::new() }).unwrap()
}

fn run_of(name: &str, hits: Vec<Hit>) -> Run {
    let analyzer = Analyzer {
        name: name.to_owned(),
        state: AnalyzerState::Ran,
        version: None,
        checks_types: tool(name).is_some_and(|tool| tool.checks_types),
        findings: hits.len(),
        detail: String::new(),
    };
    Run { analyzer, hits }
}

fn report_with(files: &[SourceFile], external: Vec<Run>) -> Report {
    analyze(files, Vec::new(), &Options { external, ..Options::default() }, &Unwatched).unwrap()
}

/// One thing that bandit says.
fn bandit(path: &str, line: usize, code: &str, cwe: u32) -> Hit {
    let result = serde_json::json!({ "results": [{
        "filename": path, "line_number": line, "test_id": code, "issue_text": "careful", "issue_severity": "HIGH",
        "issue_confidence": "HIGH", "issue_cwe": { "id": cwe }, "col_offset": 0, "end_col_offset": 4, "line_range": [line],
    }]});
    read("bandit", &result.to_string()).remove(0)
}

fn found<'r>(report: &'r Report, rule: &str) -> &'r Finding {
    report.findings().find(|finding| finding.rule == rule).unwrap()
}

#[test]
fn what_two_say_is_said_once_and_names_both() {
    let files = [file("a.py", "import os\nos.system(x)\nassert y\n")];
    let runs = vec![
        run_of("bandit", vec![bandit("a.py", 2, "B605", 78), bandit("a.py", 3, "B101", 703)]),
        run_of(
            "ruff",
            read(
                "ruff",
                r#"[{"code":"S101","filename":"a.py","message":"assert used","location":{"row":3,"column":1},"end_location":{"row":3,"column":7}}]"#,
            ),
        ),
    ];
    let report = report_with(&files, runs);
    assert_eq!(found(&report, "py-os-system").also, ["bandit/B605"]);
    assert_eq!(found(&report, "py-os-system").origin, Origin::Builtin);
    let assertion = found(&report, "bandit/B101");
    assert_eq!(
        (assertion.also.as_slice(), assertion.cwe.as_slice()),
        (&["ruff/S101".to_owned()][..], &["CWE-703".to_owned()][..])
    );
    assert_eq!(assertion.origin, Origin::External { tool: "bandit".to_owned() });
    assert_eq!(report.summary.findings, 2);
    assert_eq!(report.summary.findings, report.findings().count());
    // The same weakness on another line, or another weakness on the same, is another problem.
    let apart = [run_of("bandit", vec![bandit("a.py", 3, "B605", 78), bandit("a.py", 2, "B404", 400)])];
    assert_eq!(report_with(&files, apart.to_vec()).summary.findings, 3);
}

#[test]
fn comments_suppress_what_others_find_by_their_names_and_ours() {
    let code = "assert a  # nosec B101\nassert b  # noqa: S101\n# codeyard: ignore[ruff/S101] it is fine\nassert c\nassert d\n";
    let hit = |row: usize| {
        format!(
            r#"{{"code":"S101","filename":"a.py","message":"assert","location":{{"row":{row},"column":1}},"end_location":{{"row":{row},"column":9}}}}"#
        )
    };
    let hits = read("ruff", &format!("[{}]", [hit(2), hit(4), hit(5)].join(",")));
    let runs = vec![run_of("bandit", vec![bandit("a.py", 1, "B101", 703)]), run_of("ruff", hits)];
    let report = report_with(&[file("a.py", code)], runs);
    let left: Vec<(usize, &str)> = report.findings().map(|f| (f.region.line, f.rule.as_str())).collect();
    assert_eq!(left, [(5, "ruff/S101")]);
    assert_eq!(report.suppressed.len(), 3);
    assert_eq!(report.unused_suppressions, [], "the comment of ours suppresses something");
}

#[test]
fn a_place_that_is_not_there_becomes_the_nearest_and_a_secret_stays_hidden() {
    let key = ["AKIA", "Q3EGPLVRWLP5", "XMZA"].concat();
    let files = [file("a.py", format!("ä = 1\nkey = \"{key}\"\n"))];
    let mut wild = bandit("a.py", 2, "B105", 259);
    wild.message = format!("Possible hardcoded password: '{key}'");
    let mut beyond = bandit("a.py", 999, "B999", 1);
    (beyond.column, beyond.end_line, beyond.end_column) = (7777, 1, 1);
    let report = report_with(&files, vec![run_of("bandit", vec![wild, beyond])]);
    assert!(!serde_json::to_string(&report).unwrap().contains(&key));
    assert!(found(&report, "bandit/B999").region.line <= 3);
    // What is about no file of the source is about nothing.
    let elsewhere = vec![run_of("bandit", vec![bandit("../etc/passwd", 1, "B1", 1)])];
    assert!(report_with(&files, elsewhere).findings().all(|finding| finding.origin == Origin::Builtin));
}

#[test]
fn type_errors_come_from_type_checkers_and_their_lack_is_said() {
    let files = [file("a.py", "def f() -> str:\n    return 1\n")];
    let line = r#"{"file": "a.py", "line": 2, "column": 11, "end_line": 2, "end_column": 12, "message": "Incompatible", "hint": null, "code": "return-value", "severity": "error"}"#;
    let absent = line.replace("return-value", "import-not-found");
    let report = report_with(&files, vec![run_of("mypy", read("mypy", &format!("{line}\n{absent}\n")))]);
    assert_eq!(report.type_errors.len(), 1);
    assert_eq!(report.type_errors[0].region.snippet, "    return 1");
    assert_eq!(report.type_errors[0].region.column, 12);
    assert_eq!(report.type_checkers, ["mypy"]);
    assert!(report_with(&files, vec![run_of("ruff", Vec::new())]).type_checkers.is_empty());
    let without = report_with(&files, Vec::new());
    assert!(report.quality_score < without.quality_score, "a type error costs something");
}

#[test]
fn go_vet_writes_objects_between_comments_and_plain_errors() {
    let said = "# example.org/a\n{\n\t\"example.org/a\": {\n\t\t\"printf\": [\n\t\t\t{\n\t\t\t\t\"posn\": \"/src/main.go:6:2\",\n\
        \t\t\t\t\"message\": \"wrong verb\"\n\t\t\t}\n\t\t]\n\t}\n}\n# example.org/b\nvet: ./b.go:3:9: undefined: x\n";
    let hits = read("go vet", said);
    let places: Vec<_> =
        hits.iter().map(|hit| (hit.path.as_str(), hit.line, hit.column, hit.category)).collect();
    assert_eq!(places, [("b.go", 3, 9, Category::Type), ("/src/main.go", 6, 2, Category::Bug)]);
}

#[test]
fn sarif_is_read_with_its_weaknesses_wherever_a_tool_puts_them() {
    let log = serde_json::json!({ "version": "2.1.0", "runs": [{
        "tool": { "driver": { "name": "x", "rules": [
            { "id": "R1", "properties": { "tags": ["security", "external/cwe/cwe-079"], "security-severity": "9.1" } },
            { "id": "R2", "relationships": [{ "target": { "id": "338", "toolComponent": { "name": "CWE" } } }],
              "messageStrings": { "m": { "text": "weak {0}" } }, "defaultConfiguration": { "level": "note" } },
        ]}},
        "results": [
            { "ruleId": "R1", "message": { "text": "one" }, "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": "src/a%20b.js" }, "region": { "startLine": 3, "startColumn": 2, "endColumn": 9 } } }] },
            { "ruleIndex": 1, "message": { "id": "m", "arguments": ["random"] }, "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": "file:///w/b.go" }, "region": { "startLine": 1 } } }] },
            { "ruleId": "R1", "message": { "text": "known" }, "suppressions": [{ "kind": "inSource" }], "locations": [] },
        ],
    }]});
    let hits = read("", &format!("some words first\n{log}"));
    assert_eq!(hits.len(), 2);
    assert_eq!(
        (hits[0].path.as_str(), hits[0].severity, hits[0].cwe.as_slice()),
        ("src/a b.js", Severity::Critical, &["CWE-79".to_owned()][..])
    );
    assert_eq!(
        (hits[1].path.as_str(), hits[1].severity, hits[1].cwe.as_slice()),
        ("/w/b.go", Severity::Low, &["CWE-338".to_owned()][..])
    );
    assert_eq!((hits[1].rule.as_str(), hits[1].message.as_str()), ("R2", "weak random"));
}

#[test]
fn broken_output_is_an_error_and_never_a_clean_run() {
    for name in [
        "ruff",
        "bandit",
        "pylint",
        "eslint",
        "shellcheck",
        "semgrep",
        "gosec",
        "golangci-lint",
        "cargo check",
    ] {
        let read = tool(name).unwrap().read;
        let output = Output { stdout: "oops".to_owned(), stderr: "it broke".to_owned() };
        assert!(read(&output).is_err(), "{name}");
    }
}

#[test]
fn only_what_the_settings_allow_may_be_asked_for() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (place, why) = Wanted::allowed(&names(&["ruff"]), &settings()).unwrap_err();
    assert_eq!((place, why.contains("none")), (0, true), "{why}");
    let sarif = BTreeMap::from([("mine".to_owned(), names(&["my-linter"]))]);
    let open = Analyzers { allowed: names(&["ruff"]), sarif, ..settings() };
    assert!(!Wanted::allowed(&names(&["ruff", "mine"]), &open).unwrap().is_empty());
    assert_eq!(Wanted::allowed(&names(&["ruff", "mypy"]), &open).unwrap_err().0, 1);
    assert!(Wanted::named(&names(&["mypy"]), &open).is_ok());
    assert!(Wanted::named(&names(&["no-such-tool"]), &open).unwrap_err().1.contains("shellcheck"));
}

/// Where the analyzers are installed; `None` at home, where they may be missing.
fn installed() -> Option<PathBuf> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_codeyard"));
    let home = program.ancestors().nth(2).unwrap().join("analyzers");
    if home.join("installed").is_file() {
        return Some(home);
    }
    assert!(std::env::var_os("CI").is_none(), "the analyzers are not installed: run .ci/analyzers");
    eprintln!("the analyzers are not installed (.ci/analyzers does it): they are not tested");
    None
}

/// What the analyzers of these names find, in the strongest sandbox.
async fn look(names: &[&str], files: &[SourceFile], settings: Analyzers) -> Report {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let wanted = Wanted::named(&names, &settings).unwrap();
    let sandbox = Sandbox::detect(&Settings::new(env!("CARGO_BIN_EXE_codeyard"))).await.unwrap();
    let runs = wanted.run(files, true, &sandbox, &CancellationToken::new(), &|_| ()).await.unwrap();
    report_with(files, runs)
}

fn here(home: &std::path::Path) -> Analyzers {
    let folders = ["python", "node/node_modules", "rust"].map(|name| home.join(name).display().to_string());
    Analyzers { folders: folders.to_vec(), ..settings() }
}

/// How each analyzer went and what it found, by rule.
fn rules_of<'r>(report: &'r Report, name: &str) -> Vec<&'r str> {
    let analyzer = report.analyzers.iter().find(|analyzer| analyzer.name == name).unwrap();
    assert_eq!(analyzer.state, AnalyzerState::Ran, "{analyzer:?}");
    assert!(analyzer.version.is_some(), "{analyzer:?}");
    let own =
        report.findings().filter(|finding| finding.origin == Origin::External { tool: name.to_owned() });
    own.map(|finding| finding.rule.as_str()).chain(also(report, name)).collect()
}

fn also<'r>(report: &'r Report, name: &str) -> impl Iterator<Item = &'r str> {
    let prefix = format!("{name}/");
    report
        .findings()
        .flat_map(|finding| &finding.also)
        .map(String::as_str)
        .filter(move |rule| rule.starts_with(&prefix))
}

#[tokio::test]
async fn the_analyzers_of_python_and_the_shell_are_really_run() {
    let Some(home) = installed() else { return };
    let files = [
        file(
            "app/run.py",
            "import os\nimport subprocess\nimport nowhere\n\n\ndef run(x: int) -> str:\n    subprocess.call(x, shell=True)\n    return x\n",
        ),
        file("go.sh", "#!/bin/sh\nrm -rf $1/\n"),
    ];
    let report =
        look(&["ruff", "bandit", "mypy", "pylint", "shellcheck", "go vet"], &files, here(&home)).await;
    assert!(rules_of(&report, "ruff").contains(&"ruff/F401"), "{report:#?}");
    assert!(also(&report, "bandit").any(|rule| rule == "bandit/B602"), "merged with our own: {report:#?}");
    assert!(rules_of(&report, "mypy").contains(&"mypy/return-value"));
    assert!(!rules_of(&report, "mypy").contains(&"mypy/import-not-found"), "packages are not there");
    assert!(rules_of(&report, "pylint").contains(&"pylint/unused-import"));
    assert!(rules_of(&report, "shellcheck").contains(&"shellcheck/SC2086"));
    assert_eq!(report.type_checkers, ["mypy"]);
    assert!(
        report
            .type_errors
            .iter()
            .any(|finding| finding.region.path == "app/run.py" && finding.symbol == "run")
    );
    let go = report.analyzers.iter().find(|analyzer| analyzer.name == "go vet").unwrap();
    assert_eq!(
        (go.state, go.detail.as_str()),
        (AnalyzerState::NotApplicable, "there is no go.mod at the root")
    );
}

#[tokio::test]
async fn the_analyzers_of_javascript_are_really_run() {
    let Some(home) = installed() else { return };
    let files = [
        file(
            "eslint.config.js",
            "module.exports = [{ files: [\"**/*.js\"], rules: { \"no-unused-vars\": \"error\" } }];\n",
        ),
        file("tsconfig.json", "{\"compilerOptions\": {\"strict\": true, \"types\": []}}\n"),
        file("src/a.js", "const left = 1;\n"),
        file("src/b.ts", "import { y } from \"nothing\";\nexport const x: number = \"a\" + y;\n"),
    ];
    let report = look(&["eslint", "tsc"], &files, here(&home)).await;
    assert!(rules_of(&report, "eslint").contains(&"eslint/no-unused-vars"), "{report:#?}");
    assert_eq!(rules_of(&report, "tsc"), ["tsc/TS2322"]);
    assert_eq!(report.type_errors[0].region.path, "src/b.ts");
}

#[tokio::test]
async fn the_compiler_of_rust_and_clippy_are_really_run() {
    let Some(home) = installed() else { return };
    if !home.join("rust").is_dir() {
        eprintln!("the toolchain lies on another file system: cargo check and clippy are not tested");
        return;
    }
    let manifest = file("Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    let code = "pub fn f(x: Vec<u8>) -> bool {\n    let unused = 1;\n    x.len() == 0\n}\n";
    let report =
        look(&["cargo check", "clippy"], &[manifest.clone(), file("src/lib.rs", code)], here(&home)).await;
    assert!(rules_of(&report, "clippy").contains(&"clippy/clippy::len_zero"), "{report:#?}");
    assert!(rules_of(&report, "cargo check").contains(&"cargo check/unused_variables"));
    assert!(also(&report, "clippy").any(|rule| rule == "clippy/unused_variables"), "said once");

    let broken = file("src/lib.rs", "pub fn f() -> u8 {\n    \"a\"\n}\n");
    let report = look(&["cargo check"], &[manifest, broken], here(&home)).await;
    assert_eq!(report.type_errors[0].rule, "cargo check/E0308");
}

#[tokio::test]
async fn a_command_of_ones_own_is_run_and_what_fails_or_is_missing_says_so() {
    let script = "#!/bin/sh\nprintf '%s' '{\"runs\":[{\"tool\":{\"driver\":{\"name\":\"m\"}},\"results\":[{\"ruleId\":\"R\",\"message\":{\"text\":\"no\"},\
        \"locations\":[{\"physicalLocation\":{\"artifactLocation\":{\"uri\":\"a.py\"},\"region\":{\"startLine\":1}}}]}]}]}'\n";
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let sarif = BTreeMap::from([
        ("mine".to_owned(), words(&["sh", "lint.sh"])),
        ("silent".to_owned(), words(&["true"])),
        ("slow".to_owned(), words(&["sh", "-c", "case $1 in --version) ;; *) sleep 60 ;; esac", "-", "go"])),
        ("failing".to_owned(), words(&["sh", "-c", "echo broken >&2; exit 3"])),
        ("missing".to_owned(), words(&["no-such-program-anywhere"])),
    ]);
    let settings = Analyzers { sarif, ..settings() };
    let names = ["mine", "silent", "failing", "missing"];
    let hasty = Analyzers { timeout_seconds: 1, ..settings.clone() };
    let report = look(&names, &[file("a.py", "x = 1\n"), file("lint.sh", script)], settings).await;
    let state = |name: &str| {
        let analyzer = report.analyzers.iter().find(|analyzer| analyzer.name == name).unwrap();
        (analyzer.state, analyzer.detail.clone())
    };
    assert_eq!(found(&report, "mine/R").message, "no");
    assert_eq!(state("silent"), (AnalyzerState::Failed, "it wrote no SARIF".to_owned()));
    assert_eq!(state("failing"), (AnalyzerState::Failed, "it ended with exit code 3: broken".to_owned()));
    assert_eq!(state("missing").0, AnalyzerState::NotInstalled, "{:?}", state("missing"));
    assert!(report.type_checkers.is_empty());
    let late = look(&["slow"], &[file("a.py", "x = 1\n")], hasty).await;
    assert!(late.analyzers[0].detail.starts_with("it was killed (Wall)"), "{:?}", late.analyzers);
}

#[tokio::test]
async fn without_a_sandbox_that_holds_nothing_of_strangers_is_run() {
    let sandbox =
        Sandbox::untested(&Settings::new(env!("CARGO_BIN_EXE_codeyard")), Level::ProcessOnly).unwrap();
    let sarif = BTreeMap::from([("mine".to_owned(), vec!["true".to_owned()])]);
    let wanted = Wanted::named(&["mine".to_owned()], &Analyzers { sarif, ..settings() }).unwrap();
    let files = [file("a.py", "x = 1\n")];
    let runs = wanted.run(&files, false, &sandbox, &CancellationToken::new(), &|_| ()).await.unwrap();
    assert_eq!(runs[0].analyzer.state, AnalyzerState::Failed);
    assert!(runs[0].analyzer.detail.contains("no sandbox"), "{runs:?}");
}
