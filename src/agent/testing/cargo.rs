//! Reads what `cargo test` says: `test NAME ... ok`, and the failures below.

use super::{Case, Outcome, message};

/// The cases in the words of the standard test harness.
pub(super) fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut blocks: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----")) {
            blocks.push((name, String::new()));
        } else if line == "failures:" || line.starts_with("test result: ") {
            blocks.push(("", String::new()));
        } else if let Some((_, block)) = blocks.last_mut().filter(|(name, _)| !name.is_empty()) {
            *block = format!("{block}{line}\n");
        } else if let Some((name, outcome)) = case_of(line) {
            let name = name.trim_end_matches(" - should panic");
            let (suite, name) = name.rsplit_once("::").unwrap_or(("", name));
            let (suite, name) = (suite.to_owned(), name.to_owned());
            cases.push(Case { suite, name, outcome, seconds: None, message: None });
        }
    }
    for (name, block) in blocks {
        let of_this = |case: &&mut Case| {
            case.outcome == Outcome::Failed
                && case.message.is_none()
                && name.strip_suffix(&case.name).is_some_and(|rest| rest.trim_end_matches("::") == case.suite)
        };
        if let Some(case) = cases.iter_mut().find(of_this) {
            case.message = message(&block);
        }
    }
    cases
}

fn case_of(line: &str) -> Option<(&str, Outcome)> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let outcome = match end.split([',', ' ']).next()? {
        "ok" => Outcome::Passed,
        "FAILED" => Outcome::Failed,
        "ignored" => Outcome::Skipped,
        _ => return None,
    };
    Some((name, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_their_failures_are_read() {
        let text = "\nrunning 4 tests\ntest tests::adds ... ok\ntest tests::breaks ... FAILED\n\
            test tests::later ... ignored, slow\ntest src/lib.rs - add (line 3) ... ok\n\nfailures:\n\n\
            ---- tests::breaks stdout ----\n\nthread 'tests::breaks' panicked at src/lib.rs:9:5:\n1 is not 2\n\n\
            failures:\n    tests::breaks\n\ntest result: FAILED. 2 passed; 1 failed; 1 ignored\n";
        let cases = read(text);
        let seen: Vec<_> =
            cases.iter().map(|case| (case.suite.as_str(), case.name.as_str(), case.outcome)).collect();
        let expected = [
            ("tests", "adds", Outcome::Passed),
            ("tests", "breaks", Outcome::Failed),
            ("tests", "later", Outcome::Skipped),
            ("", "src/lib.rs - add (line 3)", Outcome::Passed),
        ];
        assert_eq!(seen, expected);
        assert!(cases[1].message.as_ref().unwrap().ends_with("1 is not 2"), "{cases:?}");
    }
}
