//! Fixes: what is put into the files, and what had better not be.

use codeyard::analysis::{Mended, Options, Unwatched, analyze, mend};

use super::file;

/// What becomes of a file when this rule of the user's own has a fix, and of how many findings.
fn mended(rule: &str, text: &str) -> Option<Mended> {
    let rule = format!("id: own\nlanguage: python\nmessage: m\n{rule}\n");
    let options = Options { rules: vec![rule], ..Options::default() };
    let files = [file("a.py", text)];
    let mut report = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
    report.narrow(|finding| finding.rule == "own");
    mend(&files, &report).pop()
}

fn after(rule: &str, text: &str) -> String {
    mended(rule, text).unwrap().after
}

#[test]
fn names_lists_and_indentation_are_put_in_as_ast_grep_does() {
    let rule = "fix: new($B, $$$REST, $A)\nrule: { pattern: 'old($A, $B, $$$REST)' }";
    let text = "def f():\n    x = old(1, \"ä\", [\n        2,\n    ], three(3)); y = old(1, 2, 3)\n";
    let expected = "def f():\n    x = new(\"ä\", [\n        2,\n    ], three(3), 1); y = new(2, 3, 1)\n";
    assert_eq!(after(rule, text), expected);
}

#[test]
fn of_edits_that_overlap_the_first_is_made() {
    let rule = "fix: f($A)\nrule: { pattern: g($A) }";
    let mended = mended(rule, "g(g(1))\ng(2)\n").unwrap();
    assert_eq!((mended.after.as_str(), mended.done.len()), ("f(g(1))\nf(2)\n", 2));
}

#[test]
fn a_statement_that_goes_takes_its_line_with_it() {
    let rule = "fix: ''\nrule: { kind: expression_statement, regex: '^trace' }";
    assert_eq!(after(rule, "a()\n    \ntrace(1)  \nb(); trace(2)\n"), "a()\n    \nb(); \n");
}

#[test]
fn an_edit_that_breaks_the_syntax_is_refused_and_the_others_are_made() {
    let rule = "fix: '$A ='\nrule: { pattern: g($A) }";
    let mended = mended(rule, "x = g(1)\nif a:\n    g(b)\n").unwrap();
    assert_eq!((mended.after.as_str(), mended.done.len()), (mended.before.as_str(), 0));
    assert_eq!(mended.refused.len(), 2);
    let rule = "fix: '$A.f()'\nrule: { pattern: g($A) }";
    let mended = self::mended(rule, "x = g(1)\ny = g(b)\n").unwrap();
    assert_eq!(
        (mended.after.as_str(), mended.refused.len()),
        ("x = g(1)\ny = b.f()\n", 1),
        "`1.f` is no name"
    );
}

#[test]
fn secrets_suppressed_findings_and_bytes_that_are_no_text_stay_as_they_are() {
    let rule = "fix: f($A)\nrule: { pattern: g($A) }";
    assert_eq!(mended(rule, "g(1)  # codeyard: ignore[own] it has to\n"), None);
    let key = ["AKIA", "ZZ3SIGQWNS4PRRTC"].concat();
    let text = format!("key = '{key}'; g(1)\ng(2)\n");
    assert_eq!(after(rule, &text), format!("key = '{key}'; g(1)\nf(2)\n"));
    let files = [file("a.py", b"g(1) # \xff\n")];
    let options = Options {
        rules: vec![format!("id: own\nlanguage: python\nmessage: m\n{rule}\n")],
        ..Options::default()
    };
    let report = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
    assert_eq!((report.summary.findings, mend(&files, &report)), (1, Vec::new()));
}

#[test]
fn a_fix_that_names_what_nothing_catches_is_refused_with_its_line() {
    let rule = "id: own\nlanguage: python\nmessage: m\nrule: { pattern: g($A) }\nfix: f($B)\n";
    let options = Options { rules: vec![rule.to_owned()], ..Options::default() };
    let said = options.validate().unwrap_err().to_string();
    assert!(said.contains("line 5: `fix` names $B"), "{said}");
}
