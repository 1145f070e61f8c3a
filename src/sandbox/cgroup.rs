//! Limits for a whole tree of processes, by the kernel's control groups, where the server may make some: version 2
//! first, version 1 second. Where it may make none, the limits of each process and of its user are all there is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Limits;

/// Processes of the sandbox itself in each group.
const OWN_PROCESSES: u64 = 8;
const PREFIX: &str = "codeyard-";

/// Groups that this process has made: several sandboxes may make theirs in the same place.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Where groups can be made. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    version: u8,
    /// One folder for all controllers, or one for memory and one for processes.
    folders: Vec<PathBuf>,
    /// Groups that could not be removed yet: the last of their processes was still on its way out.
    left: Mutex<Vec<PathBuf>>,
}

/// The group of one command.
#[derive(Debug)]
pub(super) struct Group {
    place: Arc<Place>,
    folders: Vec<PathBuf>,
    doors: Vec<File>,
}

impl Groups {
    /// Looks where this process lies, and tries whether a group can be made there.
    pub(super) fn find() -> Option<Self> {
        let lines = fs::read_to_string("/proc/self/cgroup").ok()?;
        let path_of = |wanted: &str| {
            lines.lines().find_map(|line| {
                let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
                controllers.split(',').any(|name| name == wanted).then_some(path.trim_start_matches('/'))
            })
        };
        let root = Path::new("/sys/fs/cgroup");
        let mut candidates = Vec::new();
        if let Some(path) = path_of("").filter(|_| root.join("cgroup.controllers").exists()) {
            let own = root.join(path);
            candidates.extend([(2, vec![own.clone()])]);
            candidates.extend(
                own.parent().filter(|above| above.starts_with(root)).map(|above| (2, vec![above.into()])),
            );
        }
        if let (Some(memory), Some(pids)) = (path_of("memory"), path_of("pids")) {
            let inside =
                |name: &str, path: &str| Some(root.join(name).join(path)).filter(|folder| folder.is_dir());
            let folder = |name: &str, path: &str| inside(name, path).unwrap_or_else(|| root.join(name));
            candidates.push((1, vec![folder("memory", memory), folder("pids", pids)]));
        }
        candidates.into_iter().find_map(|(version, folders)| {
            let place = Place { version, folders, left: Mutex::default() };
            let groups = Self { place: Arc::new(place) };
            groups.place.sweep();
            groups.make(&Limits::default()).ok().map(|_| groups)
        })
    }

    /// Which version of control groups it is.
    pub(super) fn version(&self) -> u8 {
        self.place.version
    }

    /// Makes a group with these limits.
    pub(super) fn make(&self, limits: &Limits) -> io::Result<Group> {
        let place = &self.place;
        place.clear(Vec::new());
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut group = Group { place: Arc::clone(place), folders: Vec::new(), doors: Vec::new() };
        for parent in &place.folders {
            let folder = parent.join(&name);
            fs::create_dir(&folder)?;
            group.folders.push(folder.clone());
            group.doors.push(OpenOptions::new().write(true).open(folder.join("cgroup.procs"))?);
        }
        let (first, last) = (group.folders.first(), group.folders.last());
        if let (Some(folder), Some(bytes)) = (first, limits.memory) {
            let file = if place.version == 2 { "memory.max" } else { "memory.limit_in_bytes" };
            fs::write(folder.join(file), bytes.to_string())?;
            // Where there is swap, a tree must not go on there without end.
            let _ = fs::write(folder.join("memory.swap.max"), "0");
        }
        if let (Some(folder), Some(processes)) = (last, limits.processes) {
            fs::write(folder.join("pids.max"), processes.saturating_add(OWN_PROCESSES).to_string())?;
        }
        Ok(group)
    }
}

impl Group {
    /// What a process writes `0` to in order to come in, it and all its children. Who opened it decides whether it may.
    pub(super) fn doors(&self) -> Vec<RawFd> {
        self.doors.iter().map(AsRawFd::as_raw_fd).collect()
    }

    /// Whether the kernel has killed somebody in here because the memory was used up.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let file = if self.place.version == 2 { "memory.events" } else { "memory.oom_control" };
        let said = self.folders.first().and_then(|folder| fs::read_to_string(folder.join(file)).ok());
        let count = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse::<u64>().ok();
        said.is_some_and(|said| said.lines().filter_map(count).any(|count| count > 0))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // There is nobody, unless the sandbox has failed.
        self.folders.iter().for_each(|folder| end(folder));
        self.place.clear(std::mem::take(&mut self.folders));
    }
}

impl Place {
    /// Removes these groups and those that were left before, as far as they are empty by now.
    fn clear(&self, mut folders: Vec<PathBuf>) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        folders.append(&mut left);
        folders.retain(|folder| fs::remove_dir(folder).is_err() && folder.exists());
        *left = folders;
    }

    /// Removes the groups of servers that are gone, with whoever is left in them: bubblewrap, killed with its server at
    /// the moment when it had just started its first process, leaves that one waiting for ever.
    fn sweep(&self) {
        for entry in
            self.folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten()).flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                end(&entry.path());
                self.clear(vec![entry.path()]);
            }
        }
    }
}

/// Kills whoever is in a group. Version 2 has a word for that.
#[expect(unsafe_code, reason = "std only kills children that it started")]
fn end(folder: &Path) {
    if fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let inside = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for those that cannot be named from here.
    for pid in inside.lines().filter_map(|line| line.parse::<libc::pid_t>().ok()).filter(|pid| *pid > 0) {
        // SAFETY: the process was in a group of ours just now, which only commands are put into.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}
