//! Two reports side by side.

use codeyard::analysis::{Baseline, Report, compare};
use codeyard::model::FindingState;

use super::{file, report};

const CODE: &str =
    "import os\n\n\ndef one(a):\n    eval(a)\n    os.system('rm ' + a)\n\n\ndef two(a):\n    eval(a)\n";

/// How many are new, unchanged, moved and fixed.
fn counts(path: &str, code: &str) -> (usize, usize, usize, usize) {
    let before = report(&[file("pkg/a.py", CODE), file("pkg/b.py", "exec(x)\n")]);
    let mut after = report(&[file(path, code), file("pkg/b.py", "exec(x)\n")]);
    let Baseline { new, unchanged, moved, fixed, .. } = compared(&before, &mut after);
    let stated = after.findings().filter(|finding| finding.state == Some(FindingState::New)).count();
    assert_eq!(stated, new, "what the findings say themselves");
    (new, unchanged, moved, fixed.len())
}

fn compared(before: &Report, after: &mut Report) -> Baseline {
    compare(before, after, "what was");
    after.baseline.clone().unwrap()
}

#[test]
fn nothing_changed() {
    assert_eq!(counts("pkg/a.py", CODE), (0, 4, 0, 0));
}

#[test]
fn lines_above_move_findings_and_make_none_new() {
    assert_eq!(counts("pkg/a.py", &format!("# a\n# b\n{CODE}")), (0, 1, 3, 0));
}

#[test]
fn a_renamed_and_reformatted_file_keeps_its_findings() {
    let code = CODE.replace("'rm ' + a", "\n        'rm '  +  a\n    ");
    assert_eq!(counts("other/c.py", &code), (0, 1, 3, 0));
}

#[test]
fn a_renamed_function_keeps_its_findings() {
    assert_eq!(counts("pkg/a.py", &CODE.replace("def one", "def first")), (0, 4, 0, 0));
}

#[test]
fn a_changed_line_is_the_same_finding_if_it_is_similar() {
    let code =
        CODE.replace("os.system('rm ' + a)", "os.system('rm -f ' + a)").replace("def one", "def first");
    assert_eq!(counts("pkg/a.py", &code), (0, 4, 0, 0));
    let code = CODE.replace("os.system('rm ' + a)", "os.system(build_the_whole_thing_differently(now=1))");
    assert_eq!(counts("pkg/a.py", &code), (1, 3, 0, 1));
}

#[test]
fn new_and_fixed_ones_are_told_apart_from_equal_neighbours() {
    assert_eq!(counts("pkg/a.py", &format!("{CODE}    eval(a)\n")), (1, 4, 0, 0));
    assert_eq!(counts("pkg/a.py", &CODE.replace("    eval(a)\n    os", "    os")), (0, 1, 2, 1));
}

#[test]
fn a_finding_that_is_suppressed_now_is_not_fixed() {
    let before = report(&[file("a.py", "eval(a)\n")]);
    let mut after = report(&[file("a.py", "eval(a)  # codeyard: ignore known\n")]);
    let baseline = compared(&before, &mut after);
    assert_eq!((baseline.fixed.len(), baseline.new, baseline.suppressed), (0, 0, 1));
    assert!(baseline.score_change.unwrap() > 0.0);
}
