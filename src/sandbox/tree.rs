//! Who descends from whom, and how many there are, as `/proc` shows it.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// All processes that descend from this one.
pub(super) fn descendants(of: libc::pid_t) -> Vec<libc::pid_t> {
    let parents: Vec<(libc::pid_t, libc::pid_t)> =
        processes().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.split_off(1)
}

/// Processes and threads of the user that this process runs as.
pub(super) fn tasks_of_this_user() -> u64 {
    let Ok(own) = fs::metadata("/proc/self") else { return 0 };
    let of_this_user = processes().filter_map(|pid| {
        let tasks = fs::metadata(format!("/proc/{pid}/task")).ok().filter(|meta| meta.uid() == own.uid())?;
        // A folder has a link for each folder in it, and two for itself.
        Some(tasks.nlink().saturating_sub(2))
    });
    of_this_user.sum()
}

fn processes() -> impl Iterator<Item = libc::pid_t> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Whether a process does nothing any more: it is stopped, or has ended.
pub(super) fn is_still(pid: libc::pid_t) -> bool {
    let stat = stat(pid).unwrap_or_default();
    matches!(stat.split_whitespace().next(), None | Some("T" | "t" | "Z" | "X"))
}

fn parent(pid: libc::pid_t) -> Option<libc::pid_t> {
    stat(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// What the kernel tells of a process, from its state on.
fn stat(pid: libc::pid_t) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, also parentheses.
    Some(stat[stat.rfind(')')? + 1..].to_owned())
}
