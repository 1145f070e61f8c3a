//! The models and rules themselves: all of them read, and every name in them means something.

use std::collections::HashSet;

use codeyard::analysis::flow;
use codeyard::analysis::rules::catalogue;

#[test]
fn every_model_and_every_rule_reads() {
    assert_eq!(flow::problems(), Vec::<String>::new());
    assert!(flow::rules().count() >= 19);
}

#[test]
fn every_pattern_that_a_rule_replaces_exists() {
    let ids: HashSet<String> = catalogue().into_iter().map(|rule| rule.id).collect();
    let replaced: Vec<&str> = flow::replaced().collect();
    assert!(replaced.len() > 15);
    assert_eq!(replaced.into_iter().filter(|id| !ids.contains(*id)).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_model_file_stands_in_the_list() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/analysis/flow/models");
    let mut there = HashSet::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yml") {
                let name = path.strip_prefix(&root).unwrap().with_extension("");
                there.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    there.remove("rules");
    let listed: HashSet<String> = flow::MODELS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, listed);
}

#[test]
fn every_rule_about_flows_explains_itself_in_the_catalogue() {
    let catalogue = catalogue();
    for rule in flow::rules() {
        let listed = catalogue.iter().find(|known| known.id == rule.id).unwrap();
        for (what, text) in [
            ("message", &listed.message),
            ("why", &listed.why),
            ("instead", &listed.instead),
            ("example", &listed.example),
        ] {
            assert!(!text.trim().is_empty(), "{} has no {what}", rule.id);
        }
        assert!(!listed.references.is_empty() && !listed.cwe.is_empty() && !listed.owasp.is_empty());
        assert!(!listed.languages.is_empty(), "{} is about no language", rule.id);
    }
}
