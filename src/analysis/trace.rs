//! Findings about flows among the others: their steps get lines, and what they say better goes.

use std::collections::HashMap;

use super::Options;
use super::file::Places;
use super::flow::Found;
use super::languages::Content;
use super::rules::Match;
use super::secrets;
use crate::model::{FlowStep, SourceFile};

/// Adds the findings about flows to the matches of a file. A pattern that only guessed the same is dropped.
pub(super) fn add<'r>(
    matches: &mut Vec<Match<'r>>,
    flows: Vec<Found>,
    files: &[&SourceFile],
    options: &Options,
) {
    let wanted = |found: &Found| !options.disabled_rules.contains(&found.rule.id);
    matches.retain(|known| !options.disabled_rules.contains(&known.rule.id));
    let mut flows: Vec<Found> = flows.into_iter().filter(wanted).collect();
    // Of two that say the same, the one that can tell the way stays.
    flows.retain(|flow| !flow.steps.is_empty() || !matches.iter().any(|known| says_the_same(flow, known)));
    if flows.is_empty() {
        return;
    }
    matches.retain(|known| !flows.iter().any(|flow| says_the_same(flow, known)));
    let mut texts = HashMap::new();
    for (file, ..) in flows.iter().flat_map(|flow| &flow.steps) {
        texts.entry(*file).or_insert_with(|| shown(files[*file], options));
    }
    let places: HashMap<usize, Places<'_>> =
        texts.iter().map(|(file, text)| (*file, Places::new(text))).collect();
    for flow in flows {
        let steps = flow.steps.into_iter().filter_map(|(file, range, message)| {
            Some(FlowStep { region: places.get(&file)?.region(&files[file].path, &range), message })
        });
        matches.push(Match {
            rule: flow.rule,
            range: flow.range,
            message: flow.rule.message.clone(),
            replacement: None,
            identity: None,
            severity: None,
            confidence: None,
            flow: steps.collect(),
        });
    }
}

/// Whether a built-in pattern found the same weakness at the same place.
fn says_the_same(flow: &Found, known: &Match<'_>) -> bool {
    let overlap = flow.range.start < known.range.end && known.range.start < flow.range.end;
    overlap && known.rule.builtin && flow.rule.cwe.iter().any(|cwe| known.rule.cwe.contains(cwe))
}

/// The text of a file as a report may show it: without its secrets.
fn shown(file: &SourceFile, options: &Options) -> String {
    let (Content::Text(text) | Content::Uncharted(text, _)) = Content::read(&file.content) else {
        return String::new();
    };
    let searched = secrets::search(&file.path, &text, options.fingerprint_key.as_deref());
    searched.masked(&text).unwrap_or_else(|| text.into_owned())
}
