//! Finds the toolchains of this machine that lie outside of the system's directories: those of rustup, pyenv, nvm and
//! their like, which put a small program on the path and the real thing into somebody's home.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How to ask each where it really lies.
const ASK: [(&str, &[&str]); 4] = [
    ("rustc", &["--print", "sysroot"]),
    ("go", &["env", "GOROOT"]),
    ("node", &["-p", "require('path').resolve(process.execPath, '../..')"]),
    ("python3", &["-c", "import sys; print(sys.base_prefix)"]),
];

/// The directories of toolchains that commands can be given: the server's own user has them on its path, and
/// `everyone` says whether others must be able to pass through to them, as when the server runs as root.
pub(super) fn find(everyone: bool) -> Vec<PathBuf> {
    let found = ASK.iter().filter_map(|(program, arguments)| {
        let asked = Command::new(program)
            .args(*arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let root = PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim());
        let is_elsewhere = root.is_absolute() && !root.starts_with("/usr") && root.join("bin").is_dir();
        (is_elsewhere && (!everyone || is_open(&root))).then_some(root)
    });
    found.collect()
}

/// Whether every user can pass through to it.
fn is_open(path: &Path) -> bool {
    path.ancestors().all(|folder| folder.metadata().is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}
