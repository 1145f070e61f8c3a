//! Code that was copied: the same tokens in several places, whatever the spacing and the comments.
//!
//! Every [`GRAM`] of tokens has a rolling hash, and winnowing keeps a few of them per file: the least of each
//! [`WINNOW`] in a row, so that no copy of [`WINDOW`] tokens goes without one. (S. Schleimer, D. Wilkerson, A. Aiken:
//! *Winnowing: Local Algorithms for Document Fingerprinting*, SIGMOD 2003.) Equal hashes of all files lie side by side
//! once they are sorted, and each such class is drawn out to both sides as far as all its places are the same. The
//! work grows with the code, not with the number of pairs.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::memory::packed;
use super::metrics::Token;

/// The same code in several places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DuplicateGroup {
    /// How many tokens the places have in common.
    pub tokens: usize,
    /// How many lines the first of them has.
    pub lines: usize,
    /// The places, by path and line.
    pub places: Vec<DuplicatePlace>,
}

/// One of the places where a duplicate stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DuplicatePlace {
    /// The file.
    pub path: String,
    /// Its first line.
    pub line: usize,
    /// Its last line.
    pub end_line: usize,
}

/// What a file brings to the comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stream {
    /// The hash of each token.
    #[serde(with = "packed")]
    hashes: Vec<u32>,
    /// The lines on which tokens start, from 0, in order.
    #[serde(with = "packed")]
    lines: Vec<u32>,
    /// The first token of each of these lines.
    #[serde(with = "packed")]
    firsts: Vec<u32>,
    /// The hashes of grams that winnowing keeps, and the first token of each.
    anchors: Vec<(u64, u32)>,
}

/// The duplicates of a project.
pub(super) struct Duplicates {
    pub(super) groups: Vec<DuplicateGroup>,
    /// How many lines stand in some group, all places counted.
    pub(super) lines: usize,
}

/// Tokens that have to be equal: about ten lines.
const WINDOW: usize = 70;
/// Tokens that are hashed together.
const GRAM: usize = 50;
/// Grams of which one is kept.
const WINNOW: usize = WINDOW - GRAM + 1;
/// Fewer lines are not worth a function.
const FEWEST_LINES: usize = 6;
/// Grams with fewer different tokens are tables of data.
const FEWEST_DIFFERENT: usize = 14;
/// Places of one gram beyond which it is boilerplate, not a copy.
const MOST_PLACES: usize = 500;
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A file, by its number, and a token of it.
type Place = (u32, u32);

/// A stretch of equal tokens and where it starts.
struct Stretch {
    length: usize,
    starts: Vec<Place>,
}

/// Finds the duplicates among files, which must be in the order of their paths.
pub(super) fn find(files: &[(&str, &Stream)]) -> Duplicates {
    let anchors = |(file, (_, stream)): (u32, &(&str, &Stream))| {
        stream.anchors.iter().map(|&(hash, at)| (hash, (file, at))).collect::<Vec<_>>()
    };
    let mut all: Vec<(u64, Place)> = (0_u32..).zip(files).flat_map(anchors).collect();
    all.par_sort_unstable();
    let project = Project(files);
    let mut classes: Vec<Vec<Place>> =
        all.chunk_by(|a, b| a.0 == b.0).filter_map(|equal| project.class(equal)).collect();
    drop(all);
    classes.sort_unstable();
    let mut stretches = project.stretches(&classes);
    stretches.sort_by(|a, b| (b.length, &a.starts).cmp(&(a.length, &b.starts)));
    let mut covered: Vec<HashSet<u32>> = files.iter().map(|_| HashSet::new()).collect();
    let mut groups = Vec::new();
    for stretch in stretches {
        if let Some(group) = project.accept(&stretch, &mut covered) {
            groups.push(group);
        }
    }
    groups.sort_by(|a, b| {
        (b.lines * b.places.len()).cmp(&(a.lines * a.places.len())).then_with(|| a.places.cmp(&b.places))
    });
    let lines = duplicated_lines(&groups);
    Duplicates { groups, lines }
}

impl Stream {
    /// Prepares a file for the comparison.
    pub(super) fn of(tokens: &[Token]) -> Self {
        if tokens.len() < WINDOW {
            return Self::default();
        }
        let hashes: Vec<u32> = tokens.iter().map(|token| token.hash).collect();
        let mut stream = Self { anchors: winnow(&grams(&hashes)), hashes, ..Self::default() };
        for (at, token) in (0_u32..).zip(tokens) {
            if stream.lines.last() != Some(&token.line) {
                stream.lines.push(token.line);
                stream.firsts.push(at);
            }
        }
        stream
    }

    /// The line of a token, from 0.
    fn line(&self, token: usize) -> u32 {
        let lines = self.firsts.partition_point(|first| *first as usize <= token);
        self.lines[lines.saturating_sub(1)]
    }
}

/// The hashes of all grams of a file.
fn grams(hashes: &[u32]) -> Vec<u64> {
    let value = |hash: u32| u64::from(hash) + 1;
    let oldest = (0..GRAM - 1).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let first = hashes[..GRAM].iter().fold(0_u64, |h, &t| h.wrapping_mul(BASE).wrapping_add(value(t)));
    let next = hashes.iter().zip(&hashes[GRAM..]).scan(first, |hash, (&gone, &come)| {
        *hash = hash.wrapping_sub(value(gone).wrapping_mul(oldest));
        *hash = hash.wrapping_mul(BASE).wrapping_add(value(come));
        Some(*hash)
    });
    std::iter::once(first).chain(next).collect()
}

/// The least hash of every [`WINNOW`] in a row, the last of several that are equal, each of them once.
fn winnow(grams: &[u64]) -> Vec<(u64, u32)> {
    // The bits are mixed first: what is least must not depend on what the code is like.
    let mixed = |at: usize| (grams[at] ^ (grams[at] >> 29)).wrapping_mul(BASE);
    let mut kept: Vec<(u64, u32)> = Vec::with_capacity(grams.len() / WINNOW * 2 + 1);
    // The candidates of the row, from the least on; each is later in the file than the one before.
    let mut row = VecDeque::<(u64, usize)>::new();
    for at in 0..grams.len() {
        let hash = mixed(at);
        while row.back().is_some_and(|&(other, _)| other >= hash) {
            row.pop_back();
        }
        row.push_back((hash, at));
        while row.front().is_some_and(|&(_, first)| first + WINNOW <= at) {
            row.pop_front();
        }
        if at + 1 >= WINNOW
            && let Some(&(hash, least)) = row.front()
        {
            let least = u32::try_from(least).unwrap_or(u32::MAX);
            if kept.last().is_none_or(|&(_, last)| last != least) {
                kept.push((hash, least));
            }
        }
    }
    kept
}

/// The files that are compared, with their paths.
struct Project<'a>(&'a [(&'a str, &'a Stream)]);

impl Project<'_> {
    fn hashes(&self, file: u32) -> &[u32] {
        &self.0[file as usize].1.hashes
    }

    fn gram(&self, (file, at): Place) -> &[u32] {
        &self.hashes(file)[at as usize..at as usize + GRAM]
    }

    /// The places of a gram, if there are several and they are worth it; in order.
    fn class(&self, equal: &[(u64, Place)]) -> Option<Vec<Place>> {
        let (_, first) = *equal.first().filter(|_| equal.len() > 1)?;
        if self.gram(first).iter().collect::<HashSet<_>>().len() < FEWEST_DIFFERENT {
            return None;
        }
        let mut places: Vec<Place> = Vec::new();
        for &(_, (file, at)) in equal {
            let overlaps = places.last().is_some_and(|&(f, a)| f == file && (at - a) < WINDOW as u32);
            if !overlaps && self.gram((file, at)) == self.gram(first) {
                places.push((file, at));
            }
        }
        (2..=MOST_PLACES).contains(&places.len()).then_some(places)
    }

    /// Draws each class out to both sides. Most classes lie within the stretch of the one before with the same places.
    fn stretches(&self, classes: &[Vec<Place>]) -> Vec<Stretch> {
        let mut ends = HashMap::<Vec<(u32, u32)>, u32>::new();
        let mut stretches = Vec::new();
        for places in classes {
            let at = places[0].1;
            let shape: Vec<_> = places.iter().map(|&(file, other)| (file, other.wrapping_sub(at))).collect();
            if ends.get(&shape).is_some_and(|&end| at < end) {
                continue;
            }
            let (before, after) = (self.common(places, -1), self.common(places, 1));
            ends.insert(shape, at + after);
            let starts: Vec<Place> = places.iter().map(|&(file, at)| (file, at - before)).collect();
            // A stretch that runs into its own next copy ends where that begins.
            let apart =
                starts.windows(2).filter(|two| two[0].0 == two[1].0).map(|two| two[1].1 - two[0].1).min();
            let length = (before + after).min(apart.unwrap_or(u32::MAX)) as usize;
            if length >= WINDOW {
                stretches.push(Stretch { length, starts });
            }
        }
        stretches
    }

    /// How many tokens are the same at all places: from them on, or just before them.
    fn common(&self, places: &[Place], step: i64) -> u32 {
        let token = |&(file, at): &Place, steps: i64| {
            let index = i64::from(at) + if step < 0 { -steps - 1 } else { steps };
            self.hashes(file).get(usize::try_from(index).ok()?)
        };
        let mut steps = 0;
        while let Some(hash) = token(&places[0], steps)
            && places[1..].iter().all(|place| token(place, steps) == Some(hash))
        {
            steps += 1;
        }
        u32::try_from(steps).unwrap_or(u32::MAX)
    }

    /// Makes a group of a stretch, unless longer ones have said it already or it is too short to matter.
    fn accept(&self, stretch: &Stretch, covered: &mut [HashSet<u32>]) -> Option<DuplicateGroup> {
        let lines = |&(file, at): &Place| {
            let stream = self.0[file as usize].1;
            (stream.line(at as usize), stream.line(at as usize + stretch.length - 1))
        };
        let new = |place: &&Place| {
            let (from, to) = lines(place);
            (from..=to).filter(|line| !covered[place.0 as usize].contains(line)).count() * 2
                > (to - from) as usize
        };
        if !stretch.starts.iter().any(|place| new(&place)) {
            return None;
        }
        let mut places = BTreeSet::new();
        for place in &stretch.starts {
            let (from, to) = lines(place);
            let path = self.0[place.0 as usize].0.to_owned();
            places.insert(DuplicatePlace { path, line: from as usize + 1, end_line: to as usize + 1 });
        }
        let first = places.first()?;
        let count = first.end_line - first.line + 1;
        if places.len() < 2 || count < FEWEST_LINES {
            return None;
        }
        for place in &stretch.starts {
            let (from, to) = lines(place);
            covered[place.0 as usize].extend(from..=to);
        }
        Some(DuplicateGroup { tokens: stretch.length, lines: count, places: places.into_iter().collect() })
    }
}

/// Lines that stand in some group, each counted once.
fn duplicated_lines(groups: &[DuplicateGroup]) -> usize {
    let mut lines = HashSet::new();
    for place in groups.iter().flat_map(|group| &group.places) {
        lines.extend((place.line..=place.end_line).map(|line| (place.path.as_str(), line)));
    }
    lines.len()
}
