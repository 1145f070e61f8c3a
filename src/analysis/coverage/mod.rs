//! Test coverage, imported from the reports of other tools that lie in the tree.

mod formats;
mod xml;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics::{FileMetrics, share};
use crate::model::Finding;

pub(super) use formats::read;

/// What the tests reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Coverage {
    /// Lines that some test ran.
    pub covered_lines: usize,
    /// Lines that could be run.
    pub lines: usize,
    /// The former as a share of the latter, from 0 to 1.
    pub share: f64,
    /// Each file of the project that the reports speak of.
    pub files: Vec<FileCoverage>,
    /// How many findings stand on lines that no test ran.
    pub findings_uncovered: usize,
    /// The reports it was read from.
    pub sources: Vec<String>,
    /// Files that the reports speak of and that are not in the project.
    pub unmatched: Vec<String>,
}

/// What the tests reach of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FileCoverage {
    /// The file.
    pub path: String,
    /// Lines that some test ran.
    pub covered_lines: usize,
    /// Lines that could be run.
    pub lines: usize,
    /// The former as a share of the latter, from 0 to 1.
    pub share: f64,
    /// Lines that no test ran.
    pub missing: Vec<usize>,
}

/// How often each line of a file was run, as one report says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hits {
    /// The path as the report writes it.
    pub(super) path: String,
    pub(super) lines: BTreeMap<usize, u64>,
}

/// One report, by its path, with what it says about each file.
pub(super) type Imported = (String, Vec<Hits>);

/// Puts together what all reports say: a line counts as run if any of them has run it.
pub(super) fn merge(reports: &[Imported], files: &[FileMetrics], findings: &[&Finding]) -> Option<Coverage> {
    let mut merged = BTreeMap::<&str, BTreeMap<usize, u64>>::new();
    let (mut sources, mut unmatched) = (Vec::new(), Vec::new());
    let paths = Paths::new(files);
    for (source, hits) in reports {
        sources.push(source.clone());
        for file in hits {
            let Some(path) = paths.find(&file.path) else {
                unmatched.push(file.path.clone());
                continue;
            };
            let lines = merged.entry(path).or_default();
            for (&line, &count) in &file.lines {
                let known = lines.entry(line).or_default();
                *known = (*known).max(count);
            }
        }
    }
    if sources.is_empty() {
        return None;
    }
    unmatched.sort();
    unmatched.dedup();
    let uncovered = |finding: &&&Finding| {
        let lines = merged.get(finding.region.path.as_str());
        lines.and_then(|lines| lines.get(&finding.region.line)) == Some(&0)
    };
    let findings_uncovered = findings.iter().filter(uncovered).count();
    let files: Vec<_> = merged.into_iter().map(|(path, lines)| FileCoverage::of(path, &lines)).collect();
    let (covered_lines, lines) =
        files.iter().fold((0, 0), |(covered, all), file| (covered + file.covered_lines, all + file.lines));
    let share = precise(share(covered_lines, lines));
    Some(Coverage { covered_lines, lines, share, files, findings_uncovered, sources, unmatched })
}

impl FileCoverage {
    fn of(path: &str, lines: &BTreeMap<usize, u64>) -> Self {
        let missing: Vec<usize> =
            lines.iter().filter(|(_, hits)| **hits == 0).map(|(line, _)| *line).collect();
        let covered_lines = lines.len() - missing.len();
        Self {
            path: path.to_owned(),
            covered_lines,
            lines: lines.len(),
            share: precise(share(covered_lines, lines.len())),
            missing,
        }
    }
}

/// The files of the project by their names, to find the one that a report means.
struct Paths<'f> {
    by_name: BTreeMap<&'f str, Vec<&'f str>>,
}

impl<'f> Paths<'f> {
    fn new(files: &'f [FileMetrics]) -> Self {
        let mut by_name = BTreeMap::<&str, Vec<&str>>::new();
        for file in files {
            by_name.entry(name(&file.path)).or_default().push(&file.path);
        }
        Self { by_name }
    }

    /// The file that shares most of its path's end with the report's path, if only one does. Reports write
    /// absolute paths, paths within a package, or paths that start with a module's name.
    fn find(&self, path: &str) -> Option<&'f str> {
        let path = path.replace('\\', "/");
        let candidates = self.by_name.get(name(&path))?;
        let common = |file: &str| path.rsplit('/').zip(file.rsplit('/')).take_while(|(a, b)| a == b).count();
        let best = candidates.iter().map(|file| common(file)).max()?;
        let mut all = candidates.iter().filter(|file| common(file) == best);
        // A lone name is enough only where one of the two paths ends with all of the other.
        let whole = |file: &str| best == file.split('/').count() || best == path.split('/').count();
        let found = all.next().filter(|file| best > 1 || whole(file))?;
        all.next().is_none().then_some(*found)
    }
}

fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Four decimals: a hundredth of a percent.
fn precise(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
