//! Finds out how a project wants to be tested, from its files alone.

use serde_json::Value;

use super::Framework;

/// The framework that fits these files, ordered by path; `read` gives the text of one.
pub fn detect(files: &[String], read: &dyn Fn(&str) -> Option<String>) -> Option<Framework> {
    let has = |name: &str| files.iter().any(|file| file == name);
    if has("Cargo.toml") {
        return Some(Framework::Cargo);
    }
    if has("go.mod") {
        return Some(Framework::Go);
    }
    if has("package.json") {
        return script(files, &read("package.json")?);
    }
    let is_test = |file: &&String| is_python_test(file);
    let tests: Vec<&String> = files.iter().filter(is_test).collect();
    if tests.is_empty() && !files.iter().any(|file| file.ends_with(".py")) {
        return None;
    }
    let wants_pytest = |file: &&String| {
        read(file).is_some_and(|text| text.contains("import pytest") || has_bare_test(&text))
    };
    Some(if tests.iter().any(wants_pytest) { Framework::Pytest } else { Framework::Unittest })
}

fn is_python_test(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.ends_with(".py") && (name.starts_with("test_") || name.ends_with("_test.py"))
}

/// A test that is a function and no method, which `unittest` would not find.
fn has_bare_test(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("def test_") || line.starts_with("async def test_"))
}

/// What `package.json` says, or the names of the files, where it says nothing.
fn script(files: &[String], manifest: &str) -> Option<Framework> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let test = manifest["scripts"]["test"].as_str().unwrap_or_default();
    let is_unset = test.is_empty() || test.contains("no test specified");
    Some(match test {
        test if test.contains("vitest") => Framework::Vitest,
        test if test.contains("jest") => Framework::Jest,
        test if test.contains("node --test") => Framework::Node,
        _ if !is_unset => Framework::Command("npm test --silent".to_owned()),
        _ if files.iter().any(|file| is_node_test(file)) => Framework::Node,
        _ => return None,
    })
}

fn is_node_test(file: &str) -> bool {
    [".test.js", ".test.mjs", ".test.cjs"].iter().any(|end| file.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<Framework> {
        let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
        detect(&names, &|path| {
            files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn manifests_and_names_tell_the_framework() {
        assert_eq!(found(&[("Cargo.toml", ""), ("src/lib.rs", "")]), Some(Framework::Cargo));
        assert_eq!(found(&[("go.mod", "")]), Some(Framework::Go));
        assert_eq!(found(&[("tests/test_a.py", "import unittest\n")]), Some(Framework::Unittest));
        assert_eq!(found(&[("tests/test_a.py", "import pytest\n")]), Some(Framework::Pytest));
        assert_eq!(found(&[("a_test.py", "def test_a():\n    pass\n")]), Some(Framework::Pytest));
        assert_eq!(found(&[("README.md", "")]), None);
    }

    #[test]
    fn a_package_is_tested_as_its_script_says() {
        let script =
            |test: &str| found(&[("package.json", &format!(r#"{{"scripts": {{"test": "{test}"}}}}"#))]);
        assert_eq!(script("vitest run"), Some(Framework::Vitest));
        assert_eq!(script("jest --coverage"), Some(Framework::Jest));
        assert_eq!(script("node --test"), Some(Framework::Node));
        assert_eq!(script("mocha"), Some(Framework::Command("npm test --silent".to_owned())));
        assert_eq!(script(""), None);
        assert_eq!(found(&[("package.json", "{}"), ("a.test.js", "")]), Some(Framework::Node));
    }
}
