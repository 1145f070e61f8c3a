//! Every built-in rule against its fixture: exactly the marked lines are found.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use codeyard::analysis::checks;
use codeyard::analysis::rules::{BUILTIN, catalogue, compile, read};
use codeyard::analysis::{Options, Unwatched, analyze, flow, mend};

use super::file;

/// The fixtures of the rules that are code: as many files for each as it takes, one for a language.
const CHECKS: &str = "checks";
/// What `--fix` makes of the fixtures of the rules that have a fix.
const MENDED: &str = "mended";

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
        wrong.extend(differences(&fixture, id));
    }
    assert!(wrong.is_empty(), "{} rules:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_check_finds_exactly_the_marked_lines_of_its_fixtures() {
    let checks: BTreeSet<&str> = checks::rules().iter().map(|rule| rule.id.as_str()).collect();
    let mut unseen = checks.clone();
    let mut wrong = Vec::new();
    for fixture in files(&root().join("tests/it/rules/fixtures").join(CHECKS)) {
        let id = fixture.file_stem().unwrap().to_str().unwrap();
        assert!(checks.contains(id), "{} belongs to no check", fixture.display());
        unseen.remove(id);
        wrong.extend(differences(&fixture, id));
    }
    assert!(unseen.is_empty(), "no fixture for {unseen:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_file_stands_in_the_list_and_every_fixture_belongs_to_a_rule() {
    let root = root();
    let listed: HashSet<String> = BUILTIN.iter().map(|(path, _)| (*path).to_owned()).collect();
    for place in ["src/analysis/rules", "tests/it/rules/fixtures"] {
        for directory in fs::read_dir(root.join(place)).unwrap().map(|entry| entry.unwrap().path()) {
            if !directory.is_dir() || [CHECKS, MENDED].iter().any(|other| directory.ends_with(other)) {
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
    for (path, _) in BUILTIN {
        let id = path.rsplit('/').next().unwrap();
        assert!(ids.contains(id), "{path}: its rule has another id");
    }
    assert!(ids.len() > BUILTIN.len());
}

/// How what is found in a fixture differs from its marks.
fn differences(fixture: &Path, id: &str) -> Vec<String> {
    let text = fs::read_to_string(fixture).unwrap();
    let hits = marked(&text, &format!("ruleid: {id}"));
    let misses = marked(&text, &format!("ok: {id}"));
    let name = fixture.file_name().unwrap().to_str().unwrap();
    // A rule about flows may say the same, and better.
    let flows = flow::rules().map(|rule| rule.id.clone()).collect();
    let options = Options { disabled_rules: flows, ..Options::default() };
    let report = analyze(&[file(name, &text)], Vec::new(), &options, &Unwatched).unwrap();
    let found: BTreeSet<usize> =
        report.findings().filter(|finding| finding.rule == id).map(|f| f.region.line).collect();
    let mut wrong = Vec::new();
    if hits.is_empty() || misses.is_empty() {
        wrong.push(format!("{name}: needs at least one hit and one near miss"));
    }
    if found != hits {
        wrong.push(format!("{name}: found {found:?}, marked {hits:?}"));
    }
    if let Some(skipped) = report.skipped.first() {
        wrong.push(format!("{name}: the fixture is {}", skipped.reason));
    }
    wrong
}

#[test]
fn every_fix_turns_its_fixture_into_what_is_expected() {
    let fixable: Vec<String> =
        catalogue().into_iter().filter(|rule| rule.fix.is_some()).map(|rule| rule.id).collect();
    let place = root().join("tests/it/rules/fixtures").join(MENDED);
    let expected = files(&place);
    for path in &expected {
        let id = path.file_stem().unwrap().to_str().unwrap();
        assert!(fixable.iter().any(|rule| rule == id), "{} belongs to no rule with a fix", path.display());
    }
    let mut wrong = Vec::new();
    for (path, _) in BUILTIN {
        let (directory, id) = path.split_once('/').unwrap();
        if !fixable.iter().any(|rule| rule == id) {
            continue;
        }
        let fixture = fixture(directory, id).unwrap();
        let name = fixture.file_name().unwrap().to_str().unwrap();
        let sources = [file(name, fs::read_to_string(&fixture).unwrap())];
        let mut report = analyze(&sources, Vec::new(), &Options::default(), &Unwatched).unwrap();
        report.narrow(|finding| finding.rule == id);
        let mended = mend(&sources, &report).pop().unwrap();
        assert_eq!(mended.refused, [], "{id}");
        let again = [file(name, &mended.after)];
        let left = analyze(&again, Vec::new(), &Options::default(), &Unwatched).unwrap();
        if left.findings().any(|finding| finding.rule == id) {
            wrong.push(format!("{id}: is found again in\n{}", mended.after));
        }
        if fs::read_to_string(place.join(name)).ok().as_deref() != Some(mended.after.as_str()) {
            wrong.push(format!("{id}: fixtures/{MENDED}/{name} is not\n{}", mended.after));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// The fixture of a rule, whatever its extension.
fn fixture(directory: &str, id: &str) -> Option<PathBuf> {
    let place = root().join("tests/it/rules/fixtures").join(directory);
    files(&place).into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == id))
}

/// The lines below the lines that carry a mark.
fn marked(text: &str, mark: &str) -> BTreeSet<usize> {
    let carries = |line: &str| {
        line.split_once(mark)
            .is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '-'))
    };
    text.lines().enumerate().filter(|(_, line)| carries(line)).map(|(index, _)| index + 2).collect()
}
