//! The engine as a whole: any input, any order, any number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use codeyard::analysis::{Error, Language, Options, Report, Unwatched, Watch, analyze};
use codeyard::model::{Category, Origin, Severity, Skipped, SourceFile};
use proptest::prelude::*;

use super::{file, report};

const VULNERABLE: &str = "import os\n\n\ndef run(name):\n    os.system('rm ' + name)\n";

/// The reasons for which a report skipped things.
fn reasons(report: &Report) -> Vec<&str> {
    report.skipped.iter().map(|skipped| skipped.reason.as_str()).collect()
}

#[test]
fn a_finding_says_what_where_and_why() {
    let report = report(&[file("src/tool.py", VULNERABLE)]);
    assert_eq!(report.security_issues.len(), 1);
    let finding = &report.security_issues[0];
    assert_eq!((finding.rule.as_str(), finding.category), ("py-os-system", Category::Security));
    assert_eq!(
        (finding.region.path.as_str(), finding.region.line, finding.region.column),
        ("src/tool.py", 5, 5)
    );
    assert_eq!((finding.region.end_line, finding.region.end_column), (5, 28));
    assert_eq!(finding.region.snippet, "    os.system('rm ' + name)");
    assert_eq!(finding.symbol, "run");
    assert_eq!(finding.message, "`os.system` hands `'rm ' + name` to a shell");
    assert_eq!(finding.cwe, ["CWE-78"]);
    assert_eq!(finding.origin, Origin::Builtin);
    assert!(report.quality_score.unwrap() <= 8.0);
    assert_eq!(report.recommendations[0].rule.as_deref(), Some("py-os-system"));
    assert_eq!(report.summary.findings, 1);
}

#[test]
fn a_report_survives_the_way_through_json() {
    let before = report(&[file("a.py", VULNERABLE), file("b.go", "package b\n"), file("c.bin", [0_u8; 9])]);
    let json = serde_json::to_string(&before).unwrap();
    let after: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(before, after);
}

#[test]
fn our_fingerprint_survives_moving_and_reformatting_and_githubs_survives_lines_above() {
    let before = report(&[file("a.py", VULNERABLE)]).security_issues[0].fingerprints.clone();
    let moved = VULNERABLE.replace("import os", "import os\nimport sys");
    let moved = report(&[file("a.py", moved)]).security_issues[0].fingerprints.clone();
    assert_eq!(before, moved);
    let reformatted = VULNERABLE.replace("'rm ' + name", "\n        'rm '   + name\n    ");
    let reformatted = report(&[file("renamed.py", reformatted)]).security_issues[0].fingerprints.clone();
    assert_eq!(before.stable, reformatted.stable);
    let twice = format!("{VULNERABLE}    os.system('rm ' + name)\n");
    let twice = report(&[file("a.py", twice)]);
    assert_ne!(twice.security_issues[0].fingerprints.stable, twice.security_issues[1].fingerprints.stable);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_order_of_the_files_and_the_threads_do_not_matter(
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        threads in 1..5_usize,
    ) {
        let files: Vec<SourceFile> = (0..8)
            .map(|n| match n % 4 {
                0 => file(&format!("a{n}.py"), VULNERABLE),
                1 => file(&format!("b{n}.js"), "if (a == b) { eval(x); }\n"),
                2 => file(&format!("c{n}.go"), "package c\n\nfunc f() {\n\tif x == x {\n\t}\n}\n"),
                _ => file(&format!("d{n}.bin"), [0_u8, 1, 2]),
            })
            .collect();
        let shuffled: Vec<SourceFile> = order.iter().map(|&n| files[n].clone()).collect();
        let options = Options { threads: Some(threads), ..Options::default() };
        let other = analyze(&shuffled, Vec::new(), &options, &Unwatched).unwrap();
        prop_assert_eq!(report(&files), other);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        path in prop_oneof!["a.py", "a.js", "a.tsx", "a.go", "A.java", "a.rs", "a.c", "a.cpp", "a.rb", "a.php"],
    ) {
        report(&[SourceFile { path, content: bytes }]);
    }

    #[test]
    fn no_scraps_of_code_make_it_panic(
        words in proptest::collection::vec(
            prop_oneof!["if", "else", "\\{", "\\}", "\\(", "\\)", "\n", "    ", "def f", ":", "'", "\"", "`", "<\\?php",
                "\\?>", "=", "x", "1", "for", "class A", "#", "//", "/\\*", "é", "\t", "lambda", "=>", ";"], 0..80),
        path in prop_oneof!["a.py", "a.js", "a.tsx", "a.go", "A.java", "a.rs", "a.c", "a.cpp", "a.rb", "a.php"],
    ) {
        report(&[file(&path, words.join(" "))]);
    }
}

#[test]
fn deep_nesting_is_measured_and_said() {
    for (path, open, close) in [
        ("a.py", "(", ")"),
        ("a.js", "[", "]"),
        ("a.go", "package a\nvar x = ", ""),
        ("A.java", "{", "}"),
        ("a.rs", "fn f() {", "}"),
        ("a.c", "int f() { if (1) ", ";}"),
        ("a.rb", "[", "]"),
        ("a.php", "<?php (", ")"),
    ] {
        let text = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let report = report(&[file(path, &text)]);
        assert_eq!(report.summary.files, 1, "{path}");
        assert!(!report.skipped.is_empty(), "{path} should say that something was cut off");
    }
    let chain = format!("int f(int a) {{\n{}{{}}}}\n", "if (a) {} else ".repeat(20_000));
    report(&[file("A.c", &chain), file("a.js", chain.replace("int ", "function "))]);
}

#[test]
fn hostile_repetition_costs_no_more_than_its_length() {
    let nested = format!("{}{}", "function f() {\n".repeat(5_000), "}\n".repeat(5_000));
    let functions = report(&[file("a.js", &nested)]).metrics.files[0].functions.len();
    assert_eq!(functions, 32);
    let classes = format!("{}{}", "class A {\n".repeat(5_000), "}\n".repeat(5_000));
    assert!(report(&[file("A.java", &classes)]).findings().next().is_none());
    let marked = "x = y == None  # noqa\n".repeat(20_000);
    assert_eq!(report(&[file("a.py", &marked)]).suppressed.len(), 20_000);
    let comments = "# codeyard: ignore[py-exec-used] nothing\n".repeat(20_000);
    assert_eq!(report(&[file("a.py", &comments)]).unused_suppressions.len(), 20_000);
    let url = "a = \"https://user:hunter2x9@host.internal\"\n".repeat(20_000);
    assert_eq!(report(&[file("a.py", &url)]).summary.findings, 20_000);
}

#[test]
fn what_is_not_analysed_is_said() {
    let long = format!("x = [{}]\n", "1,".repeat(20_000));
    let report = report(&[
        file("binary.py", b"\x00\x01\x02"),
        file("broken.py", "def f(:\n    return (\n"),
        file("data.py", long),
        file("empty.py", ""),
        file("generated.go", "// Code generated by x. DO NOT EDIT.\npackage a\n"),
        file("invalid.py", b"os.system('a' + b)  # \xff\xfe\n"),
        file("nul.py", [&b"x = 1\n".repeat(2_000)[..], b"\0\n"].concat()),
        file("vendor/a.go", "package a\n"),
    ]);
    let said: Vec<(&str, &str)> =
        report.skipped.iter().map(|s| (s.path.as_str(), s.reason.split(':').next().unwrap())).collect();
    let expected = [
        ("binary.py", "binary"),
        ("broken.py", "analysed as far as it parses"),
        ("data.py", "minified or data"),
        ("generated.go", "generated"),
        ("nul.py", "analysed as far as it parses"),
        ("vendor/a.go", "vendored"),
    ];
    assert_eq!(said, expected);
    assert_eq!(report.security_issues[0].region.path, "invalid.py");
    assert!(report.score.covers < 1.0);
}

#[test]
fn nothing_is_not_rated() {
    let empty = report(&[]);
    assert_eq!((empty.quality_score, empty.summary.files), (None, 0));
    let text = report(&[file("README.md", "# Read me\n")]);
    assert_eq!((text.quality_score, text.summary.lines), (None, 1));
    let clean = report(&[file("a.py", "x = 1\n")]);
    assert_eq!(clean.quality_score, Some(10.0));
}

#[test]
fn options_choose_languages_and_rules() {
    let files = [file("a.py", VULNERABLE), file("b.js", "eval(x);\n")];
    let options = Options { languages: Some(vec![Language::JavaScript]), ..Options::default() };
    let report = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
    assert_eq!(report.findings().map(|f| f.rule.as_str()).collect::<Vec<_>>(), ["js-eval-used"]);
    assert_eq!(reasons(&report), ["counted only: its language was not asked for"]);
    let options = Options { disabled_rules: vec!["js-eval-used".to_owned()], ..options };
    assert_eq!(analyze(&files, Vec::new(), &options, &Unwatched).unwrap().findings().count(), 0);
    let before = vec![Skipped { path: "z".to_owned(), reason: "too large".to_owned() }];
    assert!(reasons(&analyze(&files, before, &options, &Unwatched).unwrap()).contains(&"too large"));
}

/// A rule of the user's own, with some of its lines replaced.
fn custom(from: &str, to: &str) -> Options {
    let rule = "id: no-frobnicate\nlanguage: python\nseverity: error\nmessage: \"`frobnicate($X)` is gone\"\n\
        fix: twiddle($X)\nfiles: [\"src/**\"]\nrule:\n  pattern: frobnicate($X)\n";
    Options { rules: vec![rule.replace(from, to)], ..Options::default() }
}

#[test]
fn own_rules_find_and_mend() {
    let files = [file("src/a.py", "frobnicate(a.b)\n"), file("other.py", "frobnicate(1)\n")];
    let report = analyze(&files, Vec::new(), &custom("", ""), &Unwatched).unwrap();
    let found: Vec<_> = report.findings().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].severity, &found[0].origin), (Severity::High, &Origin::Custom));
    assert_eq!(found[0].message, "`frobnicate(a.b)` is gone");
    assert_eq!(found[0].replacement.as_deref(), Some("twiddle(a.b)"));
}

#[test]
fn a_bad_rule_is_refused_with_its_line_and_reason() {
    let refused = |from: &str, to: &str| custom(from, to).validate().unwrap_err().to_string();
    for (from, to, line, reason) in [
        ("language: python", "language: cobol", 2, "unknown language `cobol`"),
        ("language: python", "langauge: python", 2, "unknown field"),
        ("severity: error", "severity: awful", 3, "unknown variant"),
        ("  pattern: frobnicate($X)", "  pattern: \"\"", 7, "pattern"),
        ("  pattern: frobnicate($X)", "  kind: no_such_kind", 7, "no_such_kind"),
        ("  pattern: frobnicate($X)", "  regex: \"(\"", 7, "regex"),
        ("  pattern: frobnicate($X)", "  regex: abc", 7, "every node"),
        ("  pattern: frobnicate($X)", "  matches: missing", 7, "missing"),
        ("[\"src/**\"]", "[\"src/[\"]", 6, "glob"),
        ("id: no-frobnicate", "id: \"\"", 1, "id"),
        ("id: no-frobnicate", "id: py-exec-used", 7, "another rule has this id"),
        ("rule:\n", "rule: [\n", 7, "expected mapping"),
        ("message:", "message: a\nmessage:", 5, "duplicate"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(&format!("line {line}:")), "{to}: {error}");
        assert!(error.to_lowercase().contains(reason), "{to}: {error}");
    }
    let second = Options {
        rules: vec!["id: a\nlanguage: go\nmessage: m\nrule: { pattern: a }\n---\nid: 1 2\n".into()],
        ..Options::default()
    };
    assert!(
        second.validate().unwrap_err().to_string().contains("line 6:"),
        "{}",
        second.validate().unwrap_err()
    );
}

/// Stops after so many files, and writes down what it is told.
#[derive(Default)]
struct Observer {
    stop_after: usize,
    stopped: AtomicBool,
    calls: AtomicUsize,
    told: Mutex<Vec<(usize, usize)>>,
}

impl Watch for Observer {
    fn progress(&self, done: usize, total: usize, _path: &str) {
        self.told.lock().unwrap().push((done, total));
        if self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.stop_after {
            self.stopped.store(true, Ordering::SeqCst);
        }
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

#[test]
fn the_watcher_is_told_and_can_stop() {
    let files: Vec<SourceFile> = (0..20).map(|n| file(&format!("{n}.py"), VULNERABLE)).collect();
    let options = Options { threads: Some(1), ..Options::default() };
    let observer = Observer::default();
    analyze(&files, Vec::new(), &options, &observer).unwrap();
    assert_eq!(*observer.told.lock().unwrap(), (1..=20).map(|n| (n, 20)).collect::<Vec<_>>());
    let observer = Observer { stop_after: 3, ..Observer::default() };
    let error = analyze(&files, Vec::new(), &options, &observer).unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    assert_eq!(observer.told.lock().unwrap().len(), 3);
}
