//! Fetches one commit of a git repository and reads its files, without ever checking it out.
//!
//! Git runs in the sandbox, with a configuration that is ours to the last word. It fetches into a bare
//! repository and hands the files over by their ids: no link, hook, filter or attribute of the repository ever
//! meets a file system.

use std::collections::HashSet;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::basket::{Basket, too_many_bytes, too_many_entries};
use super::remote::{Remote, check_reference};
use super::{Error, Limits, Tree, path};
use crate::sandbox::{self, Command, Finished, KilledBecause, Network, Overflow, Sandbox};

/// Takes in one commit.
pub(super) async fn read(
    url: &str,
    reference: Option<&str>,
    limits: &Limits,
    sandbox: &Sandbox,
    stop: &CancellationToken,
    note: &(dyn Fn(&str) + Sync),
) -> Result<Tree, Error> {
    check(url, reference, limits)?;
    let remote = Remote::parse(url, limits)?;
    let workspace = sandbox.workspace()?;
    let git = Git { sandbox, limits, stop, folder: workspace.path() };
    let reading = async {
        note("Fetching the repository");
        git.init().await?;
        git.fetch(&remote, reference.unwrap_or("HEAD")).await?;
        let revision = git.revision().await?;
        note("Reading the files");
        let mut basket = Basket::new(limits)?;
        let list = git.list().await?;
        let wanted = wanted(&list, limits, &mut basket)?;
        git.contents(&wanted, &mut basket).await?;
        Ok(basket.into_tree(Some(revision)))
    };
    // Each command has this limit too; all of them together have no more.
    tokio::time::timeout(limits.git_timeout, reading).await.unwrap_or_else(|_| Err(too_slow(limits)))
}

/// See [`super::check`].
pub(super) fn check(url: &str, reference: Option<&str>, limits: &Limits) -> Result<(), Error> {
    reference.map_or(Ok(()), check_reference)?;
    Remote::parse(url, limits).map(drop)
}

struct Git<'a> {
    sandbox: &'a Sandbox,
    limits: &'a Limits,
    stop: &'a CancellationToken,
    folder: &'a Path,
}

/// Our copy of the certificates to trust, where git can read it.
const CERTIFICATES: &str = "certificates.pem";

/// What holds for every command. The repository's own configuration is ours too: `init` writes it.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "core.bigFileThreshold=4m",
    "credential.helper=",
    "protocol.allow=never",
    "http.followRedirects=false",
    "http.lowSpeedLimit=100",
    "http.lowSpeedTime=60",
    "http.proxy=",
    "fetch.fsckObjects=true",
    "transfer.fsckObjects=true",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.defaultBranchName=false",
    "safe.directory=*",
];

impl Git<'_> {
    async fn init(&self) -> Result<(), Error> {
        let made = self.run(self.command(&[], &["init", "--quiet", "--bare", "--template=", "."])).await?;
        if !made.succeeded() {
            return Err(failed(&made));
        }
        if let Some(certificates) = &self.limits.git_ca_file {
            let copied = tokio::fs::copy(certificates, self.folder.join(CERTIFICATES)).await;
            copied.map_err(|error| Error::Io("read intake.git_ca_file", error))?;
        }
        Ok(())
    }

    /// Fetches one commit without its history. A server that redirects is asked once more, by the name with
    /// `.git`, which is all that the large ones mean by it.
    async fn fetch(&self, remote: &Remote, reference: &str) -> Result<(), Error> {
        let address = remote.resolve(self.limits).await?;
        let first = self.try_fetch(remote, address, reference).await?;
        if first.succeeded() {
            return Ok(());
        }
        let redirected = is_redirect(&first.stderr);
        if let Some(remote) = remote.with_suffix().filter(|_| redirected) {
            let second = self.try_fetch(&remote, address, reference).await?;
            return if second.succeeded() { Ok(()) } else { Err(failed(&second)) };
        }
        Err(failed(&first))
    }

    async fn try_fetch(
        &self,
        remote: &Remote,
        address: std::net::IpAddr,
        reference: &str,
    ) -> Result<Finished, Error> {
        let mut settings = vec![
            "protocol.https.allow=always".to_owned(),
            format!("http.curloptResolve={}", remote.pin(address)),
        ];
        if self.limits.git_ca_file.is_some() {
            settings.push(format!("http.sslCAInfo={}", self.folder.join(CERTIFICATES).display()));
        }
        if self.limits.allow_private_addresses {
            settings.push("protocol.http.allow=always".to_owned());
        }
        let args = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules"];
        let command = self.command(&settings, &args).args(["--", remote.url(), reference]);
        self.run(command.network(Network::Host)).await
    }

    async fn revision(&self) -> Result<String, Error> {
        let args = ["rev-parse", "--verify", "--end-of-options", "FETCH_HEAD^{commit}"];
        let answer = self.run(self.command(&[], &args)).await?;
        let revision = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
        let good =
            answer.succeeded() && revision.len() >= 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
        if good { Ok(revision) } else { Err(failed(&answer)) }
    }

    /// The table of contents: a tree that names itself a thousand times over ends at the cap of the entries.
    async fn list(&self) -> Result<Vec<u8>, Error> {
        let mut command = self.command(&[], &["ls-tree", "-r", "-l", "-z", "--full-tree", "FETCH_HEAD"]);
        command.limits.output = self.limits.max_archive_entries.saturating_mul(200).max(1 << 20);
        let answer = self.run(command).await?;
        if answer.killed_because == Some(KilledBecause::Output) {
            return Err(too_many_entries("the repository", self.limits));
        }
        if answer.succeeded() { Ok(answer.stdout) } else { Err(failed(&answer)) }
    }

    /// The bytes of the wanted files.
    async fn contents(&self, wanted: &[Entry<'_>], basket: &mut Basket<'_>) -> Result<(), Error> {
        let total: u64 = wanted.iter().map(|entry| entry.size).sum();
        if total > self.limits.max_total_bytes.saturating_mul(2) {
            return Err(too_many_bytes(self.limits));
        }
        let ids: String = wanted.iter().map(|entry| format!("{}\n", entry.id)).collect();
        let mut command = self.command(&[], &["cat-file", "--batch", "--buffer"]).stdin(ids);
        command.limits.output =
            usize::try_from(total).unwrap_or(usize::MAX).saturating_add(wanted.len() * 128);
        let answer = self.run(command).await?;
        if !answer.succeeded() {
            return Err(failed(&answer));
        }
        let mut rest = answer.stdout.as_slice();
        for entry in wanted {
            let content = next_blob(&mut rest, entry).ok_or_else(unexpected)?;
            basket.add(entry.path.clone(), content.to_vec())?;
        }
        Ok(())
    }

    fn command(&self, settings: &[String], args: &[&str]) -> Command {
        let settings = SETTINGS.iter().copied().chain(settings.iter().map(String::as_str));
        let settings = settings.flat_map(|setting| ["-c", setting]);
        let mut command = Command::new("git", self.folder).args(settings).args(args.iter().copied());
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", ""),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_CEILING_DIRECTORIES", "/"),
            ("LC_ALL", "C"),
        ] {
            command = command.env(name, value);
        }
        command.limits = sandbox::Limits {
            wall: self.limits.git_timeout,
            cpu: Some(self.limits.git_timeout),
            file_size: Some(self.limits.max_clone_bytes),
            disk: Some(self.limits.max_clone_bytes),
            overflow: Overflow::Kill,
            ..sandbox::Limits::default()
        };
        command
    }

    /// Whether a file reached the limit. The part of git that was killed for it is a child of the one that we
    /// see end, and that one only says that something went wrong.
    fn met_file_size(&self) -> bool {
        let packs = std::fs::read_dir(self.folder.join("objects/pack")).into_iter().flatten().flatten();
        packs.filter_map(|pack| pack.metadata().ok()).any(|meta| meta.len() >= self.limits.max_clone_bytes)
    }

    /// Runs git; whoever or whatever killed it is told as what it means here.
    async fn run(&self, command: Command) -> Result<Finished, Error> {
        let mut finished = self.sandbox.run(&command, self.stop).await?;
        // Where we work is nobody's business.
        let folder = format!("{}/", self.folder.display());
        finished.stderr = String::from_utf8_lossy(&finished.stderr).replace(&folder, "").into_bytes();
        match finished.killed_because {
            Some(KilledBecause::Stopped) => Err(Error::Cancelled),
            Some(KilledBecause::Wall | KilledBecause::Cpu) => Err(too_slow(self.limits)),
            Some(KilledBecause::FileSize | KilledBecause::Disk | KilledBecause::Memory) => {
                Err(too_large_clone(self.limits))
            }
            Some(KilledBecause::Output) => Ok(finished),
            None if !finished.succeeded() && self.met_file_size() => Err(too_large_clone(self.limits)),
            None => Ok(finished),
        }
    }
}

/// One file of the commit that is wanted.
struct Entry<'a> {
    path: String,
    id: &'a str,
    size: u64,
}

/// Reads the table of contents, `MODE TYPE ID SIZE\tPATH` each, and leaves out what is not wanted.
fn wanted<'a>(list: &'a [u8], limits: &Limits, basket: &mut Basket<'_>) -> Result<Vec<Entry<'a>>, Error> {
    let records: Vec<&[u8]> = list.split(|byte| *byte == 0).filter(|record| !record.is_empty()).collect();
    if records.len() > limits.max_archive_entries {
        return Err(too_many_entries("the repository", limits));
    }
    let name = |record: &'a [u8]| record.iter().position(|b| *b == b'\t').map(|tab| &record[tab + 1..]);
    let names: HashSet<&str> =
        records.iter().filter_map(|record| std::str::from_utf8(name(record)?).ok()).collect();
    let mut wanted = Vec::new();
    for record in records {
        let Some(raw) = name(record) else { return Err(unexpected()) };
        let head = std::str::from_utf8(&record[..record.len() - raw.len()]).map_err(|_| unexpected())?;
        let [mode, _, id, size] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(unexpected());
        };
        let Ok(raw) = std::str::from_utf8(raw) else {
            basket.skip(&path::printable(&String::from_utf8_lossy(raw)), "its name is not UTF-8");
            continue;
        };
        let Some(path) = basket.name(raw)? else { continue };
        if let Some(reason) = not_a_file(mode) {
            basket.skip(&path, reason);
            continue;
        }
        let size = size.parse().map_err(|_| unexpected())?;
        if basket.wants(&path, size, &|other| names.contains(other)) {
            wanted.push(Entry { path, id, size });
        }
    }
    Ok(wanted)
}

fn not_a_file(mode: &str) -> Option<&'static str> {
    match mode {
        "120000" => Some("a symbolic link; links are not followed"),
        "160000" => Some("a submodule; submodules are not fetched"),
        _ => None,
    }
}

/// The next blob of `cat-file --batch`: `ID TYPE SIZE\n`, the bytes, `\n`.
fn next_blob<'a>(rest: &mut &'a [u8], entry: &Entry<'_>) -> Option<&'a [u8]> {
    let line = rest.iter().position(|byte| *byte == b'\n')?;
    let expected = format!("{} blob {}", entry.id, entry.size);
    if rest[..line] != *expected.as_bytes() {
        return None;
    }
    let end = line + 1 + usize::try_from(entry.size).ok()?;
    let content = rest.get(line + 1..end)?;
    *rest = rest.get(end + 1..)?;
    Some(content)
}

/// What git says when asking again is of no use, and what it means.
const KNOWN: &[(&str, &str)] = &[
    ("could not read Username", "there is no such repository, or it is not public"),
    ("Authentication failed", "there is no such repository, or it is not public"),
    ("error: 403", "there is no such repository, or it is not public"),
    ("couldn't find remote ref", "the repository has no such branch, tag or commit"),
    ("not our ref", "the repository has no such branch, tag or commit"),
    ("dumb http transport", "this is not a git server that a single commit can be fetched from"),
    ("is this a git repository", "this is not a git repository"),
    ("certificate", "the server's certificate cannot be verified (intake.git_ca_file)"),
    ("not found", "there is no such repository"),
];

/// What git said, in the caller's words.
fn failed(finished: &Finished) -> Error {
    let said = String::from_utf8_lossy(&finished.stderr);
    if let Some((_, message)) = KNOWN.iter().find(|(mark, _)| said.contains(mark)) {
        return Error::Remote { message: (*message).to_owned(), transient: false };
    }
    if is_redirect(&finished.stderr) {
        let message = "the server redirects elsewhere; use the address it redirects to".to_owned();
        return Error::Remote { message, transient: false };
    }
    Error::Remote {
        message: format!("git could not fetch the repository: {}", clean(&said)),
        transient: true,
    }
}

fn is_redirect(stderr: &[u8]) -> bool {
    let said = String::from_utf8_lossy(stderr);
    ["301", "302", "303", "307", "308"].iter().any(|code| said.contains(&format!("returned error: {code}")))
}

/// Git's own last words, without what the other server made it say and without anything that moves a cursor.
fn clean(said: &str) -> String {
    let last =
        said.lines().rev().find_map(|line| line.strip_prefix("fatal: ").or(line.strip_prefix("error: ")));
    path::printable(last.unwrap_or("it did not say why"))
}

fn too_slow(limits: &Limits) -> Error {
    Error::TimedOut {
        what: "fetching the repository".to_owned(),
        seconds: limits.git_timeout.as_secs(),
        setting: "intake.git_timeout_seconds",
    }
}

fn too_large_clone(limits: &Limits) -> Error {
    Error::TooLarge {
        what: "the repository is too large".to_owned(),
        cap: format!("{} bytes", limits.max_clone_bytes),
        setting: "intake.max_clone_bytes",
    }
}

fn unexpected() -> Error {
    Error::Remote { message: "git answered something unexpected".to_owned(), transient: false }
}
