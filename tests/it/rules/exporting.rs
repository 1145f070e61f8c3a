//! The report in the formats of other tools.

use codeyard::analysis::{Report, compare};
use codeyard::export::{FORMATS, format};
use serde_json::Value;

use super::{file, report};

/// A report with findings, a suppressed one, names that need care, and something that was left out.
fn example() -> Report {
    report(&[
        file(
            "src/a b|<.py",
            "import os\n\n\ndef f(x):\n    if x:\n        os.system('<é|> ' + x)\n    return x == None\n",
        ),
        file("src/known.py", "eval(a)  # codeyard: ignore a \"calculator\"\n"),
        file("x.bin", [0_u8]),
    ])
}

fn text(name: &str) -> String {
    String::from_utf8((format(name).unwrap().write)(&example()).unwrap()).unwrap()
}

#[test]
fn sarif_has_what_code_scanning_needs() {
    let log: Value = serde_json::from_str(&text("sarif")).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    let first = &results[0];
    assert_eq!((first["ruleId"].as_str(), first["level"].as_str()), (Some("py-os-system"), Some("error")));
    let place = &first["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/a%20b%7C%3C.py");
    let region = &place["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(6), Some(9)));
    assert_eq!((region["endLine"].as_u64(), region["endColumn"].as_u64()), (Some(6), Some(31)));
    let hash = first["partialFingerprints"]["primaryLocationLineHash"].as_str().unwrap();
    assert!(hash.ends_with(":1"), "{hash}");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
    }
    let rule = rules.iter().find(|rule| rule["id"] == "py-os-system").unwrap();
    assert_eq!(rule["properties"]["security-severity"], "8.0");
    let tags = rule["properties"]["tags"].as_array().unwrap();
    assert!(tags.contains(&"external/cwe/cwe-78".into()), "{tags:?}");
    assert_eq!(results[2]["suppressions"][0]["justification"], "a \"calculator\"");
    assert!(results[0].get("suppressions").is_none());
    assert_eq!(run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"], "binary");
}

#[test]
fn json_is_the_report_itself() {
    let back: Report = serde_json::from_str(&text("json")).unwrap();
    assert_eq!(back, example());
    assert_eq!(compare(&back, &example()).new, []);
}

#[test]
fn csv_holds_no_formulas() {
    let dangerous = report(&[file("=cmd.py", "exec(a)\n")]);
    let written = String::from_utf8((format("csv").unwrap().write)(&dangerous).unwrap()).unwrap();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[1].starts_with("'=cmd.py,1,1,py-exec-used,security,high,medium,CWE-95,"), "{}", lines[1]);
}

#[test]
fn markdown_keeps_its_tables_whole() {
    let written = text("markdown");
    assert!(written.contains("**Score: "));
    assert!(written.contains("| `src/a b\\|<.py:6` | py-os-system |"), "{written}");
    for line in written.lines().filter(|line| line.starts_with('|')) {
        let bars = line.replace("\\|", "").matches('|').count();
        assert!([4, 5, 6].contains(&bars), "{line}");
    }
    assert!(written.contains("- `x.bin`: binary"));
}

#[test]
fn ci_formats_say_every_finding_once() {
    let issues: Value = serde_json::from_str(&text("gitlab")).unwrap();
    let issues = issues.as_array().unwrap();
    assert_eq!(issues.len(), 2);
    assert_eq!(
        (issues[0]["severity"].as_str(), issues[0]["location"]["lines"]["begin"].as_u64()),
        (Some("critical"), Some(6))
    );
    assert_ne!(issues[0]["fingerprint"], issues[1]["fingerprint"]);

    let xml = text("junit");
    assert!(xml.contains("tests=\"3\" failures=\"2\""), "{xml}");
    assert!(xml.contains("message=\"`os.system` hands `'&lt;é|&gt; ' + x` to a shell\""), "{xml}");

    let annotations = text("github");
    let lines: Vec<_> = annotations.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].starts_with("::error file=src/a b|<.py,line=6,endLine=6,title=py-os-system::"),
        "{}",
        lines[0]
    );
    assert!(lines[1].starts_with("::notice "), "{}", lines[1]);
}

#[test]
fn every_format_writes_an_empty_report_too() {
    for format in FORMATS {
        assert!((format.write)(&report(&[])).is_ok(), "{}", format.name);
    }
}
