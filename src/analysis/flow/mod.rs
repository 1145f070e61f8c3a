//! Data flow: what comes from outside and where it gets to, within functions, across them and across files.
//!
//! A file is lowered into an intermediate form (`lower`, `ir`) if one of its words could matter; files that these
//! import follow. Then each file that matters is interpreted by itself (`machine`) with everything else at hand, in
//! parallel and without anything shared that changes: the result does not depend on the order of files or the number
//! of threads. What libraries do stands in `models`. Tests are not followed.

mod calls;
mod containers;
mod expressions;
mod fold;
mod functions;
mod guards;
mod ir;
mod lower;
mod machine;
mod models;
mod names;
mod project;
mod state;
mod statements;
mod values;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tree_sitter::Tree;

use super::languages::{Content, FileKind, Language, classify};
use super::memory::{self, Key, packed};
use super::metrics::Token;
use super::parse::parse;
use super::rules::Rule;
use crate::model::SourceFile;
use project::{Outline, Project, Question, View};

pub use models::{MODELS, problems};

/// The rules about flows, for the catalogue.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    models::rules().iter().map(|flow| &flow.rule)
}

/// The ids of the patterns that are silent where flows were followed.
pub fn replaced() -> impl Iterator<Item = &'static str> {
    models::rules().iter().flat_map(|flow| flow.replaces.iter().map(String::as_str))
}

/// What one file brings to the analysis of all. All but the unit can be remembered.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Part {
    #[serde(skip)]
    unit: Option<ir::Unit>,
    /// What others can find in it, if it was lowered.
    outline: Option<Outline>,
    language: Option<Language>,
    /// Whether it was lowered for what stands in it, not because others name it.
    matters: bool,
    /// Whether it may get data from outside by itself.
    outside: bool,
    /// Hashes of its words, to see whether it names a file that does.
    #[serde(with = "packed")]
    words: Vec<u32>,
    /// What came of it, if it was started from.
    followed: Option<Followed>,
    /// Whether something was added since it was remembered.
    #[serde(skip)]
    pub(super) grown: bool,
}

/// What came of following data from a file: right as long as the file and the answers to its questions are the same.
#[derive(Serialize, Deserialize)]
struct Followed {
    outside: bool,
    asked: Vec<(Question, u64)>,
    /// Rule, path, bytes and way of each hit.
    hits: Vec<(usize, Spot, Vec<Passed>)>,
    cut: bool,
}

/// A place by its path, so that it can be remembered.
type Spot = (String, u32, u32);

/// A step of a way: where, and what happens there.
type Passed = (Spot, String);

/// A finding about a flow, before it has lines.
pub(super) struct Found {
    pub(super) rule: &'static Rule,
    pub(super) range: Range<usize>,
    /// The way of the data: file, bytes, what happens there.
    pub(super) steps: Vec<Step>,
}

/// A step of a way: file, bytes, what happens there.
type Step = (usize, Range<usize>, String);
/// A hit that can leave its thread.
type Plain = (usize, values::Place, Vec<Step>);

/// What was found from one file on, and whether that was broken off.
type Outcome = (Vec<Plain>, bool);

/// The findings of a file, and whether its analysis was broken off.
#[derive(Default)]
pub(super) struct FileFlows {
    pub(super) found: Vec<Found>,
    pub(super) cut: bool,
    /// Whether data from outside was followed here, and whether anything was.
    from_outside: bool,
    at_all: bool,
}

impl FileFlows {
    /// A hash of all this with the files that the ways lead through.
    pub(super) fn print(&self, contents: &[Key]) -> Key {
        let mut hash = Sha256::new();
        hash.update([self.cut, self.from_outside, self.at_all].map(u8::from));
        for Found { rule, range, steps } in &self.found {
            memory::add(&mut hash, rule.id.as_bytes());
            hash.update([range.start, range.end, steps.len()].map(usize::to_le_bytes).concat());
            for (file, range, text) in steps {
                hash.update(contents[*file]);
                hash.update([range.start, range.end].map(usize::to_le_bytes).concat());
                memory::add(&mut hash, text.as_bytes());
            }
        }
        hash.finalize().into()
    }

    /// Whether a pattern only guesses what is known here: its rule says no more than one about flows that was
    /// applied to this file.
    pub(super) fn replaces(&self, id: &str, disabled: &[String]) -> bool {
        !self.cut
            && models::rules().iter().any(|flow| {
                let applied = if flow.kinds.contains(&0) { self.from_outside } else { self.at_all };
                applied && !disabled.contains(&flow.rule.id) && flow.replaces.iter().any(|known| known == id)
            })
    }
}

/// Files that are lowered because others name them, again and again, so many times.
const ROUNDS: usize = 3;

/// Takes from a parsed file what the analysis will need; nothing if it cannot matter.
pub(super) fn part(
    tree: &Tree,
    code: &str,
    language: Language,
    path: &str,
    file: usize,
    tokens: &[Token],
) -> Part {
    let model = models::model(language);
    if model.words.is_empty() {
        return Part::default();
    }
    let matters = tokens.iter().any(|token| model.words.contains(&token.hash));
    let outside = matters && tokens.iter().any(|token| model.outside.contains(&token.hash));
    let unit = if matters { lower::lower(tree, code, language, path, index(file)) } else { None };
    let outline = unit.as_ref().map(Outline::of);
    let words = if matters { Vec::new() } else { distinct(tokens, code) };
    Part { unit, outline, language: Some(language), matters, outside, words, ..Part::default() }
}

/// The words of a file; of the path of another file its name.
fn distinct(tokens: &[Token], code: &str) -> Vec<u32> {
    let named = |token: &Token| {
        let (_, name) = code.get(token.start as usize..token.end as usize)?.rsplit_once('/')?;
        Some(models::word(name.trim_end_matches(['"', '\'', '`']).split('.').next()?))
    };
    let operands = tokens.iter().filter(|token| token.operand);
    let mut words: Vec<u32> = operands.map(|token| named(token).unwrap_or(token.hash)).collect();
    words.sort_unstable();
    words.dedup();
    words.shrink_to_fit();
    words
}

/// Follows data through all files; the parts are in the order of the files. With the hashes of the files, what is
/// remembered in the parts is used, and what is new is added to them.
pub(super) fn follow(
    files: &[&SourceFile],
    contents: Option<&[Key]>,
    parts: &mut [Part],
    stopped: &(dyn Fn() -> bool + Sync),
) -> Vec<FileFlows> {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let from_outside: Vec<bool> = parts.iter().map(|part| part.outside).collect();
    let Named { roots, outside, lowered } = lower_what_is_named(files, &paths, parts, stopped);
    // What was lowered for an earlier analysis and is named by nobody now takes no part.
    let outlines =
        parts.iter().zip(&lowered).map(|(part, lowered)| part.outline.clone().filter(|_| *lowered));
    let outlines = outlines.collect();
    let units = parts.iter_mut().map(|part| part.unit.take()).collect();
    let lower = |file: u32| lower_again(files[file as usize], file, stopped);
    let project = Project::new(&paths, outlines, units, Box::new(lower));
    let outcome = |(file, part): (usize, &mut Part)| {
        if !roots[file] || !lowered[file] {
            return None;
        }
        let recalled = contents.and_then(|contents| {
            let known = part.followed.as_ref().filter(|known| known.outside == outside[file])?;
            known.recall(&project, &paths, contents)
        });
        if recalled.is_some() {
            return recalled;
        }
        let unit = (index(file), project.unit(index(file))?, outside[file]);
        let view = View::new(&project, contents.is_some());
        let outcome = machine::Machine::new(view, unit, &|| stopped()).run();
        let plain: Vec<Plain> = outcome.hits.iter().map(|hit| (hit.rule, hit.place, steps(hit))).collect();
        if let Some(contents) = contents {
            let asked = outcome.asked.into_iter().map(|asked| {
                let answer = project.answer(&asked, contents);
                (asked, answer)
            });
            part.grown = true;
            part.followed = Some(Followed::new(outside[file], asked.collect(), &plain, outcome.cut, &paths));
        }
        Some((plain, outcome.cut))
    };
    let outcomes: Vec<Option<Outcome>> = parts.par_iter_mut().enumerate().map(outcome).collect();
    gather(outcomes, &from_outside)
}

/// Gives every file the findings that end in it, each once.
fn gather(outcomes: Vec<Option<Outcome>>, from_outside: &[bool]) -> Vec<FileFlows> {
    let all = outcomes.iter().zip(from_outside);
    let follow = |(outcome, &from_outside): (&Option<Outcome>, &bool)| FileFlows {
        from_outside,
        at_all: outcome.is_some(),
        ..FileFlows::default()
    };
    let mut flows: Vec<FileFlows> = all.map(follow).collect();
    let mut seen = HashSet::new();
    for (file, outcome) in outcomes.into_iter().enumerate() {
        let Some((hits, cut)) = outcome else { continue };
        flows[file].cut = cut;
        for (rule, place, steps) in hits {
            if seen.insert((rule, place)) {
                let found = Found { rule: &models::rules()[rule].rule, range: range(place.at), steps };
                flows[place.file as usize].found.push(found);
            }
        }
    }
    flows
}

impl Followed {
    fn new(outside: bool, asked: Vec<(Question, u64)>, hits: &[Plain], cut: bool, paths: &[&str]) -> Self {
        let spot = |file: usize, at: &Range<usize>| (paths[file].to_owned(), index(at.start), index(at.end));
        let hits = hits.iter().map(|(rule, place, steps)| {
            let steps = steps.iter().map(|(file, at, text)| (spot(*file, at), text.clone()));
            (*rule, spot(place.file as usize, &range(place.at)), steps.collect())
        });
        Self { outside, asked, hits: hits.collect(), cut }
    }

    /// The outcome, if every question has the same answer as then.
    fn recall(&self, project: &Project<'_>, paths: &[&str], contents: &[Key]) -> Option<Outcome> {
        if !self.asked.iter().all(|(question, answer)| project.answer(question, contents) == *answer) {
            return None;
        }
        let file = |(path, ..): &Spot| paths.binary_search(&path.as_str()).ok();
        let hits = self.hits.iter().map(|(rule, spot, steps)| {
            let at = ir::At { start: spot.1, end: spot.2 };
            let steps = steps
                .iter()
                .map(|(spot, text)| Some((file(spot)?, spot.1 as usize..spot.2 as usize, text.clone())));
            Some((*rule, values::Place { file: index(file(spot)?), at }, steps.collect::<Option<_>>()?))
        });
        Some((hits.collect::<Option<_>>()?, self.cut))
    }
}

/// What is known of each file before anything is followed.
struct Named {
    /// Whether it is worth starting from.
    roots: Vec<bool>,
    /// Whether data from outside may get there: all of its functions are of interest then.
    outside: Vec<bool>,
    /// Whether it takes part at all.
    lowered: Vec<bool>,
}

impl Named {
    /// Those that matter by themselves; also gives the files that name one with data from outside.
    fn at_first(parts: &[Part], paths: &[&str]) -> (Self, Vec<usize>) {
        let lowered: Vec<bool> = parts.iter().map(|part| part.matters && part.outline.is_some()).collect();
        let outside: Vec<bool> = parts.iter().map(|part| part.outside).collect();
        let stem = |path: &str| {
            models::word(path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or(""))
        };
        let names: HashSet<u32> =
            outside.iter().zip(paths).filter(|(outside, _)| **outside).map(|(_, path)| stem(path)).collect();
        let naming = |file: &usize| parts[*file].words.iter().any(|word| names.contains(word));
        let wanted: Vec<usize> = (0..parts.len()).filter(naming).collect();
        let mut roots = lowered.clone();
        wanted.iter().for_each(|file| roots[*file] = true);
        // What a test serves, nobody outside reaches.
        roots.iter_mut().zip(paths).for_each(|(root, path)| *root &= !is_test(path));
        (Self { roots, outside, lowered }, wanted)
    }
}

/// Lowers the files that the lowered ones import, and those that import files with data from outside.
fn lower_what_is_named(
    files: &[&SourceFile],
    paths: &[&str],
    parts: &mut [Part],
    stopped: &(dyn Fn() -> bool + Sync),
) -> Named {
    let modules = project::modules(paths);
    let (mut named, mut wanted) = Named::at_first(parts, paths);
    let mut folders: HashMap<&str, Vec<usize>> = HashMap::new();
    for (file, path) in paths.iter().enumerate().filter(|(_, path)| path.ends_with(".go")) {
        folders.entry(folder(path)).or_default().push(file);
    }
    // Once is enough, whatever comes of it.
    let mut tried = named.lowered.clone();
    for _ in 0..ROUNDS {
        let mut targets = HashSet::new();
        for (file, part) in parts.iter().enumerate() {
            let Some(outline) = part.outline.as_ref().filter(|_| named.lowered[file] && named.outside[file])
            else {
                continue;
            };
            if outline.language() == Language::Go {
                targets.extend(in_packages(&folders, outline, paths[file]));
            } else {
                let imported = outline.imports.iter().filter_map(|path| project::find_module(&modules, path));
                targets.extend(imported.map(|file| file as usize));
            }
        }
        wanted.extend(targets);
        wanted.retain(|file| !tried[*file] && parts[*file].language.is_some());
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            break;
        }
        lower_late(files, &wanted, parts, stopped);
        for file in wanted.drain(..) {
            tried[file] = true;
            named.lowered[file] = parts[file].outline.is_some();
            named.outside[file] |= named.lowered[file];
        }
    }
    named
}

/// Lowers those of some files that were not lowered in an earlier analysis.
fn lower_late(
    files: &[&SourceFile],
    wanted: &[usize],
    parts: &mut [Part],
    stopped: &(dyn Fn() -> bool + Sync),
) {
    let missing: Vec<usize> = wanted.iter().copied().filter(|file| parts[*file].outline.is_none()).collect();
    let lower = |file: &usize| (*file, lower_again(files[*file], index(*file), stopped));
    let units: Vec<(usize, Option<ir::Unit>)> = missing.par_iter().map(lower).collect();
    for (file, unit) in units {
        parts[file].outline = unit.as_ref().map(Outline::of);
        parts[file].unit = unit;
        parts[file].grown = true;
    }
}

/// The files of a Go file's own package and of those that it imports from the project.
fn in_packages<'f>(
    folders: &'f HashMap<&str, Vec<usize>>,
    outline: &Outline,
    path: &str,
) -> impl Iterator<Item = usize> + use<'f> {
    let imported = outline.imports.iter().filter_map(|path| {
        let mut rest: &str = path;
        loop {
            if let Some(files) = folders.get(rest) {
                return Some(files);
            }
            rest = rest.split_once('/')?.1;
        }
    });
    let found: Vec<&'f Vec<usize>> = imported.chain(folders.get(folder(path))).collect();
    found.into_iter().flatten().copied()
}

/// Whether a file is one of tests, by the conventions of its language.
fn is_test(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    folders
        .split('/')
        .any(|folder| matches!(folder, "test" | "tests" | "__tests__" | "spec" | "specs" | "testdata"))
        || name.starts_with("test_")
        || ["_test", ".test", ".spec", "_spec"].iter().any(|end| stem.ends_with(end))
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Parses a file once more, for the few that turn out to matter late.
fn lower_again(file: &SourceFile, at: u32, stopped: &(dyn Fn() -> bool + Sync)) -> Option<ir::Unit> {
    let (Content::Text(text) | Content::Uncharted(text, _)) = Content::read(&file.content) else {
        return None;
    };
    let FileKind::Code(language) = classify(&file.path, &text) else { return None };
    let code = language.entry().code(&text);
    let tree = parse(&code, language, &|| stopped()).ok()?;
    lower::lower(&tree, &code, language, &file.path, at)
}

/// The way of a hit, from its source to its place.
fn steps(hit: &machine::Hit) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = hit.trace.as_ref();
    while let Some(step) = at {
        let message = match &step.note {
            values::Note::Source(says) => says.to_string(),
            values::Note::Assigned(name) => format!("is kept in `{name}`"),
            values::Note::Passed(name) => format!("is passed to `{name}`"),
            values::Note::Returned(name) => format!("is returned by `{name}`"),
        };
        steps.push((step.place.file as usize, range(step.place.at), message));
        at = step.before.as_ref();
    }
    steps.reverse();
    if !steps.is_empty() {
        steps.push((hit.place.file as usize, range(hit.place.at), "gets here".to_owned()));
    }
    steps
}

fn index(file: usize) -> u32 {
    u32::try_from(file).unwrap_or(u32::MAX)
}

fn range(at: ir::At) -> Range<usize> {
    at.start as usize..at.end as usize
}
