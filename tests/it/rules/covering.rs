//! Coverage, from the report of each tool.

use codeyard::analysis::{Coverage, Report};

use super::{file, report};

const CODE: &str = "def f(a):\n    if a:\n        return eval(a)\n    return 2\n";

/// Path, covered lines, lines and missing lines of every file.
fn files(coverage: &Coverage) -> Vec<(&str, usize, usize, &[usize])> {
    coverage.files.iter().map(|f| (f.path.as_str(), f.covered_lines, f.lines, f.missing.as_slice())).collect()
}

fn coverage(report: &Report) -> &Coverage {
    report.coverage.as_ref().unwrap()
}

#[test]
fn every_format_says_the_same() {
    let cobertura = "<?xml version=\"1.0\" ?>\n<coverage line-rate=\"0.75\"><packages><package><classes>
        <class name=\"m\" filename=\"m.py\"><methods/><lines><line number=\"1\" hits=\"1\"/><line number=\"2\" hits=\"3\"/>
        <line number=\"3\" hits=\"0\"/><line number=\"4\" hits=\"1\"/></lines></class></classes></package></packages></coverage>";
    let jacoco = "<?xml version=\"1.0\"?><!DOCTYPE report PUBLIC \"-//JACOCO//DTD Report 1.1//EN\" \"report.dtd\"><report name=\"x\">
        <package name=\"pkg\"><sourcefile name=\"m.py\"><line nr=\"1\" mi=\"0\" ci=\"2\"/><line nr=\"2\" mi=\"0\" ci=\"2\"/>
        <line nr=\"3\" mi=\"4\" ci=\"0\"/><line nr=\"4\" mi=\"0\" ci=\"1\"/></sourcefile></package></report>";
    let lcov = "TN:\nSF:/home/ci/src/pkg/m.py\nDA:1,1\nDA:2,3\nDA:3,0\nDA:4,1\nend_of_record\n";
    let go = "mode: set\nexample.org/x/pkg/m.py:1.1,2.9 2 1\nexample.org/x/pkg/m.py:3.1,3.9 1 0\nexample.org/x/pkg/m.py:4.1,4.9 1 1\n";
    let json = r#"{"meta": {"version": "7"}, "files": {"pkg\\m.py": {"executed_lines": [1, 2, 4], "missing_lines": [3]}}}"#;
    for (name, text) in [
        ("coverage.xml", cobertura),
        ("jacoco.xml", jacoco),
        ("lcov.info", lcov),
        ("c.out", go),
        ("coverage.json", json),
    ] {
        let report = report(&[file("src/pkg/m.py", CODE), file(name, text)]);
        let coverage = coverage(&report);
        assert_eq!(files(coverage), [("src/pkg/m.py", 3, 4, &[3][..])], "{name}");
        assert_eq!((coverage.share, coverage.findings_uncovered), (0.75, 1), "{name}");
        assert_eq!((coverage.sources.as_slice(), coverage.unmatched.len()), (&[name.to_owned()][..], 0));
        let dimension = report.score.dimensions.iter().find(|d| d.name == "coverage").unwrap();
        assert_eq!(dimension.score, Some(7.5));
    }
}

#[test]
fn reports_add_up_and_strange_files_are_named() {
    let one = "SF:m.py\nDA:1,1\nDA:2,0\nend_of_record\nSF:/other/gone.py\nDA:1,1\nend_of_record\n";
    let two = "SF:m.py\nDA:2,5\nDA:3,0\nend_of_record\n";
    let report = report(&[file("m.py", CODE), file("a.info", one), file("b.info", two)]);
    assert_eq!(files(coverage(&report)), [("m.py", 2, 3, &[3][..])]);
    assert_eq!(coverage(&report).unmatched, ["/other/gone.py"]);
}

#[test]
fn without_a_report_it_is_not_known() {
    let report = report(&[file("m.py", CODE), file("data.xml", "<coverage/>"), file("x.json", "{}")]);
    assert_eq!(report.coverage, None);
    let dimension = report.score.dimensions.iter().find(|d| d.name == "coverage").unwrap();
    assert_eq!(dimension.score, None);
}

#[test]
fn two_files_of_one_name_are_not_confused() {
    let lcov = "SF:b/m.py\nDA:1,1\nend_of_record\nSF:m.py\nDA:2,1\nend_of_record\n";
    let report = report(&[file("a/m.py", CODE), file("b/m.py", CODE), file("l.info", lcov)]);
    assert_eq!(files(coverage(&report)), [("b/m.py", 1, 1, &[][..])]);
    assert_eq!(coverage(&report).unmatched, ["m.py"]);
}
