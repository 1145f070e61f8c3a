//! What a build says while it works: files that change, commands and their output, tests, files that are kept.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;

use super::Context;
use crate::agent::testing::{Case, Outcome, Tested};
use crate::agent::workspace::Step;
use crate::artifacts::Artifact;
use crate::sandbox::Stream;

/// Between two events with the output of a command.
const BREATH: Duration = Duration::from_millis(250);
/// Bytes of output or of a diff in one event; the whole is among the artifacts.
const MOST: usize = 16 << 10;
/// Cases that are told of one by one.
const CASES: usize = 20;

/// Tells what happens, as events of the job.
pub(super) struct Voice<'a> {
    context: &'a Context,
}

/// What a command has written and nobody was told of yet: of each stream the end, and how much was passed over.
#[derive(Default)]
pub(super) struct Echo(Mutex<[(Vec<u8>, usize); 2]>);

impl Echo {
    /// Takes in what was written.
    pub(super) fn hear(&self, stream: Stream, piece: &[u8]) {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, passed_over) = &mut streams[usize::from(stream == Stream::Stderr)];
        bytes.extend_from_slice(piece);
        let surplus = bytes.len().saturating_sub(MOST);
        bytes.drain(..surplus);
        *passed_over += surplus;
    }

    fn take(&self) -> [(Vec<u8>, usize); 2] {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<'a> Voice<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self { context }
    }

    /// A step was kept: one event for each file.
    pub(super) async fn step(&self, step: &Step) {
        for change in &step.changes {
            let cut = change.diff.floor_char_boundary(MOST);
            let data = json!({
                "path": change.path, "change": change.change, "added": change.added, "removed": change.removed,
                "diff": change.diff[..cut], "truncated": cut < change.diff.len(), "step": step.number,
                "commit": step.commit,
            });
            self.context.event("file_changed", Some(&change.path), &data).await;
        }
        for path in &step.left_out {
            self.context.log(super::super::Level::Warn, &format!("not kept: {path}")).await;
        }
    }

    /// Waits for a command, telling what it writes as it comes, a few times a second.
    pub(super) async fn command<T>(&self, line: &str, echo: &Echo, run: impl Future<Output = T>) -> T {
        self.context.event("command", Some(line), &json!({ "command": line, "state": "started" })).await;
        let mut run = std::pin::pin!(run);
        loop {
            tokio::select! {
                done = &mut run => {
                    self.output(line, echo).await;
                    self.context.event("command", Some(line), &json!({ "command": line, "state": "ended" })).await;
                    return done;
                }
                () = tokio::time::sleep(BREATH) => self.output(line, echo).await,
            }
        }
    }

    async fn output(&self, line: &str, echo: &Echo) {
        for (stream, (bytes, passed_over)) in [Stream::Stdout, Stream::Stderr].into_iter().zip(echo.take()) {
            if !bytes.is_empty() {
                let text = String::from_utf8_lossy(&bytes);
                let data =
                    json!({ "command": line, "stream": stream, "text": text, "passed_over": passed_over });
                self.context.event("command", None, &data).await;
            }
        }
    }

    /// The tests were run.
    pub(super) async fn tested(&self, tested: &Tested) {
        let bad = |case: &&Case| matches!(case.outcome, Outcome::Failed | Outcome::Error);
        let data = json!({
            "verdict": tested.verdict, "reason": tested.reason, "command": tested.command,
            "summary": tested.summary, "seconds": tested.seconds,
            "failed": tested.cases.iter().filter(bad).take(CASES).collect::<Vec<_>>(),
        });
        self.context.event("test_result", Some(&tested.sentence()), &data).await;
    }

    /// A file was kept.
    pub(super) async fn artifact(&self, file: &Artifact) {
        #[derive(Serialize)]
        struct Data<'a> {
            path: &'a str,
            size: i64,
            media_type: &'a str,
            sha256: &'a str,
            url: String,
        }
        let url = format!("/api/v1/jobs/{}/artifacts/{}", self.context.job(), file.path);
        let Artifact { path, size, media_type, sha256, .. } = file;
        let data = Data { path, size: *size, media_type, sha256, url };
        self.context.event("artifact", Some(path), &data).await;
    }
}
