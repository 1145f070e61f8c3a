//! The workspace: paths stay inside, steps are kept, shown, undone, and outlive the process; git agrees.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use codeyard::agent::Workspace;
use codeyard::agent::workspace::{Error, Sort};
use tokio_util::sync::CancellationToken;

use super::strongest;

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git").args(args).current_dir(folder).env("HOME", folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn each_step_is_a_commit_that_git_itself_reads() {
    let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut workspace = Workspace::open(home.path(), None, &strongest()).unwrap();
    // Names around the slash are where the order of a tree goes wrong.
    for path in ["README.md", "a/b.txt", "a.txt", "a-b/c.txt", "a/b/d.txt", "a0"] {
        workspace.write(path, format!("this is {path}\n").as_bytes()).unwrap();
    }
    let first = workspace.commit("Begin").unwrap().unwrap();
    assert_eq!((first.number, first.changes.len()), (1, 6));
    workspace.write("a.txt", b"this is another\n").unwrap();
    workspace.remove("a0").unwrap();
    let second = workspace.commit("Change two files").unwrap().unwrap();
    assert_eq!(workspace.commit("Nothing").unwrap(), None);

    let bundle = workspace.bundle().unwrap().unwrap();
    assert_eq!(bundle, workspace.bundle().unwrap().unwrap());
    let file = elsewhere.path().join("project.bundle");
    std::fs::write(&file, bundle).unwrap();
    git(elsewhere.path(), &["clone", "--quiet", "project.bundle", "project"]);
    let clone = elsewhere.path().join("project");
    git(&clone, &["fsck", "--strict", "--full"]);
    assert_eq!(
        git(&clone, &["log", "--format=%H %s %an %at", "main"]),
        format!(
            "{} Change two files Codeyard 315532920\n{} Begin Codeyard 315532860",
            second.commit, first.commit
        )
    );
    assert_eq!(git(&clone, &["ls-files"]), "README.md\na-b/c.txt\na.txt\na/b.txt\na/b/d.txt");
    assert_eq!(std::fs::read_to_string(clone.join("a.txt")).unwrap(), "this is another\n");
    let history = home.path().join("history");
    git(
        elsewhere.path(),
        &["-c", "safe.directory=*", "--git-dir", history.to_str().unwrap(), "fsck", "--strict"],
    );
}

#[test]
fn the_same_steps_give_the_same_commits() {
    let heads = [(); 2].map(|()| {
        let home = tempfile::tempdir().unwrap();
        let mut workspace = Workspace::open(home.path(), None, &strongest()).unwrap();
        workspace.write("x/y", b"1").unwrap();
        workspace.commit("One").unwrap().unwrap().commit
    });
    assert_eq!(heads[0], heads[1]);
}

#[test]
fn a_step_has_a_diff_and_can_be_undone_unless_it_was_built_upon() {
    let home = tempfile::tempdir().unwrap();
    let mut workspace = Workspace::open(home.path(), None, &strongest()).unwrap();
    workspace.write("a", b"one\ntwo\n").unwrap();
    workspace.write("b", b"b\n").unwrap();
    workspace.commit("Begin").unwrap();
    workspace.write("a", b"one\nthree\n").unwrap();
    workspace.write("c", b"\xff\x00").unwrap();
    let step = workspace.commit("Change").unwrap().unwrap();
    let [a, c] = &step.changes[..] else { panic!("{step:?}") };
    assert_eq!((a.change, a.added, a.removed), (Sort::Modified, 1, 1));
    assert_eq!(a.diff, "--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n");
    assert_eq!((c.path.as_str(), c.change, c.diff.as_str()), ("c", Sort::Added, ""));
    assert_eq!(workspace.step(2).unwrap(), step);

    let undone = workspace.undo(2).unwrap().unwrap();
    assert_eq!((undone.number, undone.name.as_str()), (3, "Undo step 2: Change"));
    assert_eq!(workspace.read("a").unwrap(), b"one\ntwo\n");
    assert_eq!(workspace.list().unwrap(), ["a", "b"]);
    let refused = workspace.undo(2).unwrap_err();
    assert!(matches!(refused, Error::ChangedSince { step: 2, .. }), "{refused}");
    assert!(matches!(workspace.undo(9).unwrap_err(), Error::NoSuchStep(9)));
}

#[test]
fn what_goes_on_has_the_files_of_the_step_it_knows_of_and_nothing_of_later_ones() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = strongest();
    let mut workspace = Workspace::open(home.path(), None, &sandbox).unwrap();
    workspace.write("a", b"1").unwrap();
    let known = workspace.commit("One").unwrap().unwrap().commit;
    workspace.write("a", b"2").unwrap();
    workspace.write("b", b"2").unwrap();
    let unknown = workspace.commit("Two").unwrap().unwrap().commit;
    workspace.write("half", b"3").unwrap();
    let place = workspace.path().to_owned();
    drop(workspace);
    assert!(!place.exists());

    let mut again = Workspace::open(home.path(), Some(known), &sandbox).unwrap();
    assert_eq!(
        (again.list().unwrap(), again.read("a").unwrap(), again.steps()),
        (vec!["a".to_owned()], b"1".to_vec(), 1)
    );
    again.write("a", b"2").unwrap();
    again.write("b", b"2").unwrap();
    assert_eq!(
        again.commit("Two").unwrap().unwrap().commit,
        unknown,
        "the step that is done again is the same"
    );
    let lost = Workspace::open(tempfile::tempdir().unwrap().path(), Some(known), &sandbox).unwrap_err();
    assert!(matches!(lost, Error::Lost(_)), "{lost}");
}

#[test]
fn no_path_leads_out() {
    let home = tempfile::tempdir().unwrap();
    let mut workspace = Workspace::open(home.path(), None, &strongest()).unwrap();
    for bad in
        ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b", "C:/x", ".git/config", "a/.GIT/hooks/x"]
    {
        assert!(matches!(workspace.write(bad, b"x"), Err(Error::BadPath { .. })), "{bad:?}");
        assert!(matches!(workspace.read(bad), Err(Error::BadPath { .. })), "{bad:?}");
        assert!(workspace.resolve(bad).is_err(), "{bad:?}");
    }
    assert_eq!(workspace.resolve("./a//b").unwrap(), workspace.path().join("a/b"));
    assert!(matches!(workspace.read("missing"), Err(Error::NotThere(_))));
}

#[test]
fn links_are_kept_if_they_stay_inside_and_never_followed() {
    let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let sandbox = strongest();
    let mut workspace = Workspace::open(home.path(), None, &sandbox).unwrap();
    workspace.write("folder/secret", b"mine").unwrap();
    workspace.write("top", b"mine").unwrap();
    let step = workspace.commit("Begin").unwrap().unwrap();

    symlink(&secret, workspace.path().join("leak")).unwrap();
    symlink("top", workspace.path().join("inside")).unwrap();
    std::fs::remove_dir_all(workspace.path().join("folder")).unwrap();
    symlink(outside.path(), workspace.path().join("folder")).unwrap();
    std::fs::remove_file(workspace.path().join("top")).unwrap();
    symlink(&secret, workspace.path().join("top")).unwrap();
    for path in ["leak", "folder/secret", "top", "inside"] {
        assert!(matches!(workspace.read(path), Err(Error::Link(_))), "{path}");
        assert!(matches!(workspace.write(path, b"x"), Err(Error::Link(_))), "{path}");
    }
    let second = workspace.commit("Links").unwrap().unwrap();
    let kept = workspace.kept().unwrap();
    assert_eq!(kept.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["inside"], "{second:?}");
    assert_eq!((kept[0].link.as_deref(), second.left_out.len()), (Some("top"), 3));
    assert!(workspace.undo(2).is_err(), "a folder that became a link cannot be written through");
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");

    let again = Workspace::open(home.path(), Some(step.commit), &sandbox).unwrap();
    assert_eq!(again.read("folder/secret").unwrap(), b"mine");
}

#[tokio::test]
async fn a_command_works_in_the_project_and_what_tools_leave_is_not_kept() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = strongest();
    let mut workspace = Workspace::open(home.path(), None, &sandbox).unwrap();
    workspace.write("run.sh", b"#!/bin/sh\necho made > made.txt\n").unwrap();
    workspace.write(".gitignore", b"*.log\n").unwrap();
    workspace.commit("Begin").unwrap();
    let script = "chmod +x run.sh && ./run.sh && mkdir -p node_modules/x target deep/.git && echo > node_modules/x/y && \
                  echo > a.log && echo > target/kept && echo > deep/.git/config && mkfifo pipe && echo > $HOME/cache";
    let command = workspace.command("sh").args(["-c", script]);
    let finished = sandbox.run(&command, &CancellationToken::new()).await.unwrap();
    assert!(finished.succeeded(), "{finished:?}");
    let step = workspace.commit("Run").unwrap().unwrap();
    let changed: Vec<_> = step.changes.iter().map(|change| (change.path.as_str(), change.change)).collect();
    assert_eq!(
        changed,
        [("made.txt", Sort::Added), ("run.sh", Sort::Modified), ("target/kept", Sort::Added)]
    );
    assert!(workspace.kept().unwrap().iter().any(|file| file.path == "run.sh" && file.executable));
    workspace.write("made.txt", b"by the server\n").unwrap();
    let command = workspace.command("sh").args(["-c", "echo and by the command >> made.txt"]);
    assert!(sandbox.run(&command, &CancellationToken::new()).await.unwrap().succeeded());
    assert_eq!(workspace.read("made.txt").unwrap(), b"by the server\nand by the command\n");
}
