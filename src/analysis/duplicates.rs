//! Code that was copied: the same tokens in several places, whatever the spacing and the comments.
//!
//! Every window of [`WINDOW`] tokens gets a rolling hash; the hashes of all files are sorted, so that equal
//! windows lie side by side, and windows that go on equally are joined to the longest stretch. The work grows
//! with the code, not with the number of pairs.

use std::collections::{BTreeSet, HashMap, HashSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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
pub(super) struct Stream<'a> {
    pub(super) path: &'a str,
    pub(super) tokens: &'a [Token],
}

/// The duplicates of a project.
pub(super) struct Duplicates {
    pub(super) groups: Vec<DuplicateGroup>,
    /// How many lines stand in some group, all places counted.
    pub(super) lines: usize,
}

/// Tokens that have to be equal: about ten lines.
const WINDOW: usize = 70;
/// Fewer lines are not worth a function.
const FEWEST_LINES: usize = 6;
/// Windows with fewer different tokens are tables of data.
const FEWEST_DIFFERENT: usize = 16;
/// Places of one window beyond which it is boilerplate, not a copy.
const MOST_PLACES: usize = 500;
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

/// A window: its hash, its file and its first token.
type Window = (u64, u32, u32);

/// A stretch of equal tokens and where it starts.
struct Stretch {
    length: usize,
    starts: Vec<(u32, u32)>,
}

/// Finds the duplicates among files, which must be in the order of their paths.
pub(super) fn find(streams: &[Stream<'_>]) -> Duplicates {
    let mut windows: Vec<Window> =
        (0_u32..).zip(streams).par_bridge().flat_map_iter(|(file, s)| windows(file, s)).collect();
    windows.par_sort_unstable();
    let classes = classes(&windows, streams);
    drop(windows);
    let mut stretches = stretches(&classes, streams);
    stretches.sort_by(|a, b| (b.length, &a.starts).cmp(&(a.length, &b.starts)));
    let mut covered: Vec<HashSet<u32>> = streams.iter().map(|_| HashSet::new()).collect();
    let mut groups = Vec::new();
    for stretch in stretches {
        if let Some(group) = accept(&stretch, streams, &mut covered) {
            groups.push(group);
        }
    }
    groups.sort_by(|a, b| {
        (b.lines * b.places.len()).cmp(&(a.lines * a.places.len())).then_with(|| a.places.cmp(&b.places))
    });
    let lines = duplicated_lines(&groups);
    Duplicates { groups, lines }
}

/// The hashes of all windows of a file.
fn windows(file: u32, stream: &Stream<'_>) -> Vec<Window> {
    let tokens = stream.tokens;
    if tokens.len() < WINDOW {
        return Vec::new();
    }
    let oldest = (0..WINDOW - 1).fold(1_u64, |power, _| power.wrapping_mul(BASE));
    let mut hash = tokens[..WINDOW].iter().fold(0_u64, |h, t| h.wrapping_mul(BASE).wrapping_add(value(t)));
    let mut all = Vec::with_capacity(tokens.len() - WINDOW + 1);
    for (at, start) in (0_u32..).zip(0..=tokens.len() - WINDOW) {
        if start > 0 {
            hash = hash.wrapping_sub(value(&tokens[start - 1]).wrapping_mul(oldest));
            hash = hash.wrapping_mul(BASE).wrapping_add(value(&tokens[start + WINDOW - 1]));
        }
        all.push((hash, file, at));
    }
    all
}

/// The places of each window that has several, by the place of each of them.
fn classes(windows: &[Window], streams: &[Stream<'_>]) -> HashMap<(u32, u32), Vec<(u32, u32)>> {
    let mut classes = HashMap::new();
    for equal in windows.chunk_by(|a, b| a.0 == b.0) {
        if equal.len() < 2 {
            continue;
        }
        let first = (equal[0].1, equal[0].2);
        let text = |(file, at): (u32, u32)| &streams[file as usize].tokens[at as usize..at as usize + WINDOW];
        if text(first).iter().map(|t| t.hash).collect::<HashSet<_>>().len() < FEWEST_DIFFERENT {
            continue;
        }
        let mut places: Vec<(u32, u32)> = Vec::new();
        for &(_, file, at) in equal {
            let overlaps = places.last().is_some_and(|&(f, a)| f == file && (at - a) < WINDOW as u32);
            let same = text((file, at)).iter().zip(text(first)).all(|(a, b)| a.hash == b.hash);
            if same && !overlaps {
                places.push((file, at));
            }
        }
        if (2..=MOST_PLACES).contains(&places.len()) {
            classes.insert(places[0], places);
        }
    }
    classes
}

/// Joins windows whose places all go on equally.
fn stretches(classes: &HashMap<(u32, u32), Vec<(u32, u32)>>, streams: &[Stream<'_>]) -> Vec<Stretch> {
    let moved = |places: &[(u32, u32)], by: u32| places.iter().map(|&(f, a)| (f, a + by)).collect::<Vec<_>>();
    let mut starts: Vec<&Vec<(u32, u32)>> = classes.values().collect();
    starts.sort_unstable();
    let mut stretches = Vec::new();
    for places in starts {
        let (file, at) = places[0];
        let before = at.checked_sub(1).and_then(|at| classes.get(&(file, at)));
        if before.is_some_and(|before| moved(before, 1) == *places) {
            continue;
        }
        let mut steps = 0;
        while classes.get(&(file, at + steps + 1)).is_some_and(|next| *next == moved(places, steps + 1)) {
            steps += 1;
        }
        let back = common_before(places, streams);
        let starts = places.iter().map(|&(file, at)| (file, at - back)).collect();
        stretches.push(Stretch { length: WINDOW + (steps + back) as usize, starts });
    }
    stretches
}

/// How many tokens before these places are the same at all of them: where a copy ends earlier than others
/// do, the others have begun before.
fn common_before(places: &[(u32, u32)], streams: &[Stream<'_>]) -> u32 {
    let token = |&(file, at): &(u32, u32), back: u32| {
        let index = at.checked_sub(back + 1)?;
        Some(streams[file as usize].tokens[index as usize].hash)
    };
    let mut back = 0;
    while let Some(hash) = token(&places[0], back)
        && places[1..].iter().all(|place| token(place, back) == Some(hash))
    {
        back += 1;
    }
    back
}

/// Makes a group of a stretch, unless longer ones have said it already or it is too short to matter.
fn accept(stretch: &Stretch, streams: &[Stream<'_>], covered: &mut [HashSet<u32>]) -> Option<DuplicateGroup> {
    let lines = |&(file, at): &(u32, u32)| {
        let tokens = &streams[file as usize].tokens[at as usize..at as usize + stretch.length];
        (tokens[0].line, tokens.last().map_or(tokens[0].line, |last| last.line))
    };
    let new = |place: &&(u32, u32)| {
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
        let path = streams[place.0 as usize].path.to_owned();
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

/// Lines that stand in some group, each counted once.
fn duplicated_lines(groups: &[DuplicateGroup]) -> usize {
    let mut lines = HashSet::new();
    for place in groups.iter().flat_map(|group| &group.places) {
        lines.extend((place.line..=place.end_line).map(|line| (place.path.as_str(), line)));
    }
    lines.len()
}

/// A token as a factor of the rolling hash, never zero.
fn value(token: &Token) -> u64 {
    u64::from(token.hash) + 1
}
