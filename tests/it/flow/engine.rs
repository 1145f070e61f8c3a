//! What the findings hold and how they get along with everything else a report has.

use codeyard::analysis::{Options, Unwatched, analyze};
use codeyard::export::{Document, format};
use codeyard::model::{Origin, SourceFile};

use super::{file, found, report};

const VIEW: &str = "\
from flask import Flask, request
from store import Store

app = Flask(__name__)

@app.route('/find')
def find():
    name = request.args['name']
    return Store().find(name)
";
const STORE: &str = "\
import sqlite3

class Store:
    def __init__(self):
        self.connection = sqlite3.connect('x')

    def find(self, name):
        query = \"SELECT * FROM t WHERE name = '\" + name + \"'\"
        cursor = self.connection.cursor()
        return [str(row[0]) for row in cursor.execute(query)]
";

fn project() -> Vec<SourceFile> {
    vec![file("app/view.py", VIEW), file("app/store.py", STORE)]
}

#[test]
fn a_finding_tells_the_way_across_functions_and_files() {
    let report = report(&project());
    let findings = found(&report, "sql-injection");
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!((finding.region.path.as_str(), finding.region.line), ("app/store.py", 10));
    assert_eq!(finding.cwe, ["CWE-89"]);
    assert_eq!(finding.origin, Origin::Builtin);
    let way: Vec<_> = finding
        .flow
        .iter()
        .map(|step| (step.region.path.as_str(), step.region.line, step.message.as_str()))
        .collect();
    assert_eq!(
        way,
        [
            ("app/view.py", 8, "comes from the request"),
            ("app/view.py", 8, "is kept in `name`"),
            ("app/view.py", 9, "is passed to `find`"),
            ("app/store.py", 8, "is kept in `query`"),
            ("app/store.py", 10, "gets here"),
        ]
    );
}

#[test]
fn the_order_of_the_files_and_the_number_of_threads_change_nothing() {
    let forwards = report(&project());
    let mut files = project();
    files.reverse();
    for threads in [1, 2, 5] {
        let options = Options { threads: Some(threads), ..Options::default() };
        assert_eq!(analyze(&files, Vec::new(), &options, &Unwatched).unwrap(), forwards);
    }
}

#[test]
fn a_rule_about_flows_can_be_switched_off_and_then_what_only_guesses_speaks() {
    let text = "from flask import request\neval(request.args['x'])\n";
    let files = [file("a.py", text)];
    let with = report(&files);
    assert_eq!(found(&with, "code-injection").len(), 1);
    assert_eq!(found(&with, "py-eval-used").len(), 0, "one finding is enough");
    let options = Options { disabled_rules: vec!["code-injection".to_owned()], ..Options::default() };
    let without = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
    assert_eq!(found(&without, "code-injection").len(), 0);
    assert_eq!(found(&without, "py-eval-used").len(), 1);
}

#[test]
fn what_only_guesses_is_silent_where_flows_were_followed_and_speaks_elsewhere() {
    let safe = "from flask import request\nx = request.args['x']\ny = '1'\neval(y + '1')\n";
    assert_eq!(found(&report(&[file("a.py", safe)]), "py-eval-used").len(), 0);
    let unknown = "def run(y):\n    eval(y + '1')\n";
    assert_eq!(found(&report(&[file("a.py", unknown)]), "py-eval-used").len(), 1);
}

#[test]
fn a_comment_suppresses_a_finding_about_a_flow() {
    let text =
        "from flask import request\neval(request.args['x'])  # codeyard: ignore[code-injection] a test\n";
    let report = report(&[file("a.py", text)]);
    assert_eq!(found(&report, "code-injection").len(), 0);
    assert_eq!(report.suppressed[0].finding.rule, "code-injection");
    assert_eq!(report.unused_suppressions, []);
}

#[test]
fn the_way_stands_in_sarif() {
    let report = report(&project());
    let sarif = (format("sarif").unwrap().write)(&Document::from(&report)).unwrap();
    let log: serde_json::Value = serde_json::from_slice(&sarif).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["ruleId"] == "sql-injection").unwrap();
    let steps = result["codeFlows"][0]["threadFlows"][0]["locations"].as_array().unwrap();
    assert_eq!(steps.len(), 5);
    assert_eq!(steps[0]["location"]["physicalLocation"]["artifactLocation"]["uri"], "app/view.py");
}

#[test]
fn no_secret_is_shown_in_a_step() {
    let key = ["AKIA", "Q3EGRIRPLNJAWWVV"].concat();
    let text = format!("from flask import request\nx = request.args['{key}']\neval(x)\n");
    let report = report(&[file("a.py", &text)]);
    let findings = found(&report, "code-injection");
    assert_eq!(findings.len(), 1);
    assert!(findings[0].flow.iter().all(|step| !step.region.snippet.contains(&key)));
}

#[test]
fn tests_are_not_followed_and_what_they_check_is() {
    let text = "from flask import request\neval(request.args['x'])\n";
    for path in ["tests/a.py", "test_a.py", "a_test.py", "src/__tests__/a.py"] {
        assert_eq!(found(&report(&[file(path, text)]), "code-injection").len(), 0, "{path}");
    }
    for path in ["latest/a.py", "testing.py", "contest.py"] {
        assert_eq!(found(&report(&[file(path, text)]), "code-injection").len(), 1, "{path}");
    }
}
