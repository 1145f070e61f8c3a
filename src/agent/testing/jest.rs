//! Reads what `jest --json` writes.

use serde::Deserialize;

use super::{Case, Outcome, message};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    test_results: Vec<File>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    message: String,
    status: String,
    assertion_results: Vec<Assertion>,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assertion {
    #[serde(default)]
    ancestor_titles: Vec<String>,
    title: String,
    status: String,
    duration: Option<f64>,
    #[serde(default)]
    failure_messages: Vec<String>,
}

/// The cases of a report; a file that could not be run is one, too.
pub(super) fn read(text: &str) -> Vec<Case> {
    let Ok(run) = serde_json::from_str::<Run>(text) else { return Vec::new() };
    let mut cases = Vec::new();
    for file in run.test_results {
        if file.assertion_results.is_empty() && file.status == "failed" {
            let name = file.name.rsplit('/').next().unwrap_or_default().to_owned();
            let (suite, message) = (String::new(), message(&file.message));
            cases.push(Case { suite, name, outcome: Outcome::Error, seconds: None, message });
        }
        cases.extend(file.assertion_results.into_iter().map(|assertion| Case {
            suite: assertion.ancestor_titles.join(" > "),
            name: assertion.title,
            outcome: match assertion.status.as_str() {
                "passed" => Outcome::Passed,
                "failed" => Outcome::Failed,
                _ => Outcome::Skipped,
            },
            seconds: assertion.duration.map(|millis| millis / 1000.0),
            message: message(&assertion.failure_messages.join("\n")),
        }));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_files_that_did_not_run_are_read() {
        let text = r#"{"testResults": [
            {"name": "/p/a.test.js", "status": "failed", "message": "x", "assertionResults": [
                {"ancestorTitles": ["sum"], "title": "adds", "status": "passed", "duration": 2},
                {"ancestorTitles": ["sum"], "title": "breaks", "status": "failed", "failureMessages": ["1 is not 2"]},
                {"title": "later", "status": "pending"}]},
            {"name": "/p/b.test.js", "status": "failed", "message": "SyntaxError", "assertionResults": []}]}"#;
        let seen: Vec<_> =
            read(text).into_iter().map(|case| (case.name, case.outcome, case.message)).collect();
        let some = |text: &str| Some(text.to_owned());
        let expected = [
            ("adds".to_owned(), Outcome::Passed, None),
            ("breaks".to_owned(), Outcome::Failed, some("1 is not 2")),
            ("later".to_owned(), Outcome::Skipped, None),
            ("b.test.js".to_owned(), Outcome::Error, some("SyntaxError")),
        ];
        assert_eq!(seen, expected);
    }
}
