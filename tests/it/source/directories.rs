//! Directories of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use codeyard::source::{Error, Limits, Source};
use tempfile::TempDir;

use super::{paths, skipped, take};

fn tree(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        write(root.path(), path, content);
    }
    root
}

fn write(root: &Path, path: &str, content: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

#[tokio::test]
async fn a_directory_is_read_as_its_gitignore_says() {
    let root = tree(&[
        ("src/main.py", "x"),
        ("src/debug.log", "x"),
        (".gitignore", "*.log\n/secret/\n"),
        ("secret/a.py", "x"),
        (".github/workflows/ci.yml", "x"),
    ]);
    let tree = take(Source::Directory(root.path().into()), &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), [".github/workflows/ci.yml", ".gitignore", "src/main.py"]);
    assert_eq!(skipped(&tree), [(".gitignore", "the files that it names are not read")]);
}

#[tokio::test]
async fn folders_of_others_are_noted_once_and_only_where_they_are_others() {
    let root = tree(&[
        ("node_modules/a/index.js", "x"),
        ("node_modules/b/index.js", "x"),
        ("web/package.json", "{}"),
        ("web/dist/app.js", "x"),
        ("src/dist/mod.py", "x"),
        ("src/target/mod.py", "x"),
        ("Cargo.toml", "x"),
        ("target/debug/x.d", "x"),
        ("excluded/a.py", "x"),
    ]);
    let limits = Limits { exclude: vec!["/excluded/".into()], ..Limits::default() };
    let tree = take(Source::Directory(root.path().into()), &limits).await.unwrap();
    assert_eq!(paths(&tree), ["Cargo.toml", "src/dist/mod.py", "src/target/mod.py", "web/package.json"]);
    assert_eq!(
        skipped(&tree),
        [
            ("excluded", "excluded by a glob"),
            ("node_modules", "installed packages"),
            ("target", "build output"),
            ("web/dist", "build output"),
        ]
    );
}

#[tokio::test]
async fn links_pipes_and_strange_names_lead_nowhere() {
    let outside = tree(&[("secret.py", "password")]);
    let root = tree(&[("a.py", "x")]);
    symlink(outside.path().join("secret.py"), root.path().join("link.py")).unwrap();
    symlink(outside.path(), root.path().join("folder")).unwrap();
    symlink("a.py", root.path().join("inside.py")).unwrap();
    let pipe = std::ffi::CString::new(root.path().join("pipe").to_str().unwrap()).unwrap();
    assert_eq!(make_pipe(&pipe), 0);
    write(root.path(), "line\nbreak.py", "x");
    let tree = take(Source::Directory(root.path().into()), &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), ["a.py"]);
    let link = "a symbolic link; links are not followed";
    assert_eq!(
        skipped(&tree),
        [
            ("folder", link),
            ("inside.py", link),
            ("line\\nbreak.py", "its path contains a control character"),
            ("link.py", link),
            ("pipe", "a device, pipe or socket"),
        ]
    );
}

#[expect(unsafe_code, reason = "std cannot make a named pipe")]
fn make_pipe(path: &std::ffi::CStr) -> i32 {
    // SAFETY: the path is a C string that outlives the call.
    unsafe { libc::mkfifo(path.as_ptr(), 0o600) }
}

#[tokio::test]
async fn the_caps_hold() {
    let root = tree(&[("a", "12"), ("b", "34"), ("c/d/e", "56")]);
    let source = Source::Directory(root.path().into());
    for (limits, setting) in [
        (Limits { max_files: 2, ..Limits::default() }, "intake.max_files"),
        (Limits { max_total_bytes: 5, ..Limits::default() }, "intake.max_total_bytes"),
        (Limits { max_archive_entries: 3, ..Limits::default() }, "intake.max_archive_entries"),
    ] {
        let error = take(source.clone(), &limits).await.unwrap_err();
        assert!(error.to_string().contains(setting), "{error}");
    }
    let limits = Limits { max_depth: 1, max_file_bytes: 1, ..Limits::default() };
    let tree = take(source, &limits).await.unwrap();
    assert_eq!(paths(&tree), Vec::<&str>::new());
    assert_eq!(skipped(&tree).len(), 3);
    assert!(tree.skipped[2].reason.contains("intake.max_depth"), "{:?}", tree.skipped);
}

#[tokio::test]
async fn one_file_can_be_named_and_what_is_neither_says_so() {
    let root = tree(&[("vendor/a.min.js", "var a;")]);
    let file = root.path().join("vendor/a.min.js");
    let tree = take(Source::Directory(file.clone()), &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), ["a.min.js"]);
    let small = Limits { max_file_bytes: 5, ..Limits::default() };
    let error = take(Source::Directory(file), &small).await.unwrap_err();
    assert!(error.to_string().contains("intake.max_file_bytes"), "{error}");
    let error = take(Source::Directory("/dev/null".into()), &Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
}

#[tokio::test]
async fn what_was_taken_in_can_be_written_out_again_but_never_over_something() {
    let root = tree(&[("a/b/c.py", "x"), ("d.py", "y")]);
    let taken = take(Source::Directory(root.path().into()), &Limits::default()).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    taken.write_to(copy.path()).unwrap();
    let again = take(Source::Directory(copy.path().into()), &Limits::default()).await.unwrap();
    assert_eq!(again, taken);
    let target = tree(&[("outside", "untouched")]);
    let trap = tempfile::tempdir().unwrap();
    symlink(target.path().join("outside"), trap.path().join("d.py")).unwrap();
    assert!(taken.write_to(trap.path()).is_err());
    assert_eq!(fs::read_to_string(target.path().join("outside")).unwrap(), "untouched");
}
