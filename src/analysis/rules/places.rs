//! Which files are tests: most rules are about code that is delivered.

/// Parts of a path that hold tests and what tests work on.
const FOLDERS: &[&str] = &[
    "test",
    "tests",
    "__tests__",
    "spec",
    "specs",
    "testdata",
    "testing",
    "e2e",
    "fixtures",
    "__fixtures__",
];
/// How the stem of a file ends that is a test, by the conventions of the runners.
const STEMS: &[&str] =
    &["_test", "_tests", "_spec", "_unittest", ".test", ".spec", ".test-d", "Test", "Tests", "TestCase"];

/// Whether a path is that of test code: it stands in a folder for tests, or is named as one. A name that merely starts with
/// `test` is none: people call their first attempts so.
pub(in crate::analysis) fn is_test_code(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    folders.split('/').any(is_test_folder)
        || name == "conftest.py"
        || STEMS.iter().any(|end| stem.len() > end.len() && stem.ends_with(end))
}

/// `tests`, and `jvmTest` or `unit_tests`.
fn is_test_folder(folder: &str) -> bool {
    let ends = ["Test", "Tests", "_test", "_tests", "-test", "-tests"];
    FOLDERS.contains(&folder) || ends.iter().any(|end| folder.len() > end.len() && folder.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_by_their_folder_or_their_name() {
        let tests = [
            "tests/app.py",
            "src/test/java/A.java",
            "okhttp/src/jvmTest/kotlin/A.kt",
            "lib/idle_test/a.py",
            "a/tree_test.go",
            "src/button.spec.ts",
            "types/ref.test-d.ts",
            "src/UserServiceTest.java",
            "pkg/conftest.py",
            "db/db_test.cc",
        ];
        let others = [
            "test.py",
            "test_app.py",
            "src/contest.py",
            "src/latest.go",
            "benchmark/testcode/BenchmarkTest00001.java",
            "src/Testing.java",
            "examples/app.js",
            "attest/spec.rs",
            "_test.go",
        ];
        for path in tests {
            assert!(is_test_code(path), "{path}");
        }
        for path in others {
            assert!(!is_test_code(path), "{path}");
        }
    }
}
