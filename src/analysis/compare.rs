//! Two reports side by side: what is new, what stayed, what moved, what is gone.
//!
//! Findings are paired in passes, from certain to likely, and each is paired once: our fingerprint in the same
//! file; our fingerprint in another file (it was renamed); GitHub's line hash in the same file, then in
//! another; and last, in the same file or the one it was renamed to, the same rule with a snippet that is
//! similar enough.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::Report;
use crate::model::{Finding, Region};

/// What became of the findings between two reports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Comparison {
    /// Findings that the earlier report does not have.
    pub new: Vec<Finding>,
    /// Findings at the same place as before.
    pub unchanged: Vec<Finding>,
    /// Findings that stand on another line or in another file than before.
    pub moved: Vec<Moved>,
    /// Findings of the earlier report that the later one does not have.
    pub fixed: Vec<Finding>,
    /// Findings of the earlier report that a comment suppresses now.
    pub suppressed: usize,
    /// By how much the score rose, or fell if it is negative.
    pub score_change: Option<f64>,
}

/// A finding and where it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Moved {
    /// The finding as it is now.
    pub finding: Finding,
    /// Its former place.
    pub from: Region,
}

/// Snippets of which fewer words are the same are different places.
const SIMILAR: f64 = 0.6;

/// Compares an earlier report with a later one.
pub fn compare(before: &Report, after: &Report) -> Comparison {
    let old: Vec<&Finding> = before.findings().collect();
    let now: Vec<&Finding> = after.findings().collect();
    let hidden: Vec<&Finding> = after.suppressed.iter().map(|suppressed| &suppressed.finding).collect();
    let all: Vec<&Finding> = now.iter().chain(&hidden).copied().collect();
    let pairs = pair(&old, &all);
    let mut comparison = Comparison {
        score_change: before
            .quality_score
            .zip(after.quality_score)
            .map(|(a, b)| ((b - a) * 10.0).round() / 10.0),
        ..Comparison::default()
    };
    for (index, &finding) in all.iter().enumerate() {
        let known = pairs.get(&index).map(|&at| old[at]);
        if index >= now.len() {
            comparison.suppressed += usize::from(known.is_some());
            continue;
        }
        match known {
            None => comparison.new.push(finding.clone()),
            Some(known)
                if (&known.region.path, known.region.line) == (&finding.region.path, finding.region.line) =>
            {
                comparison.unchanged.push(finding.clone());
            }
            Some(known) => {
                comparison.moved.push(Moved { finding: finding.clone(), from: known.region.clone() });
            }
        }
    }
    let paired: BTreeSet<usize> = pairs.into_values().collect();
    let gone = old.iter().enumerate().filter(|(index, _)| !paired.contains(index));
    comparison.fixed = gone.map(|(_, finding)| (*finding).clone()).collect();
    comparison
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
