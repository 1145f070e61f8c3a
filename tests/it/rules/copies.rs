//! Duplicates: found across files, spacing and comments; not found where there is none.

use super::{file, report};

/// A function of some twelve lines, whose names and numbers depend on `seed`.
fn function(name: &str, seed: usize) -> String {
    let lines = (0..10)
        .map(|n| format!("    value_{seed}_{n} = compute(first_{seed}, {n} + {seed}, second.field_{n})\n"));
    format!("def {name}(first, second):\n{}    return first\n\n\n", lines.collect::<String>())
}

#[test]
fn copies_are_found_across_files_whatever_their_spacing() {
    let copied = function("alpha", 1);
    let respaced = copied.replace(", ", ",   ").replace("    return", "    # a comment\n    return");
    let report = report(&[
        file("a.py", format!("{}{copied}", function("one", 2))),
        file("b.py", format!("{respaced}{}", function("two", 3))),
        file("c.py", function("three", 4)),
    ]);
    assert_eq!(report.duplicates.len(), 1, "{:?}", report.duplicates);
    let group = &report.duplicates[0];
    let places: Vec<_> = group.places.iter().map(|p| (p.path.as_str(), p.line, p.end_line)).collect();
    // The copies end where the files part: behind `return first`.
    assert_eq!(places, [("a.py", 15, 26), ("b.py", 1, 13)]);
    assert_eq!(report.metrics.project.duplicated_lines, 12 + 13);
    assert!(report.quality_score.unwrap() < 10.0);
}

#[test]
fn three_copies_are_one_group_and_a_longer_pair_is_its_own() {
    let (short, long) = (function("alpha", 1), function("beta", 2));
    let report = report(&[
        file("a.py", format!("{short}{long}")),
        file("b.py", format!("{short}{long}")),
        file("c.py", format!("x = 1\n{short}")),
    ]);
    let sizes: Vec<_> = report.duplicates.iter().map(|g| (g.places.len(), g.lines)).collect();
    assert_eq!(sizes, [(2, 26), (3, 12)]);
}

#[test]
fn different_code_and_tables_of_data_are_no_copies() {
    let table = format!("TABLE = [\n{}]\n", "    0, 1, 0, 1,\n".repeat(60));
    let report = report(&[
        file("a.py", function("alpha", 1)),
        file("b.py", function("alpha", 2)),
        file("c.py", &table),
        file("d.py", &table),
    ]);
    assert_eq!(report.duplicates, []);
    assert_eq!(report.metrics.project.duplicated_share.to_bits(), 0.0_f64.to_bits());
}
