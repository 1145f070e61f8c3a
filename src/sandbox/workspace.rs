//! A directory for a command to work in.

use std::io;
use std::os::unix::fs::{DirBuilderExt, lchown};
use std::path::{Path, PathBuf};

/// An empty directory that commands may change, gone when this is dropped.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
}

impl Workspace {
    /// Makes it, and hands it to the user that commands run as.
    pub(super) fn create(parent: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("work-").tempdir_in(parent)?;
        let workspace = Self { path: folder.keep() };
        if let Some((uid, gid)) = owner {
            lchown(&workspace.path, Some(uid), Some(gid))?;
        }
        Ok(workspace)
    }

    /// Where it is, for the server and for the command alike.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // A command may have closed its own folders to us; as their owner we can open them again.
        if std::fs::remove_dir_all(&self.path).is_err() {
            open_folders(&self.path);
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Gives the tree to a user, links themselves and not what they point to.
pub(super) fn hand_over(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    lchown(path, Some(owner.0), Some(owner.1))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in std::fs::read_dir(path)? {
            hand_over(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// A directory that everybody may pass through but only we may list.
pub(super) fn passage(parent: &Path) -> io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
    let folder = tempfile::Builder::new().prefix("codeyard-sandbox-").tempdir_in(parent)?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

fn open_folders(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if !is_folder || std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        open_folders(&entry.path());
    }
}
