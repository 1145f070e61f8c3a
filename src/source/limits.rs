//! How much of a source is taken in, and from where.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The caps of the intake. Each stands in the configuration under `intake`, by the name of its field; an error
/// that meets one names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files that are kept; more refuse the source.
    pub max_files: usize,
    /// Bytes of one file; a larger one is skipped with a note (inline code is refused).
    pub max_file_bytes: u64,
    /// Bytes of all kept files; more refuse the source.
    pub max_total_bytes: u64,
    /// Folders one below the other; what lies deeper is skipped with a note.
    pub max_depth: usize,
    /// How many times larger than itself an archive may unpack; more refuse it.
    pub max_archive_ratio: u64,
    /// Entries of an archive, or files and folders of a tree, that are looked at; more refuse the source.
    pub max_archive_entries: usize,
    /// Bytes that a clone may take on disk; more refuse it.
    pub max_clone_bytes: u64,
    /// How long git may take.
    pub git_timeout: Duration,
    /// Certificates (PEM) to trust instead of the system's when git fetches: those of an intranet.
    pub git_ca_file: Option<PathBuf>,
    /// Whether repositories on private, loopback and link-local addresses, and those reached by plain `http`,
    /// are allowed: for intranets and tests.
    pub allow_private_addresses: bool,
    /// Hosts whose addresses this server knows better than the name service does. They must be allowed all the
    /// same.
    pub hosts: Vec<(String, IpAddr)>,
    /// Whether code of others that lies in the tree (`node_modules`, `vendor` …) is skipped.
    pub skip_vendored: bool,
    /// Globs as in `.gitignore`: what matches is skipped.
    pub exclude: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_files: 50_000,
            max_file_bytes: 1 << 20,
            max_total_bytes: 512 << 20,
            max_depth: 64,
            max_archive_ratio: 200,
            max_archive_entries: 200_000,
            max_clone_bytes: 1 << 30,
            git_timeout: Duration::from_secs(300),
            git_ca_file: None,
            allow_private_addresses: false,
            hosts: Vec::new(),
            skip_vendored: true,
            exclude: Vec::new(),
        }
    }
}
