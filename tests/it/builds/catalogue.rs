//! The whole catalogue: every project's tests pass in the sandbox, or the job says which toolchain is missing.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use codeyard::agent::Workspace;
use codeyard::agent::testing::{self, Verdict};
use codeyard::sandbox::{Sandbox, Settings};
use codeyard::scaffold::{Language, Order, Project, Template, make};
use tokio_util::sync::CancellationToken;

/// A sandbox that has the toolchains of this machine.
fn sandbox() -> Sandbox {
    let mut settings = Settings::new(env!("CARGO_BIN_EXE_codeyard"));
    settings.add_toolchains_of_this_machine();
    if let Some(root) = reachable_rust() {
        settings.add_toolchain(root);
    }
    let level = crate::sandbox::levels().into_iter().max().unwrap();
    Sandbox::untested(&settings, level).unwrap()
}

/// Rust where every user can reach it: a server that runs as root runs commands as somebody else, who cannot pass
/// through root's home. Linked, not copied, where that is possible.
fn reachable_rust() -> Option<PathBuf> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(sysroot.stdout).ok()?.trim());
    let is_open = |path: &Path| path.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
    if sysroot.ancestors().all(is_open) {
        return None;
    }
    let place = std::env::temp_dir().join(format!("codeyard-test-rust-{}", env!("CARGO_PKG_VERSION")));
    if !place.exists() {
        let fresh = tempfile::tempdir().unwrap();
        for name in ["bin", "lib"] {
            let copy =
                |how: &str| Command::new("cp").arg(how).arg(sysroot.join(name)).arg(fresh.path()).status();
            assert!(copy("-al").unwrap().success() || copy("-a").unwrap().success());
        }
        std::fs::set_permissions(fresh.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        // Another test may have been faster.
        let _ = std::fs::rename(fresh.keep(), &place);
    }
    Some(place)
}

async fn check(sandbox: &Sandbox, project: &Project, program: &str) {
    let home = tempfile::tempdir().unwrap();
    let mut workspace = Workspace::open(home.path(), None, sandbox).unwrap();
    for step in &project.steps {
        for (path, text) in &step.files {
            workspace.write(path, text.as_bytes()).unwrap();
        }
        assert!(workspace.commit(&step.name).unwrap().is_some());
    }
    let read = |path: &str| String::from_utf8(workspace.read(path).ok()?).ok();
    let framework = testing::detect(&workspace.list().unwrap(), &read).unwrap();
    let (never, begun) = (CancellationToken::new(), Instant::now());
    let wall = Duration::from_secs(120);
    let tested = testing::run(&workspace, &framework, wall, sandbox, &never, &|_, _| ()).await.unwrap();
    let what = format!("{:?} {:?}", project.language, project.template);
    let installed = Command::new(program).arg("--version").output().is_ok()
        || Command::new(program).arg("version").output().is_ok();
    if installed {
        assert_eq!(tested.verdict, Verdict::Passed, "{what}: {}\n{}", tested.sentence(), tested.tail());
        assert!(tested.summary.passed >= 2, "{what}: {tested:?}");
        eprintln!("{what}: {} in {:.1} s", tested.sentence(), begun.elapsed().as_secs_f64());
    } else {
        assert_eq!(tested.verdict, Verdict::NotRun, "{what}: {tested:?}");
        let said = tested.sentence();
        assert!(said.starts_with(&format!("tests: not run, because {program} is not installed")), "{said}");
    }
    // What the tests leave behind is nothing that a project consists of.
    let left = workspace.commit("Run the tests").unwrap();
    assert!(left.is_none(), "{what}: {left:?}");
}

async fn check_all(language: Language, program: &str) {
    let sandbox = sandbox();
    let orders = Template::ALL.map(|template| (template, "count words"));
    for (template, goal) in
        orders.into_iter().chain([(Template::Library, "slugs"), (Template::Library, "chess")])
    {
        let (language, template) = (Some(language), Some(template));
        let project = make(&Order { project_name: "My-project2", goal, language, template });
        check(&sandbox, &project, program).await;
    }
}

#[tokio::test]
async fn every_python_project_passes_its_tests() {
    check_all(Language::Python, "python3").await;
}

#[tokio::test]
async fn every_rust_project_passes_its_tests() {
    check_all(Language::Rust, "cargo").await;
}

#[tokio::test]
async fn every_go_project_passes_its_tests() {
    check_all(Language::Go, "go").await;
}

#[tokio::test]
async fn every_typescript_project_passes_its_tests() {
    check_all(Language::Typescript, "node").await;
}
