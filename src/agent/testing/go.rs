//! Reads what `go test -json` says: one event a line (`go doc test2json`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Case, Outcome, message};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    #[serde(default)]
    package: String,
    test: Option<String>,
    elapsed: Option<f64>,
    #[serde(default)]
    output: String,
}

/// The cases of a stream of events.
pub(super) fn read(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut output = BTreeMap::<(String, String), String>::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let Ok(event) = serde_json::from_str::<Event>(line) else { continue };
        let Event { action, package, test, elapsed, output: piece } = event;
        let outcome = match action.as_str() {
            "output" => {
                output.entry((package, test.unwrap_or_default())).or_default().push_str(&piece);
                continue;
            }
            "pass" => Outcome::Passed,
            "fail" => Outcome::Failed,
            "skip" => Outcome::Skipped,
            _ => continue,
        };
        let Some(name) = test else { continue };
        let said = output.remove(&(package.clone(), name.clone())).unwrap_or_default();
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("=== ")).collect();
        let message = if outcome == Outcome::Passed { None } else { message(&said.join("\n")) };
        cases.push(Case { suite: package, name, outcome, seconds: elapsed, message });
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_their_failures_are_read() {
        let text = r#"{"Action":"run","Package":"example.com/a","Test":"TestAdd"}
{"Action":"output","Package":"example.com/a","Test":"TestAdd","Output":"=== RUN   TestAdd\n"}
{"Action":"output","Package":"example.com/a","Test":"TestAdd","Output":"    a_test.go:5: 1 is not 2\n"}
{"Action":"fail","Package":"example.com/a","Test":"TestAdd","Elapsed":0.25}
{"Action":"pass","Package":"example.com/a","Test":"TestSub","Elapsed":0}
{"Action":"fail","Package":"example.com/a","Elapsed":0.3}
not an event
"#;
        let cases = read(text);
        assert_eq!(cases.len(), 2);
        assert_eq!((cases[0].outcome, cases[0].seconds), (Outcome::Failed, Some(0.25)));
        assert_eq!(cases[0].message.as_deref(), Some("a_test.go:5: 1 is not 2"));
        assert_eq!((cases[1].name.as_str(), cases[1].outcome), ("TestSub", Outcome::Passed));
    }
}
