//! The score: monotone, capped, in relation to the size.

use codeyard::analysis::metrics::{FileMetrics, Lines, Metrics};
use codeyard::analysis::score::rate;
use codeyard::model::{Category, Confidence, Finding, Fingerprints, Origin, Region, Severity};
use proptest::prelude::*;

fn finding(category: Category, severity: Severity, confidence: Confidence) -> Finding {
    Finding {
        rule: "rule".to_owned(),
        category,
        severity,
        confidence,
        cwe: Vec::new(),
        owasp: Vec::new(),
        message: String::new(),
        why: String::new(),
        fix: String::new(),
        replacement: None,
        region: Region {
            path: "a.py".to_owned(),
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 2,
            snippet: String::new(),
        },
        symbol: String::new(),
        fingerprints: Fingerprints::default(),
        origin: Origin::Builtin,
        also: Vec::new(),
        flow: Vec::new(),
        state: None,
    }
}

/// A project of one file with so many lines of code.
fn project(code: usize) -> Metrics {
    let lines = Lines { physical: code, code, ..Lines::default() };
    let language = "Python".to_owned();
    Metrics::of(vec![FileMetrics { language, lines, analysed: true, ..FileMetrics::default() }], 0)
}

fn total(findings: &[Finding], code: usize) -> f64 {
    rate(&findings.iter().collect::<Vec<_>>(), &project(code)).total.unwrap()
}

fn any_finding() -> impl Strategy<Value = Finding> {
    let confidences = [Confidence::Low, Confidence::Medium, Confidence::High];
    (
        proptest::sample::select(Category::ALL.to_vec()),
        proptest::sample::select(Severity::ALL.to_vec()),
        proptest::sample::select(confidences.to_vec()),
    )
        .prop_map(|(category, severity, confidence)| finding(category, severity, confidence))
}

proptest! {
    #[test]
    fn one_more_finding_never_raises_it(
        mut findings in proptest::collection::vec(any_finding(), 0..40),
        more in any_finding(),
        code in 1..50_000_usize,
    ) {
        let before = total(&findings, code);
        findings.push(more);
        let after = total(&findings, code);
        prop_assert!(after <= before, "{before} rose to {after}");
        prop_assert!((0.0..=10.0).contains(&after));
    }

    #[test]
    fn the_order_of_findings_does_not_matter(
        findings in proptest::collection::vec(any_finding(), 0..40).prop_shuffle(),
        code in 1..50_000_usize,
    ) {
        let mut reversed = findings.clone();
        reversed.reverse();
        prop_assert_eq!(total(&findings, code).to_bits(), total(&reversed, code).to_bits());
    }
}

#[test]
fn the_worst_finding_caps_it_however_large_the_project() {
    let of = |severity, confidence| total(&[finding(Category::Security, severity, confidence)], 1_000_000);
    assert!(of(Severity::Critical, Confidence::High) <= 4.0);
    assert!(of(Severity::Critical, Confidence::Medium) <= 5.5);
    assert!(of(Severity::High, Confidence::High) <= 7.0);
    assert!(of(Severity::Low, Confidence::High) > 9.9);
    let smell = total(&[finding(Category::Smell, Severity::High, Confidence::High)], 1_000_000);
    assert!(smell > 9.9, "{smell}");
}

#[test]
fn the_same_findings_weigh_less_in_more_code() {
    let findings = vec![finding(Category::Smell, Severity::Medium, Confidence::High); 20];
    assert!(total(&findings, 10_000) > total(&findings, 1_000) + 1.0);
}
