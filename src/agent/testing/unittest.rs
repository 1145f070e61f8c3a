//! Reads what `python3 -m unittest -v` says: a line for each test, and the failures below.

use super::{Case, Outcome, message};

/// The cases in the words of `unittest`'s verbose runner.
pub(super) fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut current: Option<(String, String)> = None;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.len() >= 70 && line.bytes().all(|byte| byte == b'=') {
            current = None;
            let Some(title) = lines.next() else { break };
            let mut block = String::new();
            while let Some(line) =
                lines.next_if(|line| !line.starts_with("=====") && !line.starts_with("Ran "))
            {
                block = format!("{block}{line}\n");
            }
            blame(&mut cases, title, &block);
            continue;
        }
        if let Some(named) = name_of(line) {
            current = Some(named);
        }
        // A description may stand between the name and the end, and so may whatever the test prints.
        let Some((outcome, why)) = outcome_of(line) else { continue };
        if let Some((name, suite)) = current.take() {
            cases.push(Case { suite, name, outcome, seconds: None, message: why });
        }
    }
    cases
}

/// `test_adds (tests.test_sum.SumTest.test_adds) ... ok`; before Python 3.11 without the name at the end.
fn name_of(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.split_once(" (")?;
    let (class, _) = rest.split_once(')')?;
    let is_name = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.' || c == '<' || c == '>')
    };
    if !is_name(name) || !is_name(class) {
        return None;
    }
    let suite = class.strip_suffix(name).map_or(class, |suite| suite.trim_end_matches('.'));
    Some((name.to_owned(), suite.to_owned()))
}

fn outcome_of(line: &str) -> Option<(Outcome, Option<String>)> {
    let end = line.rsplit_once(" ... ").map_or(line, |(_, end)| end);
    Some(match end {
        "ok" | "expected failure" => (Outcome::Passed, None),
        "FAIL" | "unexpected success" => (Outcome::Failed, None),
        "ERROR" => (Outcome::Error, None),
        end if end.ends_with("ok") && line.contains(" ... ") => (Outcome::Passed, None),
        end => (Outcome::Skipped, Some(end.strip_prefix("skipped ")?.trim_matches(['\'', '"']).to_owned())),
    })
}

/// `FAIL: test_adds (tests.test_sum.SumTest.test_adds)`, and below it why.
fn blame(cases: &mut Vec<Case>, title: &str, block: &str) {
    let Some((sort, rest)) = title.split_once(": ") else { return };
    let outcome = if sort == "FAIL" { Outcome::Failed } else { Outcome::Error };
    let Some((name, suite)) = name_of(rest) else { return };
    let text = block.lines().filter(|line| line.len() < 70 || !line.bytes().all(|byte| byte == b'-'));
    let why = message(&text.collect::<Vec<_>>().join("\n"));
    match cases.iter_mut().find(|case| case.name == name && case.suite == suite && case.message.is_none()) {
        Some(case) => (case.outcome, case.message) = (outcome, why),
        // A class or module that could not be set up has no line of its own.
        None => cases.push(Case { suite, name, outcome, seconds: None, message: why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_and_their_failures_are_read() {
        let (double, single) = ("=".repeat(70), "-".repeat(70));
        let text = format!(
            "test_a (tests.test_x.XTest.test_a) ... ok\n\
             test_b (tests.test_x.XTest.test_b)\nIt adds. ... FAIL\n\
             test_c (tests.test_x.XTest.test_c) ... skipped 'no network'\n\
             test_d (tests.test_x.XTest.test_d) ... printed by the test\nok\n\
             setUpClass (tests.test_y.YTest) ... ERROR\n\n\
             {double}\nERROR: setUpClass (tests.test_y.YTest)\n{single}\nTraceback\nOSError: gone\n\n\
             {double}\nFAIL: test_b (tests.test_x.XTest.test_b)\nIt adds.\n{single}\nTraceback\n\
             AssertionError: 1 != 2\n\n{single}\nRan 4 tests in 0.001s\n\nFAILED (failures=1, errors=1, skipped=1)\n"
        );
        let cases = read(&text);
        let seen: Vec<_> = cases.iter().map(|case| (case.name.as_str(), case.outcome)).collect();
        let expected = [
            ("test_a", Outcome::Passed),
            ("test_b", Outcome::Failed),
            ("test_c", Outcome::Skipped),
            ("test_d", Outcome::Passed),
            ("setUpClass", Outcome::Error),
        ];
        assert_eq!(seen, expected);
        assert_eq!(cases[0].suite, "tests.test_x.XTest");
        assert!(cases[1].message.as_ref().unwrap().contains("1 != 2"), "{cases:?}");
        assert_eq!(cases[2].message.as_deref(), Some("no network"));
        assert!(cases[4].message.as_ref().unwrap().contains("gone"), "{cases:?}");
    }

    #[test]
    fn the_words_of_older_pythons_are_read_too() {
        let cases = read("test_a (tests.test_x.XTest) ... ok\n");
        assert_eq!((cases[0].suite.as_str(), cases[0].name.as_str()), ("tests.test_x.XTest", "test_a"));
    }
}
