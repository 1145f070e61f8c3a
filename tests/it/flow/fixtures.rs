//! Fixtures in each language: a line below `flow: rule` is a hit, every other line is none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use codeyard::analysis::rules::BUILTIN;
use codeyard::analysis::{Options, Unwatched, analyze, flow};
use codeyard::model::SourceFile;

use super::file;

#[test]
fn every_fixture_is_found_at_exactly_the_marked_lines() {
    let ids: BTreeSet<&str> = flow::rules().map(|rule| rule.id.as_str()).collect();
    let mut wrong = Vec::new();
    let mut hits = 0;
    for files in projects() {
        let mut marked = BTreeSet::new();
        for source in &files {
            let text = String::from_utf8(source.content.clone()).unwrap();
            for (index, line) in text.lines().enumerate() {
                if let Some((_, rules)) = line.split_once("flow: ") {
                    let rules = rules.split([' ', ',']).filter(|rule| !rule.is_empty());
                    marked.extend(rules.map(|rule| (source.path.clone(), index + 2, rule.to_owned())));
                }
            }
        }
        // Patterns would take the place of findings that have no way to tell.
        let patterns = BUILTIN.iter().filter_map(|(path, _)| Some(path.rsplit_once('/')?.1.to_owned()));
        let options = Options { disabled_rules: patterns.collect(), ..Options::default() };
        let report = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
        let found: BTreeSet<_> = report
            .findings()
            .filter(|finding| ids.contains(finding.rule.as_str()))
            .map(|finding| (finding.region.path.clone(), finding.region.line, finding.rule.clone()))
            .collect();
        hits += marked.len();
        wrong.extend(marked.difference(&found).map(|place| format!("not found: {place:?}")));
        wrong.extend(found.difference(&marked).map(|place| format!("found without a mark: {place:?}")));
        let broken = report.skipped.iter().map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
        wrong.extend(broken);
    }
    assert!(hits > 50, "only {hits} marks");
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_language_with_a_model_has_hits_and_near_misses() {
    for language in ["python", "java", "javascript", "go", "php", "ruby"] {
        let text: String =
            files_below(language).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        assert!(text.matches("flow: ").count() >= 8, "{language} has too few hits");
        assert!(text.matches("safe: ").count() >= 5, "{language} has too few near misses");
    }
}

/// What is analysed together: each file by itself, or a folder that begins with `project`.
fn projects() -> Vec<Vec<SourceFile>> {
    let mut projects = Vec::new();
    for folder in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let files: Vec<_> = files_below(&name).iter().map(|path| read(&folder, path)).collect();
        if name.starts_with("project") {
            projects.push(files);
        } else {
            projects.extend(files.into_iter().map(|file| vec![file]));
        }
    }
    projects
}

fn read(folder: &Path, path: &Path) -> SourceFile {
    let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
    file(name, &fs::read_to_string(path).unwrap())
}

fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/flow/fixtures")
}
