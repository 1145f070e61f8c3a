//! Every built-in rule against its fixture: exactly the marked lines are found.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use codeyard::analysis::rules::{BUILTIN, catalogue, compile, read};

use super::{file, report};

/// Rules about the measures of functions, which are not made of patterns.
const LIMITS: [&str; 4] = ["complex-function", "long-function", "deep-nesting", "too-many-parameters"];

#[test]
fn every_rule_compiles_in_each_of_its_languages() {
    let mut wrong = Vec::new();
    for (path, text) in BUILTIN {
        match read(text, true) {
            Err(bad) => wrong.push(format!("{path}: {bad}")),
            Ok(definitions) => {
                for definition in &definitions {
                    for &language in &definition.rule.languages {
                        if let Err(bad) = compile(definition, language) {
                            wrong.push(format!("{path}: {bad}"));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_finds_exactly_the_marked_lines_of_its_fixture() {
    let mut wrong = Vec::new();
    for (path, _) in BUILTIN {
        let (directory, id) = path.split_once('/').unwrap();
        let Some(fixture) = fixture(directory, id) else {
            wrong.push(format!("{path}: no fixture in tests/it/rules/fixtures/{directory}"));
            continue;
        };
        let text = fs::read_to_string(&fixture).unwrap();
        let hits = marked(&text, &format!("ruleid: {id}"));
        let misses = marked(&text, &format!("ok: {id}"));
        let name = fixture.file_name().unwrap().to_str().unwrap();
        let report = report(&[file(name, &text)]);
        let found: BTreeSet<usize> =
            report.findings().filter(|finding| finding.rule == id).map(|f| f.region.line).collect();
        if hits.is_empty() || misses.is_empty() {
            wrong.push(format!("{path}: needs at least one hit and one near miss"));
        }
        if found != hits {
            wrong.push(format!("{path}: found {found:?}, marked {hits:?}"));
        }
        if let Some(skipped) = report.skipped.first() {
            wrong.push(format!("{path}: the fixture is {}", skipped.reason));
        }
    }
    assert!(wrong.is_empty(), "{} rules:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_file_stands_in_the_list_and_every_fixture_belongs_to_a_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed: HashSet<String> = BUILTIN.iter().map(|(path, _)| (*path).to_owned()).collect();
    for place in ["src/analysis/rules", "tests/it/rules/fixtures"] {
        for directory in fs::read_dir(root.join(place)).unwrap().map(|entry| entry.unwrap().path()) {
            if !directory.is_dir() {
                continue;
            }
            for path in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
                let stem = path.file_stem().unwrap().to_str().unwrap();
                let key = format!("{}/{stem}", directory.file_name().unwrap().to_str().unwrap());
                assert!(listed.contains(&key), "{} is not in rules/list.rs", path.display());
            }
        }
    }
}

#[test]
fn every_rule_explains_itself() {
    let mut ids = HashSet::new();
    for rule in catalogue() {
        let id = &rule.id;
        assert!(ids.insert(id.clone()), "{id} is used twice");
        let of_a_file = BUILTIN.iter().any(|(path, _)| path.ends_with(&format!("/{id}")));
        assert!(
            of_a_file || id.starts_with("secret-") || LIMITS.contains(&id.as_str()),
            "{id} is not its file's name"
        );
        for (what, text) in [
            ("message", &rule.message),
            ("why", &rule.why),
            ("instead", &rule.instead),
            ("example", &rule.example),
        ] {
            assert!(!text.trim().is_empty(), "{id} has no {what}");
        }
        assert!(rule.cwe.iter().all(|cwe| cwe.starts_with("CWE-")), "{id}: {:?}", rule.cwe);
    }
    assert!(ids.len() > BUILTIN.len());
}

/// The fixture of a rule, whatever its extension.
fn fixture(directory: &str, id: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/rules/fixtures").join(directory);
    fs::read_dir(place)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_stem().is_some_and(|stem| stem == id))
}

/// The lines below the lines that carry a mark.
fn marked(text: &str, mark: &str) -> BTreeSet<usize> {
    let carries = |line: &str| {
        line.split_once(mark)
            .is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    };
    text.lines().enumerate().filter(|(_, line)| carries(line)).map(|(index, _)| index + 2).collect()
}
