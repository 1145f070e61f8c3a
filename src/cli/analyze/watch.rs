//! `--watch`: looks again whenever something changes, until it is told to end.

use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};

use super::look::{Looked, Looker};
use crate::cli::paint::{Grade, Paint};
use crate::cli::{Surroundings, runtime};
use crate::model::SourceFile;

/// Editors write a file in several steps, and version control many files at once: it is quiet so long before we look.
const QUIET: Duration = Duration::from_millis(150);
/// What never gets quiet is looked at all the same.
const PATIENCE: Duration = Duration::from_secs(3);

/// What happens while nothing is looked at.
enum Message {
    Changed(notify::Result<Event>),
    End,
}

/// Looks, shows, and waits for the next change. Ends with 0 when it is interrupted.
pub(super) fn run(looker: &Looker<'_>, around: &Surroundings) -> anyhow::Result<ExitCode> {
    let root = looker.local().context("--watch: works on this machine only")?;
    let (sender, messages) = channel();
    end_on_signal(looker, sender.clone())?;
    let watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more when it ends.
        let _ = sender.send(Message::Changed(event));
    })?;
    let mut folders = Folders { watcher, known: HashSet::new() };
    folders.add(if root.is_dir() { root } else { root.parent().unwrap_or(root) })?;
    let mut before: Option<Vec<SourceFile>> = None;
    loop {
        let looked = looker.look();
        if looker.stop.load(Ordering::Relaxed) {
            return Ok(ExitCode::SUCCESS);
        }
        let seen = looked.as_ref().ok().map(|looked| looked.files.clone());
        let fresh = folders.add_all(root, seen.as_deref().unwrap_or_default())?;
        if seen.is_none() || seen != before {
            show(looker, looked, around)?;
        }
        before = seen;
        // A folder that was not watched until now may have changed since it was read.
        if !fresh && !changed(&messages, &mut folders)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn show(looker: &Looker<'_>, looked: anyhow::Result<Looked>, around: &Surroundings) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    if stdout.is_terminal() {
        // The screen, what has scrolled out of it, and the cursor to the top.
        write!(stdout, "\u{1b}[2J\u{1b}[3J\u{1b}[H")?;
    }
    match looked {
        Ok(looked) => looker.asked.write(&looked, around)?,
        // A slip in a rule or in the project's file, which the next change may mend.
        Err(error) => {
            let paint = Paint::new(around.paints(&std::io::stderr()));
            eprintln!("{} {error:#}", paint.graded(Grade::Bad, "error:"));
        }
    }
    stdout.flush()?;
    eprintln!("Watching for changes; Ctrl-C ends it.");
    Ok(())
}

/// Waits until something has changed and it is quiet again; false when it is to end.
fn changed(messages: &Receiver<Message>, folders: &mut Folders) -> anyhow::Result<bool> {
    let mut since: Option<Instant> = None;
    loop {
        let message = match since {
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) if since.elapsed() > PATIENCE => return Ok(true),
            Some(_) => messages.recv_timeout(QUIET),
        };
        match message {
            Ok(Message::Changed(event)) => {
                if folders.matters(&event?) {
                    since.get_or_insert_with(Instant::now);
                }
            }
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Err(RecvTimeoutError::Timeout) => return Ok(true),
        }
    }
}

/// The folders that are watched: those that files of the tree lie in, and no others; what a build writes elsewhere wakes
/// nobody.
struct Folders {
    watcher: RecommendedWatcher,
    known: HashSet<PathBuf>,
}

impl Folders {
    fn add(&mut self, folder: &Path) -> anyhow::Result<bool> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if !self.known.insert(folder.to_owned()) {
            return Ok(false);
        }
        let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
        watched.with_context(|| format!("--watch {}", folder.display()))?;
        Ok(true)
    }

    /// Adds the folders of files; whether any is new.
    fn add_all(&mut self, root: &Path, files: &[SourceFile]) -> anyhow::Result<bool> {
        let mut fresh = false;
        for file in files.iter().filter(|_| root.is_dir()) {
            for folder in Path::new(&file.path).ancestors().skip(1) {
                fresh |= self.add(&root.join(folder))?;
            }
        }
        Ok(fresh)
    }

    /// Whether a look is worth it. A folder that comes into being is watched from now on, and one that goes is forgotten.
    fn matters(&mut self, event: &Event) -> bool {
        for path in &event.paths {
            match event.kind {
                EventKind::Create(_) if path.is_dir() && !path.ends_with(".git") => drop(self.add(path)),
                EventKind::Remove(_) => drop(self.known.remove(path)),
                _ => {}
            }
        }
        let ours = event.paths.iter().any(|path| !path.iter().any(|part| part == ".git"));
        event.need_rescan() || (ours && !matches!(event.kind, EventKind::Access(_)))
    }
}

/// The first signal ends it in an orderly way, also in the midst of an analysis.
fn end_on_signal(looker: &Looker<'_>, sender: Sender<Message>) -> anyhow::Result<()> {
    let stop = std::sync::Arc::clone(&looker.stop);
    let runtime = runtime::small()?;
    let (mut interrupted, mut told) = runtime.block_on(async {
        Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = told.recv() => {}
            }
        });
        stop.store(true, Ordering::Relaxed);
        let _ = sender.send(Message::End);
    });
    Ok(())
}
