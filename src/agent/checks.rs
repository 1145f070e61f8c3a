//! Looks at what was built: runs its tests, and the analysis.

use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, explain};
use super::clip::clip;
use super::testing::{self, Framework, Outcome, Tested, Verdict};
use super::tools::Error;
use super::workspace::{self, Workspace};
use crate::analysis::{self, Report};
use crate::model::{Finding, Severity};
use crate::source::{self, Source};

/// Cases whose messages a model is shown, and how much of each.
const CASES_SHOWN: usize = 10;
const MESSAGE_SHOWN: usize = 2 << 10;
/// What a model is shown of the output.
const OUTPUT_SHOWN: usize = 8 << 10;

/// Runs the tests: with `command`, or as it was asked for, or as the plan says, or as the project looks like.
pub(super) async fn test(bench: &Bench<'_>, command: Option<&str>) -> Result<Tested, Error> {
    let named = command.or(bench.task.test_command.as_deref()).or(bench.planned_tests);
    let framework = match named.map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Some(Framework::Command(line.to_owned())),
        None => bench.with(detect).await.map_err(|error| explain("", error, &[]))?,
    };
    let Some(framework) = framework else {
        return Ok(Tested::not_run("", "no tests were recognised"));
    };
    let wall = bench.task.test_time.min(bench.time_left.max(Duration::from_secs(1)));
    let see = |stream, bytes: &[u8]| bench.voice.see(stream, bytes);
    let workspace = bench.workspace.lock().await;
    let run = testing::run(&workspace, &framework, wall, bench.sandbox, bench.stop, &see);
    let ended = run.await;
    bench.voice.tell_traffic(&workspace.take_traffic()).await;
    let tested = ended.map_err(|error| Error::Failed {
        what: "running the tests",
        why: error.to_string(),
        instead: "Try again, or run them with `run_command`.",
    })?;
    drop(workspace);
    if bench.stop.is_cancelled() {
        return Err(Error::Stopped);
    }
    let failed: Vec<_> = failing(&tested).take(20).collect();
    let data = json!({
        "verdict": tested.verdict, "command": tested.command, "summary": tested.summary, "seconds": tested.seconds,
        "reason": tested.reason, "failed": failed,
    });
    bench.voice.say("test_result", Some(&tested.sentence()), &data).await;
    Ok(tested)
}

fn detect(workspace: &mut Workspace) -> Result<Option<Framework>, workspace::Error> {
    let text = |path: &str| String::from_utf8(workspace.read(path).ok()?).ok();
    Ok(testing::detect(&workspace.list()?, &text))
}

/// What failed and how, for a model: our words, and those of the tests.
pub(super) fn failures(tested: &Tested) -> String {
    let mut text = String::new();
    let count = failing(tested).count();
    for case in failing(tested).take(CASES_SHOWN) {
        let name =
            if case.suite.is_empty() { case.name.clone() } else { format!("{} {}", case.suite, case.name) };
        let message = case.message.as_deref().unwrap_or("no message");
        text +=
            &format!("{name}:\n{}\n\n", clip(message, MESSAGE_SHOWN, "run this test alone to see all of it"));
    }
    if count > CASES_SHOWN {
        text += &format!("… and {} more.\n", count - CASES_SHOWN);
    }
    let output = String::from_utf8_lossy(&tested.output);
    if tested.verdict != Verdict::Passed && text.len() < OUTPUT_SHOWN && !output.trim().is_empty() {
        text += &format!(
            "The output:\n{}",
            clip(&output, OUTPUT_SHOWN, "run the tests with run_command to see all of it")
        );
    }
    text
}

fn failing(tested: &Tested) -> impl Iterator<Item = &testing::Case> {
    tested.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed | Outcome::Error))
}

/// Analyses the project as it is now with our own engine.
pub(super) async fn analyze(bench: &Bench<'_>) -> Result<Report, Error> {
    let failed = |why: String| Error::Failed { what: "the analysis", why, instead: "Go on without it." };
    let folder = bench.with(|workspace| Ok(workspace.path().to_owned())).await;
    let folder = folder.map_err(|error| explain("", error, &[]))?;
    let tree =
        source::take_in(Source::Directory(folder), bench.intake, bench.sandbox, bench.stop, &|_| ()).await;
    let tree = tree.map_err(|error| failed(error.to_string()))?;
    let looked = tokio::task::spawn_blocking(move || {
        analysis::analyze(&tree.files, tree.skipped, &analysis::Options::default(), &analysis::Unwatched)
    });
    looked.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
}

/// The findings for a model, the worst first.
pub(super) fn findings(report: &Report, most: usize) -> String {
    let mut all: Vec<&Finding> =
        report.findings().filter(|finding| finding.severity > Severity::Info).collect();
    all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.region.cmp(&b.region)));
    let mut text = String::new();
    for finding in all.iter().take(most) {
        let place = format!("{}:{}", finding.region.path, finding.region.line);
        text += &format!("{place}: {:?} ({}): {}", finding.severity, finding.rule, finding.message);
        if !finding.fix.is_empty() {
            text += &format!(" {}", finding.fix);
        }
        text.push('\n');
    }
    if all.len() > most {
        text += &format!("… and {} more.\n", all.len() - most);
    }
    text
}
