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
use tree_sitter::Tree;

use super::languages::{Content, FileKind, Language, classify};
use super::metrics::Token;
use super::parse::parse;
use super::rules::Rule;
use crate::model::SourceFile;

pub use models::{MODELS, problems};

/// The rules about flows, for the catalogue.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    models::rules().iter().map(|flow| &flow.rule)
}

/// The ids of the patterns that are silent where flows were followed.
pub fn replaced() -> impl Iterator<Item = &'static str> {
    models::rules().iter().flat_map(|flow| flow.replaces.iter().map(String::as_str))
}

/// What one file brings to the analysis of all.
#[derive(Default)]
pub(super) struct Part {
    unit: Option<ir::Unit>,
    language: Option<Language>,
    /// Whether it may get data from outside by itself.
    outside: bool,
    /// Hashes of its words, to see whether it names a file that does.
    words: Vec<u32>,
}

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
    let mut unit = if matters { lower::lower(tree, code, language, path, index(file)) } else { None };
    if let Some(unit) = &mut unit {
        unit.outside = outside;
    }
    let words = if matters { Vec::new() } else { distinct(tokens, code) };
    Part { unit, language: Some(language), outside, words }
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

/// Follows data through all files; the parts are in the order of the files.
pub(super) fn follow(
    files: &[&SourceFile],
    mut parts: Vec<Part>,
    stopped: &(dyn Fn() -> bool + Sync),
) -> Vec<FileFlows> {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let outside: Vec<bool> = parts.iter().map(|part| part.outside).collect();
    let roots = lower_what_is_named(files, &paths, &mut parts, stopped);
    let project = project::Project::new(parts.into_iter().map(|part| part.unit).collect(), &paths);
    let outcomes: Vec<Option<(Vec<Plain>, bool)>> = (0..files.len())
        .into_par_iter()
        .map(|file| {
            let unit = project.units[file].as_ref().filter(|_| roots[file])?;
            let outcome = machine::Machine::new(&project, unit, index(file), &|| stopped()).run();
            let plain = outcome.hits.iter().map(|hit| (hit.rule, hit.place, steps(hit))).collect();
            Some((plain, outcome.cut))
        })
        .collect();
    let follow = |(file, from_outside): (usize, bool)| FileFlows {
        from_outside,
        at_all: outcomes[file].is_some(),
        ..FileFlows::default()
    };
    let mut flows: Vec<FileFlows> = outside.into_iter().enumerate().map(follow).collect();
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

/// Lowers the files that the lowered ones import, and those that import files with data from outside. Gives which
/// files are worth starting from.
fn lower_what_is_named(
    files: &[&SourceFile],
    paths: &[&str],
    parts: &mut [Part],
    stopped: &(dyn Fn() -> bool + Sync),
) -> Vec<bool> {
    let modules = project::modules(paths);
    let mut roots: Vec<bool> = parts.iter().map(|part| part.unit.is_some()).collect();
    let outside: HashSet<u32> = parts
        .iter()
        .zip(paths)
        .filter(|(part, _)| part.outside)
        .map(|(_, path)| {
            models::word(path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or(""))
        })
        .collect();
    let mut wanted: Vec<usize> = (0..parts.len())
        .filter(|file| parts[*file].words.iter().any(|word| outside.contains(word)))
        .collect();
    wanted.iter().for_each(|file| roots[*file] = true);
    // What a test serves, nobody outside reaches.
    roots.iter_mut().zip(paths).for_each(|(root, path)| *root &= !is_test(path));
    let mut folders: HashMap<&str, Vec<usize>> = HashMap::new();
    for (file, path) in paths.iter().enumerate().filter(|(_, path)| path.ends_with(".go")) {
        folders.entry(folder(path)).or_default().push(file);
    }
    for _ in 0..ROUNDS {
        let units = parts.iter().zip(paths).filter_map(|(part, path)| Some((part.unit.as_ref()?, *path)));
        let mut targets = HashSet::new();
        for (unit, path) in units.filter(|(unit, _)| unit.outside) {
            if unit.language == Language::Go {
                targets.extend(in_packages(&folders, unit, path));
            } else {
                let imported = unit.imports.iter().filter_map(|path| project::find_module(&modules, path));
                targets.extend(imported.map(|file| file as usize));
            }
        }
        wanted.extend(targets);
        wanted.retain(|file| parts[*file].unit.is_none() && parts[*file].language.is_some());
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            break;
        }
        let lowered: Vec<(usize, Option<ir::Unit>)> =
            wanted.par_iter().map(|file| (*file, lower_again(files[*file], *file, stopped))).collect();
        for (file, mut unit) in lowered {
            if let Some(unit) = &mut unit {
                unit.outside = true;
            }
            parts[file].unit = unit;
            // Once is enough, whatever came of it.
            parts[file].language = None;
        }
        wanted.clear();
    }
    roots
}

/// The files of a Go file's own package and of those that it imports from the project.
fn in_packages<'f>(
    folders: &'f HashMap<&str, Vec<usize>>,
    unit: &ir::Unit,
    path: &str,
) -> impl Iterator<Item = usize> + use<'f> {
    let imported = unit.imports.iter().filter_map(|path| {
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
fn lower_again(file: &SourceFile, at: usize, stopped: &(dyn Fn() -> bool + Sync)) -> Option<ir::Unit> {
    let (Content::Text(text) | Content::Uncharted(text, _)) = Content::read(&file.content) else {
        return None;
    };
    let FileKind::Code(language) = classify(&file.path, &text) else { return None };
    let code = language.entry().code(&text);
    let tree = parse(&code, language, &|| stopped()).ok()?;
    lower::lower(&tree, &code, language, &file.path, index(at))
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
