//! What a build looks like in a terminal: a bar, a line for each thing that happens, and a summary.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::ask::{self, Question};
use crate::agent::testing::Verdict;
use crate::app::App;
use crate::cli::meter::{How, Meter};
use crate::cli::paint::{Grade, Paint, count, harmless};
use crate::kinds::build::BuildResult;
use crate::model::{Caller, Event, JobId, Status};

/// Shows what happens until the job is over, and passes on what it asks.
pub(super) async fn follow(app: &App, job: JobId, me: &Caller, says_yes: bool) -> anyhow::Result<()> {
    let mut meter = Meter::new(How::Always);
    let (mut seen, mut watch) = app.jobs.watch(job, 0, me).await?;
    let mut question = None;
    while !seen.status.is_final() {
        for line in watch.next().await? {
            show(&meter, &line.event);
            seen.status = line.event.status;
            if line.event.name == "awaiting_approval" {
                let text = line.event.message.clone().unwrap_or_default();
                question = Some(Question { text, data: data_of(&line.event) });
            }
            // Only now can it be answered.
            if line.event.status == Status::Waiting
                && let Some(question) = question.take()
            {
                meter.clear();
                ask::answer(app, job, me, question, says_yes).await?;
                meter = Meter::new(How::Always);
            }
        }
    }
    meter.clear();
    Ok(())
}

fn show(meter: &Meter, event: &Event) {
    let data = data_of(event);
    let message = event.message.as_deref().unwrap_or_default();
    let percent = u64::try_from(event.progress).unwrap_or_default();
    match event.name.as_str() {
        "file_changed" => meter.line(&format!("  {message} (+{} -{})", data["added"], data["removed"])),
        "tool_call" => meter.line(&format!("  · {message} {}", about(&data))),
        "test_result" | "retrying" | "plan" | "log" | "awaiting_approval" => {
            meter.line(&format!("  {message}"));
        }
        "progress" => meter.show(percent, message),
        "completed" => meter.show(100, "Done"),
        _ => {}
    }
}

fn data_of(event: &Event) -> Value {
    event.data.as_deref().and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default()
}

/// What a call of the model's is about, in a few words.
fn about(call: &Value) -> String {
    let arguments = &call["arguments"];
    let about = ["path", "command", "pattern", "url"].iter().find_map(|name| arguments[name].as_str());
    about.unwrap_or_default().lines().next().unwrap_or_default().chars().take(80).collect()
}

/// What came of it, and where it is.
pub(super) fn summary(result: &BuildResult, output: &Path, paint: Paint) -> Result<String, std::fmt::Error> {
    let tests = &result.tests;
    let grade = match tests.verdict {
        Verdict::Passed => Grade::Good,
        Verdict::NotRun => Grade::Fair,
        Verdict::Failed => Grade::Bad,
    };
    let said = match tests.verdict {
        Verdict::Passed => format!("{} passed in {:.1} s", tests.summary.passed, tests.seconds),
        Verdict::Failed => {
            format!("{} of {} failed", tests.summary.failed + tests.summary.errors, tests.summary.total)
        }
        Verdict::NotRun => {
            format!("not run, because {}", tests.reason.as_deref().unwrap_or("nobody knows why"))
        }
    };
    let mut text = String::new();
    writeln!(text, "\n{}  {}", paint.bold(&result.project_name), harmless(&result.summary))?;
    writeln!(
        text,
        "\n  tests    {}  {}",
        paint.graded(grade, harmless(&said)),
        paint.dim(harmless(&tests.command))
    )?;
    if let Some(score) = result.quality_score {
        let score = paint.graded(Grade::of_score(score), format!("{score:.1}"));
        writeln!(text, "  quality  {score} of 10, {}", count(result.findings, "finding"))?;
    }
    writeln!(text, "  files    {} in {}", result.files, count(result.steps, "step"))?;
    let folder = output.display();
    writeln!(text, "\n  {folder}/{}/  {}", result.project_name, paint.dim("the project"))?;
    writeln!(text, "  {folder}/project.zip  {}", paint.dim("the same, packed"))?;
    let clone = format!("a commit for each step: git clone {folder}/project.bundle");
    write!(text, "  {folder}/project.bundle  {}", paint.dim(clone))?;
    Ok(text)
}
