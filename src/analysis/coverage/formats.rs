//! The formats of coverage reports, one reader each.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Hits;
use super::xml::{Tag, tags};

/// Reads a coverage report. None if the file is none, an error if it is one that cannot be read.
pub(in super::super) fn read(path: &str, text: &str) -> Option<Result<Vec<Hits>, String>> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let head = &text[..text.floor_char_boundary(2_000)];
    if name.ends_with(".xml") && head.contains("<coverage") && head.contains("line-rate") {
        return Some(Ok(cobertura(text)));
    }
    if name.ends_with(".xml") && head.contains("<report") && head.contains("JACOCO") {
        return Some(Ok(jacoco(text)));
    }
    if (name.ends_with(".info") || name == "lcov") && text.contains("\nend_of_record") {
        return Some(Ok(lcov(text)));
    }
    if ["mode: set\n", "mode: count\n", "mode: atomic\n"].iter().any(|mode| text.starts_with(mode)) {
        return Some(Ok(go_profile(text)));
    }
    let json = name.ends_with(".json") && head.contains("\"meta\"") && text.contains("\"executed_lines\"");
    json.then(|| coverage_py(text))
}

fn cobertura(text: &str) -> Vec<Hits> {
    let mut files = BTreeMap::<String, Hits>::new();
    let mut current = None;
    for tag in tags(text) {
        match tag {
            Tag::Open("class", attributes) => current = attributes.get("filename"),
            Tag::Close("class") => current = None,
            Tag::Open("line", attributes) => {
                if let (Some(path), Some(line)) = (&current, attributes.number("number")) {
                    add(&mut files, path, line, attributes.number("hits").unwrap_or(0));
                }
            }
            _ => {}
        }
    }
    files.into_values().collect()
}

fn jacoco(text: &str) -> Vec<Hits> {
    let mut files = BTreeMap::<String, Hits>::new();
    let (mut package, mut current) = (String::new(), None);
    for tag in tags(text) {
        match tag {
            Tag::Open("package", attributes) => package = attributes.get("name").unwrap_or_default(),
            Tag::Open("sourcefile", attributes) => {
                current = attributes.get("name").map(|name| format!("{package}/{name}"));
            }
            Tag::Close("sourcefile") => current = None,
            Tag::Open("line", attributes) => {
                if let (Some(path), Some(line)) = (&current, attributes.number("nr")) {
                    add(&mut files, path, line, attributes.number("ci").unwrap_or(0));
                }
            }
            _ => {}
        }
    }
    files.into_values().collect()
}

fn lcov(text: &str) -> Vec<Hits> {
    let mut files = BTreeMap::<String, Hits>::new();
    let mut current = None;
    for line in text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("SF:") {
            current = Some(path.to_owned());
        } else if line == "end_of_record" {
            current = None;
        } else if let Some(data) = line.strip_prefix("DA:") {
            let mut fields = data.split(',');
            let number = fields.next().and_then(|field| field.parse().ok());
            let hits = fields.next().and_then(|field| field.parse().ok());
            if let (Some(path), Some(number), Some(hits)) = (&current, number, hits) {
                add(&mut files, path, number, hits);
            }
        }
    }
    files.into_values().collect()
}

/// Lines such as `example.org/m/a.go:10.2,12.16 3 1`: a block, its statements, how often it was run.
fn go_profile(text: &str) -> Vec<Hits> {
    let mut files = BTreeMap::<String, Hits>::new();
    for line in text.lines().skip(1) {
        let block = || {
            let (path, rest) = line.rsplit_once(':')?;
            let mut fields = rest.split_whitespace();
            let (from, to) = fields.next()?.split_once(',')?;
            let row = |place: &str| place.split('.').next()?.parse::<usize>().ok();
            let hits = fields.nth(1)?.parse::<u64>().ok()?;
            Some((path, row(from)?, row(to)?, hits))
        };
        let Some((path, from, to, hits)) = block() else { continue };
        // A block is part of a file, and files have an end.
        for row in from..=to.min(from + 100_000) {
            add(&mut files, path, row, hits);
        }
    }
    files.into_values().collect()
}

fn coverage_py(text: &str) -> Result<Vec<Hits>, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::<String, Hits>::new();
    for (path, file) in json["files"].as_object().into_iter().flatten() {
        for (key, hits) in [("executed_lines", 1), ("missing_lines", 0)] {
            let numbers = file[key].as_array().into_iter().flatten().filter_map(Value::as_u64);
            for line in numbers.filter_map(|number| usize::try_from(number).ok()) {
                add(&mut files, path, line, hits);
            }
        }
    }
    Ok(files.into_values().collect())
}

/// Notes how often a line was run; the same line may appear several times, as blocks and branches do.
fn add(files: &mut BTreeMap<String, Hits>, path: &str, line: usize, hits: u64) {
    let file = match files.get_mut(path) {
        Some(file) => file,
        None => files.entry(path.to_owned()).or_insert(Hits { path: path.to_owned(), ..Hits::default() }),
    };
    let known = file.lines.entry(line).or_default();
    *known = (*known).max(hits);
}
