//! Comments that suppress findings: ours, and those of other tools.

use codeyard::analysis::{Options, Report, Unwatched, analyze};

use super::{file, report};

/// The lines on which something is still found.
fn lines(report: &Report) -> Vec<usize> {
    report.findings().map(|finding| finding.region.line).collect()
}

#[test]
fn our_own_mark_works_on_the_line_and_above_it() {
    let code = "eval(a)  # codeyard: ignore[py-eval-used] a calculator for the administrator
# codeyard: ignore[py-eval-used]: the same
# and more to say
eval(b)
eval(c)  # codeyard: ignore[py-exec-used]
# codeyard: ignore all of it
eval(d)
eval(e)
'codeyard: ignore'; eval(f)
";
    let report = report(&[file("a.py", code)]);
    assert_eq!(lines(&report), [5, 8, 9]);
    let reasons: Vec<&str> = report.suppressed.iter().map(|s| s.by.reason.as_str()).collect();
    assert_eq!(reasons, ["a calculator for the administrator", "the same", "all of it"]);
    assert_eq!(report.unused_suppressions.len(), 1);
    assert_eq!(report.unused_suppressions[0].line, 5);
    assert_eq!(report.summary.findings, 3);
}

#[test]
fn a_whole_file_can_be_left_alone() {
    let code = "# codeyard: ignore-file[py-eval-used] made of examples\n\neval(a)\nexec(b)\neval(c)\n";
    assert_eq!(lines(&report(&[file("a.py", code)])), [4]);
}

#[test]
fn a_suppression_expires_on_its_day() {
    let code = "eval(a)  # codeyard: ignore[py-eval-used] until 2026-11-30, then it is rewritten\n";
    let on = |day: &str| {
        let options = Options { today: day.parse().ok(), ..Options::default() };
        analyze(&[file("a.py", code)], Vec::new(), &options, &Unwatched).unwrap().summary.findings
    };
    assert_eq!((on("2026-11-30"), on("2026-12-01"), on("")), (0, 1, 0));
}

#[test]
fn marks_of_other_tools_mean_what_they_mean_there() {
    let python = "eval(a)  # noqa
eval(a)  # noqa: S307
eval(a)  # noqa: E501
eval(a)  # nosec
eval(a)  # nosec B307
eval(a)  # nosec B101
x = y == None  # nosec
# nosemgrep: python.lang.py-eval-used
eval(a)
eval(a)  # nothing about noqanything
eval(a)  # pylint: disable=eval-used,line-too-long
eval(a)  # pylint: disable=exec-used
";
    assert_eq!(lines(&report(&[file("a.py", python)])), [3, 6, 10, 12, 7]);
    let javascript = "eval(a); // eslint-disable-line no-eval -- trusted
eval(a); // eslint-disable-line no-alert
// eslint-disable-next-line
eval(a);
eval(a);
/* eslint-disable no-eval */
eval(a);
/* eslint-enable no-eval */
eval(a);
";
    assert_eq!(lines(&report(&[file("a.js", javascript)])), [2, 5, 9]);
    let c = "void f(void) {
  system(a); // NOLINT
  system(a); // NOLINT(cert-env33-c)
  system(a); // NOLINT(other)
  // NOLINTNEXTLINE
  system(a);
}
";
    assert_eq!(lines(&report(&[file("a.c", c)])), [4]);
    let go = "package a\n\nfunc f() {\n\tmd5.New() //nolint:gosec // a checksum\n\tmd5.New() //nolint:errcheck\n}\n";
    assert_eq!(lines(&report(&[file("a.go", go)])), [5]);
}
