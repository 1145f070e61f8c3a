//! A report beside an earlier one: what is new, what stayed, what moved, what is gone.
//!
//! Findings are paired in passes, from certain to likely, and each is paired once: our fingerprint in the same
//! file; our fingerprint in another file (it was renamed); GitHub's line hash in the same file, then in
//! another; and last, in the same file or the one it was renamed to, the same rule with a snippet that is
//! similar enough.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::Report;
use crate::model::{Finding, FindingState};

/// What became of the findings of an earlier report. What became of those that are still there, each says itself
/// ([`Finding::state`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Baseline {
    /// What the report was compared with, in words: `commit 1a2b3c4`.
    pub against: String,
    /// How many findings the earlier report does not have.
    pub new: usize,
    /// How many stand where they stood.
    pub unchanged: usize,
    /// How many stand on another line or in another file than before.
    pub moved: usize,
    /// Findings of the earlier report that are gone.
    pub fixed: Vec<Finding>,
    /// How many findings of the earlier report are suppressed now.
    pub suppressed: usize,
    /// By how much the score rose, or fell if it is negative.
    pub score_change: Option<f64>,
}

/// Snippets of which fewer words are the same are different places.
const SIMILAR: f64 = 0.6;

/// Compares a report with an earlier one, and says in it what came of the comparison.
pub fn compare(before: &Report, after: &mut Report, against: impl Into<String>) {
    let old: Vec<&Finding> = before.findings().collect();
    let now: Vec<&Finding> = after.findings().collect();
    let hidden = after.suppressed.iter().map(|suppressed| &suppressed.finding);
    let all: Vec<&Finding> = now.iter().copied().chain(hidden).collect();
    let pairs = pair(&old, &all);
    let place = |finding: &Finding| (finding.region.path.clone(), finding.region.line);
    let state = |(index, finding): (usize, &&Finding)| match pairs.get(&index) {
        None => FindingState::New,
        Some(&at) if place(old[at]) == place(finding) => FindingState::Unchanged,
        Some(_) => FindingState::Moved,
    };
    let states: Vec<FindingState> = now.iter().enumerate().map(state).collect();
    let count = |wanted| states.iter().filter(|state| **state == wanted).count();
    let paired: BTreeSet<usize> = pairs.values().copied().collect();
    let gone = old.iter().enumerate().filter(|(index, _)| !paired.contains(index));
    let baseline = Baseline {
        against: against.into(),
        new: count(FindingState::New),
        unchanged: count(FindingState::Unchanged),
        moved: count(FindingState::Moved),
        fixed: gone.map(|(_, finding)| (*finding).clone()).collect(),
        suppressed: pairs.keys().filter(|index| **index >= now.len()).count(),
        score_change: before
            .quality_score
            .zip(after.quality_score)
            .map(|(a, b)| ((b - a) * 10.0).round() / 10.0),
    };
    for (finding, state) in after.findings_mut().zip(states) {
        finding.state = Some(state);
    }
    after.baseline = Some(baseline);
}

/// The pairs found so far: from the later finding to the earlier one.
struct Pairing<'f> {
    old: &'f [&'f Finding],
    now: &'f [&'f Finding],
    pairs: BTreeMap<usize, usize>,
    taken: BTreeSet<usize>,
}

fn pair(old: &[&Finding], now: &[&Finding]) -> BTreeMap<usize, usize> {
    let mut pairing = Pairing { old, now, pairs: BTreeMap::new(), taken: BTreeSet::new() };
    let line = |finding: &Finding| finding.fingerprints.primary_location_line_hash.clone();
    let stable = |finding: &Finding| finding.fingerprints.stable.clone();
    pairing.by_key(|f| (f.rule.clone(), f.region.path.clone(), stable(f)));
    pairing.by_key(|f| (f.rule.clone(), String::new(), stable(f)));
    pairing.by_key(|f| (f.rule.clone(), f.region.path.clone(), line(f)));
    pairing.by_key(|f| (f.rule.clone(), String::new(), line(f)));
    pairing.by_similarity();
    pairing.pairs
}

impl Pairing<'_> {
    /// Pairs what has the same key, in order.
    fn by_key(&mut self, key: impl Fn(&Finding) -> (String, String, String)) {
        let mut waiting = HashMap::<_, Vec<usize>>::new();
        for (at, finding) in self.old.iter().enumerate().rev() {
            if !self.taken.contains(&at) {
                waiting.entry(key(finding)).or_default().push(at);
            }
        }
        for (index, finding) in self.now.iter().enumerate() {
            if !self.pairs.contains_key(&index)
                && let Some(at) = waiting.get_mut(&key(finding)).and_then(Vec::pop)
            {
                self.pairs.insert(index, at);
                self.taken.insert(at);
            }
        }
    }

    /// Pairs what is left of the same rule and file by how similar the snippets are, the most similar first.
    fn by_similarity(&mut self) {
        let renamed: HashMap<&str, &str> = self
            .pairs
            .iter()
            .map(|(&index, &at)| (self.now[index].region.path.as_str(), self.old[at].region.path.as_str()))
            .collect();
        let mut left = HashMap::<(&str, &str), Vec<usize>>::new();
        for (at, finding) in self.old.iter().enumerate().filter(|(at, _)| !self.taken.contains(at)) {
            left.entry((&finding.rule, &finding.region.path)).or_default().push(at);
        }
        let mut likely = Vec::new();
        for (index, finding) in self.now.iter().enumerate().filter(|(at, _)| !self.pairs.contains_key(at)) {
            let path = finding.region.path.as_str();
            let former = renamed.get(path).copied().unwrap_or(path);
            for &at in left.get(&(finding.rule.as_str(), former)).into_iter().flatten() {
                let similarity = similarity(&finding.region.snippet, &self.old[at].region.snippet);
                if similarity >= SIMILAR {
                    likely.push((similarity, index, at));
                }
            }
        }
        likely.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
        for (_, index, at) in likely {
            if !self.pairs.contains_key(&index) && self.taken.insert(at) {
                self.pairs.insert(index, at);
            }
        }
    }
}

/// Twice the words in common as a share of all words (Dice's coefficient).
fn similarity(one: &str, other: &str) -> f64 {
    let words = |text: &str| {
        let mut counts = HashMap::<String, usize>::new();
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
        counts
    };
    let (one, other) = (words(one), words(other));
    let all: usize = one.values().chain(other.values()).sum();
    let common: usize =
        one.iter().map(|(word, &count)| count.min(other.get(word).copied().unwrap_or(0))).sum();
    if all == 0 { 1.0 } else { 2.0 * common as f64 / all as f64 }
}
