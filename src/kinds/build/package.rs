//! What a build leaves behind: its project in three forms, what was found out about it, and how it came about.

use std::fmt::Write as _;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::voice::tell_artifact;
use super::{Made, Site, archive, unkept, with};
use crate::agent::testing::{self, Summary, Tested, Verdict};
use crate::agent::workspace::{Kept, Step};
use crate::agent::{Approval, Cost, Ended, KEPT_OUTPUTS, Plan, Requirements, Voice};
use crate::analysis::{self, Report};
use crate::artifacts::Artifact;
use crate::jobs::Failure;
use crate::model::SourceFile;

/// The project as a ZIP archive: what a later build starts from.
pub(super) const ZIP: &str = "project.zip";
/// Percent when the project was looked at, and when the first file is kept.
const ANALYSED: i32 = 85;

/// What came of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildResult {
    /// What the project is called.
    pub project_name: String,
    /// What it was to do.
    pub goal: String,
    /// Who made it: `scaffold`, or a provider of models.
    pub provider: String,
    /// In which language, where one was chosen.
    pub language: Option<String>,
    /// As what, where that was chosen from the catalogue.
    pub template: Option<String>,
    /// What it is, honestly, for a person.
    pub summary: String,
    /// What its tests said.
    pub tests: TestsResult,
    /// The score of our own analysis, 0 to 10; none if there is no code that it knows.
    pub quality_score: Option<f64>,
    /// What that analysis found.
    pub findings: usize,
    /// How many files the project has.
    pub files: usize,
    /// How many steps made it; each is a commit.
    pub steps: usize,
    /// The last commit.
    pub commit: Option<String>,
    /// What the model cost, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost: Option<Cost>,
    /// Why the workflow with the model ended, if there was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<Ended>,
    /// What the model worked out to be asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requirements: Option<Requirements>,
    /// The model's plan.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub plan: Option<Plan>,
    /// What people were asked, and what they said.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub approvals: Vec<Approval>,
    /// The files that can be downloaded, but for `result.json` itself.
    pub artifacts: Vec<BuildArtifact>,
}

/// What the tests said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TestsResult {
    /// Whether they passed.
    pub verdict: Verdict,
    /// Why they were not run, or ended early.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The command.
    pub command: String,
    /// How many cases ended how.
    pub summary: Summary,
    /// How long the command ran.
    pub seconds: f64,
}

/// A file that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuildArtifact {
    /// Its path.
    #[schema(example = "project.zip")]
    pub path: String,
    /// In bytes.
    pub size: i64,
    /// What it is.
    pub media_type: String,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
}

/// Everything that is known of the project when it is packed.
struct Contents {
    files: Vec<Kept>,
    steps: Vec<Step>,
    bundle: Option<Vec<u8>>,
}

/// Looks at the project, keeps all that comes of the build, and says what it was. Doing it again gives the same.
pub(super) async fn package(site: &Site<'_>, mut made: Made) -> Result<BuildResult, Failure> {
    let context = site.context;
    context.progress(ANALYSED - 5, "Analysing the project").await;
    let contents = with(&made.workspace, |workspace| {
        let steps = (1..=workspace.steps()).map(|number| workspace.step(number)).collect::<Result<_, _>>()?;
        Ok(Contents { files: workspace.kept()?, steps, bundle: workspace.bundle()? })
    });
    let contents = contents.await?;
    let report = analyse(site, &contents.files).await?;
    context.progress(ANALYSED, "Packing the project").await;
    let mut result = result_of(site, &made, &contents, &report);
    let end = json!({ "type": "end", "verdict": made.tested.verdict, "commit": result.commit,
        "quality_score": result.quality_score, "at": context.clock().now().to_rfc3339() });
    made.transcript.extend(format!("{end}\n").into_bytes());
    let log = log(&contents.steps, &made.tested);
    let transcript = std::mem::take(&mut made.transcript);
    let all =
        pack(site.build.project_name.clone(), contents, (&made.tested, transcript), &report, log).await?;
    let (total, voice) = (i32::try_from(all.len()).unwrap_or(1) + 1, Voice::new(context));
    for (done, (path, media_type, bytes)) in (0..).zip(all) {
        let file = keep(site, path, media_type, bytes).await?;
        tell_artifact(&voice, context.job(), &file).await;
        result.artifacts.push(BuildArtifact::from(file));
        context.progress(ANALYSED + (done + 1) * (99 - ANALYSED) / total, "Packing the project").await;
    }
    for (path, bytes) in outputs(&site.home).await {
        let file = keep(site, &path, "text/plain; charset=utf-8", bytes).await?;
        tell_artifact(&voice, context.job(), &file).await;
        result.artifacts.push(BuildArtifact::from(file));
    }
    let text = serde_json::to_vec_pretty(&result).map_err(|error| unwritable(&error))?;
    let file = keep(site, "result.json", "application/json", text).await?;
    tell_artifact(&voice, context.job(), &file).await;
    result.artifacts.push(BuildArtifact::from(file));
    Ok(result)
}

/// Our own analysis of what was built.
async fn analyse(site: &Site<'_>, files: &[Kept]) -> Result<Report, Failure> {
    let texts = files.iter().filter(|file| file.link.is_none());
    let sources: Vec<SourceFile> =
        texts.map(|file| SourceFile { path: file.path.clone(), content: file.content.clone() }).collect();
    let options = analysis::Options {
        today: Some(site.context.clock().now().date_naive()),
        fingerprint_key: Some(site.env.fingerprint_key.clone()),
        ..analysis::Options::default()
    };
    let looked = tokio::task::spawn_blocking(move || {
        analysis::analyze(&sources, Vec::new(), &options, &analysis::Unwatched)
    });
    match looked.await {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(Failure::transient("ANALYSIS_FAILED", error.to_string())),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(site.context.stopped()),
        },
    }
}

fn result_of(site: &Site<'_>, made: &Made, contents: &Contents, report: &Report) -> BuildResult {
    let Tested { verdict, reason, command, summary, seconds, .. } = made.tested.clone();
    let workflow = made.workflow.as_ref();
    BuildResult {
        project_name: site.build.project_name.clone(),
        goal: site.build.goal.clone(),
        provider: made.provider.clone(),
        language: made.language.clone(),
        template: made.template.clone(),
        summary: made.summary.clone(),
        tests: TestsResult { verdict, reason, command, summary, seconds },
        quality_score: report.quality_score,
        findings: report.summary.findings,
        files: contents.files.len(),
        steps: contents.steps.len(),
        commit: contents.steps.last().map(|step| step.commit.to_string()),
        cost: workflow.map(|state| state.cost.clone()),
        ended: workflow.and_then(|state| state.ended.clone()),
        requirements: workflow.and_then(|state| state.requirements.clone()),
        plan: workflow.and_then(|state| state.plan.clone()),
        approvals: workflow.map(|state| state.approvals.clone()).unwrap_or_default(),
        artifacts: Vec::new(),
    }
}

type File = (&'static str, &'static str, Vec<u8>);

/// Path, media type and bytes of all files but the result.
async fn pack(
    name: String,
    contents: Contents,
    (tested, transcript): (&Tested, Vec<u8>),
    report: &Report,
    log: String,
) -> Result<Vec<File>, Failure> {
    let tests = testing::junit(tested);
    let report = serde_json::to_vec_pretty(report).map_err(|error| unwritable(&error))?;
    let packed = tokio::task::spawn_blocking(move || {
        let (zip, tar) = (archive::zip(&name, &contents.files)?, archive::tar_gz(&name, &contents.files)?);
        Ok::<_, std::io::Error>((zip, tar, contents.bundle))
    });
    let packed = packed.await.map_err(std::io::Error::other).flatten();
    let (zip, tar, bundle) = packed.map_err(|error| Failure::transient("NO_SPACE", error.to_string()))?;
    let mut all: Vec<File> = vec![(ZIP, "application/zip", zip), ("project.tar.gz", "application/gzip", tar)];
    all.extend(bundle.map(|bundle| ("project.bundle", "application/x-git-bundle", bundle)));
    all.push(("tests.xml", "application/xml", tests));
    all.push(("analysis.json", "application/json", report));
    all.push(("trajectory.jsonl", "application/jsonl", transcript));
    all.push(("build.log", "text/plain; charset=utf-8", log.into_bytes()));
    Ok(all)
}

/// What commands wrote that was too long for their results, in their order.
async fn outputs(home: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut outputs = Vec::new();
    let Ok(mut entries) = tokio::fs::read_dir(home.join(KEPT_OUTPUTS)).await else { return outputs };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if let Ok(bytes) = tokio::fs::read(entry.path()).await {
            outputs.push((format!("{KEPT_OUTPUTS}/{}", entry.file_name().display()), bytes));
        }
    }
    outputs.sort();
    outputs
}

async fn keep(site: &Site<'_>, path: &str, media_type: &str, bytes: Vec<u8>) -> Result<Artifact, Failure> {
    let context = site.context;
    let claim = (context.job(), context.fence());
    let kept =
        site.env.artifacts.put(claim, path, media_type, Bytes::from(bytes), context.clock().now()).await;
    kept.map_err(|error| unkept(&error))
}

/// What was done and what the tests wrote, for a person.
fn log(steps: &[Step], tested: &Tested) -> String {
    let mut log = String::new();
    // Writing to a string cannot fail.
    for step in steps {
        let _ = writeln!(log, "step {}: {}", step.number, step.name);
        for change in &step.changes {
            let _ = writeln!(log, "  {} (+{} -{})", change.path, change.added, change.removed);
        }
    }
    if !tested.command.is_empty() {
        let output = String::from_utf8_lossy(&tested.output);
        let _ = write!(log, "\n$ {}\n{output}", tested.command);
    }
    let _ = writeln!(log, "\n{}", tested.sentence());
    log
}

fn unwritable(error: &serde_json::Error) -> Failure {
    Failure::fatal("RESULT_UNREADABLE", error.to_string())
}

impl From<Artifact> for BuildArtifact {
    fn from(file: Artifact) -> Self {
        let Artifact { path, size, media_type, sha256, .. } = file;
        Self { path, size, media_type, sha256 }
    }
}
