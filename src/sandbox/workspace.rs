//! A directory for a command to work in.

use std::fs::{self, DirBuilder, File, Permissions, set_permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// An empty directory that commands may change, gone when this is dropped.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Workspace {
    /// Makes it, and hands it to the user that commands run as.
    pub(super) fn create(parent: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("work-").tempdir_in(parent)?;
        let workspace = Self { path: folder.keep(), owner };
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

    /// Hands one file, folder or link that the server made in here to the user that commands run as.
    pub fn hand_over(&self, path: &Path) -> io::Result<()> {
        self.owner.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Gives the tree to a user, links themselves and not what they point to.
pub(super) fn hand_over(path: &Path, owner: (u32, u32)) -> io::Result<()> {
    lchown(path, Some(owner.0), Some(owner.1))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in fs::read_dir(path)? {
            hand_over(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// The directory of one sandbox: everybody may pass through it, only we may list it.
#[derive(Debug)]
pub(super) struct Passage {
    folder: TempDir,
    /// Held as long as we live: whoever can take it knows that we are gone.
    _lock: File,
}

impl Passage {
    /// Makes it, and clears away those of servers that were killed.
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
        clear(parent);
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        set_permissions(folder.path(), Permissions::from_mode(0o711))?;
        // Under its name it is locked from the first moment.
        let unnamed = folder.path().join("unlocked");
        let lock = File::create(&unnamed)?;
        lock.lock()?;
        fs::rename(unnamed, folder.path().join(LOCK))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

const PREFIX: &str = "codeyard-sandbox-";
const LOCK: &str = "lock";

/// Removes what sandboxes left that did not end by themselves. Only our own user's: what another one put here
/// may be a trap.
fn clear(parent: &Path) {
    let Ok(own) = fs::metadata("/proc/self").map(|meta| meta.uid()) else { return };
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && entry.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == own);
        let unlocked = || File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if ours && unlocked() {
            remove(&entry.path());
        }
    }
}

/// Removes a tree. A command may have closed its own folders to us; as their owner we can open them again.
fn remove(path: &Path) {
    if fs::remove_dir_all(path).is_err() {
        open_folders(path);
        let _ = fs::remove_dir_all(path);
    }
}

fn open_folders(path: &Path) {
    let is_folder = path.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    if !is_folder || set_permissions(path, Permissions::from_mode(0o700)).is_err() {
        return;
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        open_folders(&entry.path());
    }
}
