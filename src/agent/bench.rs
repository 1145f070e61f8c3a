//! What a tool works with: the workspace, the sandbox, and what this build may do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::attached;
use super::task::Task;
use super::tools::Error;
use super::voice::Voice;
use super::workspace::{self, Workspace};
use crate::sandbox::{Command, Finished, Sandbox};
use crate::source;

/// Where the whole output of commands can be read, as a path of the workspace that is none.
pub(super) const OUTPUTS: &str = ".codeyard/outputs/";
/// The largest file that tools read or write.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// A workspace that tools take turns with.
pub type Shared = Arc<Mutex<Workspace>>;

/// What a tool works with.
pub(super) struct Bench<'a> {
    pub(super) workspace: &'a Shared,
    pub(super) sandbox: &'a Sandbox,
    pub(super) voice: &'a Voice<'a>,
    pub(super) task: &'a Task,
    pub(super) stop: &'a CancellationToken,
    /// Where pages may be fetched from, as far as addresses go.
    pub(super) intake: &'a source::Limits,
    /// Where the whole output of commands is kept, and the number of the next.
    pub(super) outputs: PathBuf,
    pub(super) next_output: u32,
    /// How long a command may take at the most, so that the build keeps its own limit.
    pub(super) time_left: Duration,
    /// What the plan says runs the tests.
    pub(super) planned_tests: Option<&'a str>,
}

impl Bench<'_> {
    /// Does something with the workspace, off the threads that must not wait.
    pub(super) async fn with<T, F>(&self, work: F) -> Result<T, workspace::Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Workspace) -> Result<T, workspace::Error> + Send + 'static,
    {
        with(self.workspace, work).await
    }

    /// What a text file holds.
    pub(super) async fn read_text(&self, path: &str) -> Result<String, Error> {
        let bytes = if let Some(name) = path.strip_prefix(OUTPUTS) {
            self.read_output(path, name)?
        } else {
            let raw = path.to_owned();
            let read = self.with(move |workspace| {
                // Whoever asks for a file that is not there is told of those that are called alike.
                Ok(workspace.read(&raw).map_err(|error| (error, workspace.list().unwrap_or_default())))
            });
            match read.await.map_err(|error| explain(path, error, &[]))? {
                Ok(bytes) => bytes,
                Err((error, files)) => return Err(explain(path, error, &files)),
            }
        };
        if bytes.len() as u64 > MOST_BYTES {
            return Err(too_large(path, bytes.len() as u64));
        }
        String::from_utf8(bytes).map_err(|_| Error::NotText(path.to_owned()))
    }

    /// Writes a text file; tells whether there was one before.
    pub(super) async fn write_text(&self, path: &str, content: &str) -> Result<bool, Error> {
        if content.len() as u64 > MOST_BYTES {
            return Err(too_large(path, content.len() as u64));
        }
        let (raw, content) = (path.to_owned(), content.to_owned());
        let written = self.with(move |workspace| {
            let before = workspace.read(&raw).is_ok();
            workspace.write(&raw, content.as_bytes()).map(|()| before)
        });
        written.await.map_err(|error| explain(path, error, &[]))
    }

    /// Runs a command; what it writes is shown as it comes.
    pub(super) async fn run(&self, mut command: Command) -> Result<Finished, Error> {
        command.limits.wall = command.limits.wall.min(self.time_left.max(Duration::from_secs(1)));
        let see = |stream, bytes: &[u8]| self.voice.see(stream, bytes);
        let run = self.sandbox.run_seeing(&command, self.stop, &see);
        let ended = run.await;
        self.voice.tell_traffic(&self.workspace.lock().await.take_traffic()).await;
        let finished = ended.map_err(|error| Error::Failed {
            what: "starting the command",
            why: error.to_string(),
            instead: "If the program is not installed, do without it.",
        })?;
        if self.stop.is_cancelled() { Err(Error::Stopped) } else { Ok(finished) }
    }

    /// Keeps a command's whole output, which becomes a file of the job in the end; its name.
    pub(super) fn keep_output(&self, text: &str) -> Option<String> {
        let name = attached::output(self.next_output);
        std::fs::create_dir_all(&self.outputs).ok()?;
        std::fs::write(self.outputs.join(&name), text).ok()?;
        Some(name)
    }

    fn read_output(&self, path: &str, name: &str) -> Result<Vec<u8>, Error> {
        let missing = || Error::NotFound { path: path.to_owned(), near: Vec::new() };
        if !attached::is_output(name) {
            return Err(missing());
        }
        std::fs::read(self.outputs.join(name)).map_err(|_| missing())
    }
}

/// Does something with a workspace, off the threads that must not wait.
pub(super) async fn with<T, F>(shared: &Shared, work: F) -> Result<T, workspace::Error>
where
    T: Send + 'static,
    F: FnOnce(&mut Workspace) -> Result<T, workspace::Error> + Send + 'static,
{
    let shared = Arc::clone(shared);
    let done = tokio::task::spawn_blocking(move || work(&mut shared.blocking_lock()));
    done.await
        .unwrap_or_else(|error| Err(workspace::Error::Io("finish a step", std::io::Error::other(error))))
}

/// What is wrong with a path, for the model.
pub(super) fn explain(path: &str, error: workspace::Error, files: &[String]) -> Error {
    let path = path.chars().take(200).collect::<String>();
    match error {
        workspace::Error::BadPath { fault, .. } => Error::BadPath { path, why: fault },
        workspace::Error::Link(_) => {
            Error::BadPath { path, why: "it is or lies behind a symbolic link".to_owned() }
        }
        workspace::Error::NotThere(_) => {
            let near = near(&path, files);
            Error::NotFound { path, near }
        }
        workspace::Error::NotAFile(_) => Error::IsFolder(path),
        workspace::Error::TooLarge(_) => too_large(&path, MOST_BYTES + 1),
        other => Error::Failed {
            what: "working on the file",
            why: other.to_string(),
            instead: "Go on with another file, or try again.",
        },
    }
}

/// Files with the same name elsewhere, or with almost the same path.
fn near(path: &str, files: &[String]) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.split('.').next().unwrap_or(name);
    let alike = |file: &&String| {
        let other = file.rsplit('/').next().unwrap_or(file);
        other.eq_ignore_ascii_case(name) || (stem.len() > 2 && other.split('.').next() == Some(stem))
    };
    files.iter().filter(alike).take(3).cloned().collect()
}

fn too_large(path: &str, size: u64) -> Error {
    Error::TooLarge {
        what: format!("`{}`", path.chars().take(200).collect::<String>()),
        size,
        most: MOST_BYTES,
        instead: "Use a command such as `head` or `sed` to see a part of it.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_same_name_are_offered() {
        let files = ["src/main.py", "tests/test_main.py", "README.md"].map(str::to_owned);
        assert_eq!(near("main.py", &files), ["src/main.py"]);
        assert_eq!(near("docs/readme.md", &files), ["README.md"]);
        assert_eq!(near("main.rs", &files), ["src/main.py"]);
        assert!(near("other.txt", &files).is_empty());
    }
}
