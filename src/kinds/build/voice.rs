//! What a build says of itself: files that change, tests, files that are kept.

use serde_json::json;

use crate::agent::Voice;
use crate::agent::testing::{Case, Outcome, Tested};
use crate::agent::workspace::Step;
use crate::artifacts::Artifact;
use crate::model::JobId;

/// Bytes of a diff in one event; the history has all of it.
const MOST: usize = 16 << 10;
/// Cases that are told of one by one.
const CASES: usize = 20;

/// A step was kept: one event for each file.
pub(super) async fn tell_step(voice: &Voice<'_>, step: &Step) {
    for change in &step.changes {
        let cut = change.diff.floor_char_boundary(MOST);
        let data = json!({
            "path": change.path, "change": change.change, "added": change.added, "removed": change.removed,
            "diff": change.diff[..cut], "truncated": cut < change.diff.len(), "step": step.number,
            "commit": step.commit,
        });
        voice.say("file_changed", Some(&change.path), &data).await;
    }
}

/// The tests were run.
pub(super) async fn tell_tests(voice: &Voice<'_>, tested: &Tested) {
    let bad = |case: &&Case| matches!(case.outcome, Outcome::Failed | Outcome::Error);
    let failed: Vec<&Case> = tested.cases.iter().filter(bad).take(CASES).collect();
    let data = json!({
        "verdict": tested.verdict, "reason": tested.reason, "command": tested.command, "summary": tested.summary,
        "seconds": tested.seconds, "failed": failed,
    });
    voice.say("test_result", Some(&tested.sentence()), &data).await;
}

/// A file was kept.
pub(super) async fn tell_artifact(voice: &Voice<'_>, job: JobId, file: &Artifact) {
    let Artifact { path, size, media_type, sha256, .. } = file;
    let url = format!("/api/v1/jobs/{job}/artifacts/{path}");
    let data = json!({ "path": path, "size": size, "media_type": media_type, "sha256": sha256, "url": url });
    voice.say("artifact", Some(path), &data).await;
}
