//! How a project is tested: which command, run in the sandbox, and its words read back into cases.

mod cargo;
mod detect;
mod go;
mod jest;
mod junit;
mod unittest;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Workspace;
use crate::sandbox::{self, Finished, KilledBecause, Sandbox, Stream};
pub use detect::detect;
pub use junit::write as junit;

/// Output that is kept of a run.
const OUTPUT: usize = 8 << 20;
/// What is shown of it where there is little room.
const TAIL: usize = 4 << 10;
/// The file in the workspace's home that reports are written to.
const REPORT: &str = "report.xml";

/// What runs the tests of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// `pytest`
    Pytest,
    /// `python3 -m unittest`
    Unittest,
    /// `cargo test`
    Cargo,
    /// `go test`
    Go,
    /// `node --test`
    Node,
    /// `vitest run`
    Vitest,
    /// `jest`
    Jest,
    /// A command line of somebody's, for a shell.
    Command(String),
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Something was not as expected.
    Failed,
    /// It could not be carried out.
    Error,
    /// It was left out.
    Skipped,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Where it belongs: a class, a module, a package; may be empty.
    pub suite: String,
    /// What it is called.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, where the framework says so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
    /// Why it did not pass.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TestSummary)]
pub struct Summary {
    /// All.
    pub total: usize,
    /// As they should.
    pub passed: usize,
    /// Not so.
    pub failed: usize,
    /// Could not be carried out.
    pub errors: usize,
    /// Left out.
    pub skipped: usize,
}

/// What a run of the tests says about the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that ran did what it should.
    Passed,
    /// Something did not.
    Failed,
    /// Nothing was run, and `reason` says why.
    NotRun,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The verdict.
    pub verdict: Verdict,
    /// Why nothing was run, or why it ended before its time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The command, as it would be typed.
    pub command: String,
    /// The counts.
    pub summary: Summary,
    /// Every case, as the framework told of them.
    pub cases: Vec<Case>,
    /// How long the command ran.
    pub seconds: f64,
    /// What it ended with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<i32>,
    /// What it wrote to both its outputs, as it came; the end of it, if it was much.
    #[serde(skip)]
    pub output: Vec<u8>,
}

/// Runs the tests. A project whose tests cannot be run is an answer like any other; an error means that the sandbox
/// itself failed. `see` is shown the output as it comes.
pub async fn run(
    workspace: &Workspace,
    framework: &Framework,
    wall: Duration,
    sandbox: &Sandbox,
    stop: &CancellationToken,
    see: &(dyn Fn(Stream, &[u8]) + Sync),
) -> Result<Tested, sandbox::Error> {
    let report = workspace.home().join(REPORT);
    // A report of a former run would be taken for this one's.
    let _ = std::fs::remove_file(&report);
    let words = framework.words(&report.to_string_lossy());
    let shown = framework.shown();
    let mut command = workspace.command(&words[0]).args(&words[1..]);
    command = command.env("JUNIT_REPORT", &report);
    command.limits.wall = wall;
    command.limits.output = OUTPUT;
    let log = Mutex::new(Vec::new());
    let both = |stream, piece: &[u8]| {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(piece);
        let surplus = log.len().saturating_sub(2 * OUTPUT);
        log.drain(..surplus);
        drop(log);
        see(stream, piece);
    };
    let finished = match sandbox.run_seeing(&command, stop, &both).await {
        Ok(finished) => finished,
        Err(sandbox::Error::NotStarted(reason)) if reason.contains("cannot start `") => {
            return Ok(Tested::not_run(shown, missing(&words[0])));
        }
        Err(error) => return Err(error),
    };
    let output = log.into_inner().unwrap_or_else(PoisonError::into_inner);
    let written = std::fs::read_to_string(&report).ok().or_else(|| others_report(framework, workspace));
    Ok(judge(framework, shown, &finished, written.as_deref(), output))
}

impl Framework {
    /// The command line, word by word.
    fn words(&self, report: &str) -> Vec<String> {
        let line: &[&str] = match self {
            Self::Pytest => {
                &["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", report]
            }
            Self::Unittest => &["python3", "-m", "unittest", "discover", "-v"],
            Self::Cargo => &["cargo", "test", "--no-fail-fast"],
            Self::Go => &["go", "test", "-json", "./..."],
            Self::Node => &[
                "node",
                "--test",
                "--test-reporter=spec",
                "--test-reporter-destination=stdout",
                "--test-reporter=junit",
                "--test-reporter-destination",
            ],
            Self::Vitest => &["node_modules/.bin/vitest", "run", "--reporter=default", "--reporter=junit"],
            Self::Jest => &["node_modules/.bin/jest", "--ci", "--json", "--outputFile"],
            Self::Command(line) => &["sh", "-c", line],
        };
        let mut words: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        match self {
            Self::Node | Self::Jest => words.push(report.to_owned()),
            Self::Vitest => words.push(format!("--outputFile.junit={report}")),
            _ => {}
        }
        words
    }

    /// The command line as a person would type it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Pytest => "python3 -m pytest",
            Self::Unittest => "python3 -m unittest discover -v",
            Self::Cargo => "cargo test",
            Self::Go => "go test ./...",
            Self::Node => "node --test",
            Self::Vitest => "vitest run",
            Self::Jest => "jest",
            Self::Command(line) => line,
        }
        .to_owned()
    }
}

impl Tested {
    /// Nothing was run.
    #[must_use]
    pub fn not_run(command: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::NotRun,
            reason: Some(reason.into()),
            command: command.into(),
            summary: Summary::default(),
            cases: Vec::new(),
            seconds: 0.0,
            status: None,
            output: Vec::new(),
        }
    }

    /// The end of the output, as text.
    #[must_use]
    pub fn tail(&self) -> String {
        tail(&self.output)
    }

    /// One sentence for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Summary { total, passed, failed, errors, skipped } = self.summary;
        let reason = self.reason.as_deref().unwrap_or("nobody knows why");
        match self.verdict {
            Verdict::NotRun => format!("tests: not run, because {reason}"),
            Verdict::Passed if total == 0 => "tests: passed".to_owned(),
            Verdict::Passed if skipped > 0 => format!("tests: {passed} passed, {skipped} skipped"),
            Verdict::Passed => format!("tests: {passed} passed"),
            Verdict::Failed => format!("tests: {} of {total} failed", failed + errors),
        }
    }
}

impl Summary {
    fn of(cases: &[Case]) -> Self {
        let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
        Self {
            total: cases.len(),
            passed: count(Outcome::Passed),
            failed: count(Outcome::Failed),
            errors: count(Outcome::Error),
            skipped: count(Outcome::Skipped),
        }
    }
}

/// Puts the report, or else the words, together with how the command ended.
fn judge(
    framework: &Framework,
    shown: String,
    finished: &Finished,
    report: Option<&str>,
    output: Vec<u8>,
) -> Tested {
    let mut tested = Tested::not_run(shown, "");
    (tested.reason, tested.status) = (None, Some(finished.status));
    tested.seconds = finished.wall.as_secs_f64();
    let (stdout, stderr) =
        (String::from_utf8_lossy(&finished.stdout), String::from_utf8_lossy(&finished.stderr));
    let mut cases = cases_of(framework, report, &stdout, &stderr);
    tested.output = output;
    if let Some(reason) = finished.killed_because {
        tested.reason = Some(format!("the command was killed: {}", words_for(reason)));
    } else if let Some(reason) =
        could_not_begin(framework, finished.status, &stderr).filter(|_| cases.is_empty())
    {
        tested.reason = Some(reason);
        return tested;
    } else if finished.succeeded() && cases.is_empty() && !matches!(framework, Framework::Command(_)) {
        tested.reason = Some("there are no tests".to_owned());
        return tested;
    }
    let blamed = cases.iter().any(|case| matches!(case.outcome, Outcome::Failed | Outcome::Error));
    if !finished.succeeded() && !blamed {
        // The command says that something is wrong and no case does: it did not even compile, say.
        let message = tested.reason.clone().unwrap_or_else(|| tested.tail());
        let (suite, name) = (String::new(), tested.command.clone());
        cases.push(Case { suite, name, outcome: Outcome::Error, seconds: None, message: Some(message) });
    }
    let good = finished.succeeded() && !blamed;
    tested.verdict = if good { Verdict::Passed } else { Verdict::Failed };
    tested.summary = Summary::of(&cases);
    tested.cases = cases;
    tested
}

fn cases_of(framework: &Framework, report: Option<&str>, stdout: &str, stderr: &str) -> Vec<Case> {
    match framework {
        Framework::Unittest => unittest::read(stderr),
        Framework::Cargo => cargo::read(stdout),
        Framework::Go => go::read(stdout),
        Framework::Jest => report.map(jest::read).unwrap_or_default(),
        Framework::Pytest | Framework::Node | Framework::Vitest => {
            report.map(junit::read).unwrap_or_default()
        }
        // Nobody knows what it runs; whoever finds the most cases has understood it.
        Framework::Command(_) => {
            let both = format!("{stdout}\n{stderr}");
            let all = [
                report.map(junit::read).unwrap_or_default(),
                unittest::read(&both),
                cargo::read(&both),
                go::read(&both),
            ];
            all.into_iter().max_by_key(Vec::len).unwrap_or_default()
        }
    }
}

/// Where build tools leave their reports by themselves.
fn others_report(framework: &Framework, workspace: &Workspace) -> Option<String> {
    let Framework::Command(_) = framework else { return None };
    let places = ["junit.xml", "report.xml", "test-results/junit.xml"];
    places.iter().find_map(|place| String::from_utf8(workspace.read(place).ok()?).ok())
}

/// Why the tests were not run at all, if that is what the ending means.
fn could_not_begin(framework: &Framework, status: i32, stderr: &str) -> Option<String> {
    match framework {
        Framework::Pytest if stderr.contains("No module named pytest") => Some(missing("pytest")),
        Framework::Pytest if status == 5 => Some("there are no tests".to_owned()),
        Framework::Unittest if stderr.contains("Ran 0 tests") || stderr.contains("NO TESTS RAN") => {
            Some("there are no tests".to_owned())
        }
        Framework::Cargo if stderr.contains("linker `cc` not found") => Some(missing("cc")),
        Framework::Command(_) if status == 127 => {
            Some(format!("a program is missing: {}", tail(stderr.as_bytes()).trim()))
        }
        _ => None,
    }
}

fn missing(program: &str) -> String {
    format!("{program} is not installed where commands can reach it (sandbox.toolchains)")
}

fn words_for(reason: KilledBecause) -> &'static str {
    match reason {
        KilledBecause::Wall => "it ran too long",
        KilledBecause::Cpu => "it computed too long",
        KilledBecause::Memory => "it used too much memory",
        KilledBecause::FileSize => "it wrote too large a file",
        KilledBecause::Disk => "it filled its disk",
        KilledBecause::Output => "it wrote too much",
        KilledBecause::Stopped => "the build was asked to stop",
    }
}

fn tail(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned()
}

/// A message that fits into a report.
fn message(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(TAIL).collect())
}
