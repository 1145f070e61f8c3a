//! Patterns over paths, found by their last name.

use std::collections::HashMap;

use crate::analysis::flow::values::Path;

/// One part of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Name {
        name: String,
        called: bool,
    },
    /// Any number of parts.
    Any,
}

/// Entries by patterns.
pub(in crate::analysis::flow) struct Table<T> {
    by_last: HashMap<String, Vec<(Vec<Part>, usize)>>,
    entries: Vec<T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { by_last: HashMap::new(), entries: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Adds an entry under several patterns.
    pub(super) fn add(&mut self, patterns: &[String], entry: T) -> Result<(), String> {
        let index = self.entries.len();
        for pattern in patterns {
            let parts = parse(pattern)?;
            let Some(Part::Name { name, .. }) = parts.last() else {
                return Err(format!("`{pattern}` does not end with a name"));
            };
            self.by_last.entry(name.clone()).or_default().push((parts, index));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entries whose patterns fit the path; a call fits a pattern that ends without one.
    pub(in crate::analysis::flow) fn find<'t>(&'t self, path: &'t Path) -> impl Iterator<Item = &'t T> {
        let candidates = self.by_last.get(&*path.name).map_or(&[][..], Vec::as_slice);
        candidates.iter().filter(|(parts, _)| fits(parts, Some(path), true)).map(|(_, at)| &self.entries[*at])
    }

    /// Whether any pattern ends with this name.
    pub(in crate::analysis::flow) fn knows(&self, name: &str) -> bool {
        self.by_last.contains_key(name)
    }
}

fn parse(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    for part in pattern.split('.') {
        parts.push(match part {
            "*" | "**" => Part::Any,
            "" => return Err(format!("`{pattern}` has an empty part")),
            _ => {
                let (name, called) = part.strip_suffix("()").map_or((part, false), |name| (name, true));
                Part::Name { name: name.to_owned(), called }
            }
        });
    }
    Ok(parts)
}

fn fits(parts: &[Part], path: Option<&Path>, last: bool) -> bool {
    match (parts.split_last(), path) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((Part::Any, rest)), _) => {
            let mut at = path;
            loop {
                if fits(rest, at, false) {
                    return true;
                }
                match at {
                    Some(path) => at = path.parent.as_deref(),
                    None => return false,
                }
            }
        }
        (Some(_), None) => false,
        (Some((Part::Name { name, called }, rest)), Some(path)) => {
            **name == *path.name
                && (path.called == *called || (last && path.called))
                && fits(rest, path.parent.as_deref(), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        let mut table = Table::default();
        table.add(&["flask.request.args".to_owned()], 1).unwrap();
        table.add(&["*.cursor().execute".to_owned()], 2).unwrap();
        table.add(&["pathlib.Path().**.exists".to_owned()], 3).unwrap();
        table.add(&["*.exists".to_owned()], 4).unwrap();
        let found = |path: &str| table.find(&Path::root(path)).copied().collect::<Vec<_>>();
        assert_eq!(found("flask.request.args"), [1]);
        assert_eq!(found("x.flask.request.args"), [0; 0]);
        assert_eq!(found("sqlite3.connect().cursor().execute()"), [2]);
        assert_eq!(found("cursor.execute()"), [0; 0]);
        assert_eq!(found("pathlib.Path().resolve().exists()"), [3, 4]);
        assert_eq!(found("pathlib.Path().exists"), [3, 4]);
        assert_eq!(found("exists"), [4]);
        assert!(table.add(&["a.*".to_owned()], 5).is_err());
    }
}
