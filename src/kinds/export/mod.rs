//! Export: the reports of many analyses, in several formats, in one archive.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::to_raw_value;
use utoipa::ToSchema;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Context, Env, Failure, Kind, Outcome, Policy, unkept};
use crate::analysis::{Report, compare};
use crate::export::{self, Document, Format};
use crate::model::{JobId, JobWithBodies, Status};

/// Reports that one job may write: analyses times formats.
pub const MOST_REPORTS: usize = 1_000;
/// What the archive is called.
const ARCHIVE: &str = "export.zip";

/// Exports analyses. That the caller may see them was checked when the job was submitted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// Which.
    pub analyses: Vec<JobId>,
    /// Names of formats.
    pub formats: Vec<String>,
}

/// What came of an export.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExportResult {
    /// Reports in the archive.
    pub written: usize,
    /// Reports that are not.
    pub failed: usize,
    /// Each report; the archive has the same list as `manifest.json`.
    pub items: Vec<ExportItem>,
    /// Bytes of the archive.
    pub size: i64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Where it can be had.
    #[schema(example = "/api/v1/jobs/0192f0c1-2345-7abc-8def-0123456789ab/artifacts/export.zip")]
    pub url: String,
}

/// One report of an export.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ExportItem {
    /// The analysis.
    pub analysis_id: JobId,
    /// The format.
    pub format: String,
    /// Its path in the archive, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Why it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An analysis that has a report.
pub struct Finished {
    name: Option<String>,
    date: Option<DateTime<Utc>>,
    result: String,
}

/// What stands beside the fields of the report.
#[derive(Deserialize)]
struct Beside {
    revision: Option<String>,
}

impl Finished {
    /// The report of an analysis that has completed; else what state it is in.
    pub fn of(found: JobWithBodies) -> Result<Self, Status> {
        let status = found.job.status;
        let result = found.result.filter(|_| status == Status::Completed).ok_or(status)?;
        Ok(Self { name: found.job.label, date: found.job.finished_at, result })
    }

    /// The report in a format, compared with an earlier one if there is one. Large ones take a while.
    pub fn write(&self, format: &Format, before: Option<(JobId, Self)>) -> anyhow::Result<Vec<u8>> {
        let mut report: Report = serde_json::from_str(&self.result)?;
        let Beside { revision } = serde_json::from_str(&self.result)?;
        if let Some((id, before)) = before {
            let before: Report = serde_json::from_str(&before.result)?;
            compare(&before, &mut report, format!("analysis {id}"));
        }
        let (name, revision) = (self.name.as_deref(), revision.as_deref());
        Ok((format.write)(&Document { report: &report, name, revision, date: self.date })?)
    }
}

impl Kind for Export {
    const POLICY: Policy =
        Policy { kind: "export", queue: "analysis", max_attempts: 2, prepares: false, soft_timeout: None };

    async fn run(self, env: Arc<Env>, context: Context) -> Result<Outcome, Failure> {
        let mut archive = Archive::new(env.config.artifacts.max_file_bytes)?;
        for (done, id) in self.analyses.iter().enumerate() {
            if context.stop_reason().is_some() {
                return Err(context.stopped());
            }
            let percent = i32::try_from(done * 95 / self.analyses.len().max(1)).unwrap_or(95);
            let step = format!("Exporting analysis {} of {}", done + 1, self.analyses.len());
            context.progress(percent, &step).await;
            let found = env.store.find_job(*id, None).await;
            let found = found
                .map_err(|_| Failure::transient("DATABASE_UNAVAILABLE", "the database did not answer"))?;
            let (id, formats) = (*id, self.formats.clone());
            let written = tokio::task::spawn_blocking(move || archive.add(id, found, &formats));
            archive = written.await.map_err(|error| lost(&io::Error::other(error)))??;
        }
        if archive.items.iter().all(|item| item.file.is_none()) {
            let why = archive.items.into_iter().find_map(|item| item.error);
            return Err(Failure::fatal("NOTHING_EXPORTED", why.unwrap_or_default()));
        }
        context.progress(96, "Keeping the archive").await;
        let items = archive.items.clone();
        let bytes = tokio::task::spawn_blocking(move || archive.finish()).await;
        let bytes = bytes.map_err(io::Error::other).flatten().map_err(|error| lost(&error))?;
        let claim = (context.job(), context.fence());
        let kept = env.artifacts.put(claim, ARCHIVE, "application/zip", bytes, context.clock().now()).await;
        let kept = kept.map_err(|error| unkept(&error))?;
        let url = format!("/api/v1/jobs/{}/artifacts/{ARCHIVE}", context.job());
        let data = json!({ "path": ARCHIVE, "size": kept.size, "media_type": kept.media_type,
            "sha256": kept.sha256, "url": url });
        context.event("artifact", Some(ARCHIVE), &data).await;
        let written = items.iter().filter(|item| item.file.is_some()).count();
        let failed = items.len() - written;
        let result = ExportResult { written, failed, items, size: kept.size, sha256: kept.sha256, url };
        to_raw_value(&result)
            .map(|json| Outcome::Done(Some(json)))
            .map_err(|error| Failure::fatal("RESULT_UNREADABLE", error.to_string()))
    }
}

/// The archive while it grows, on disk.
struct Archive {
    to: ZipWriter<File>,
    items: Vec<ExportItem>,
    bytes: u64,
    most_bytes: u64,
}

impl Archive {
    fn new(most_bytes: u64) -> Result<Self, Failure> {
        let file = tempfile::tempfile().map_err(|error| lost(&error))?;
        Ok(Self { to: ZipWriter::new(file), items: Vec::new(), bytes: 0, most_bytes })
    }

    /// Writes an analysis in each of the formats. What cannot be written is noted; only the archive itself can fail.
    fn add(mut self, id: JobId, found: Option<JobWithBodies>, formats: &[String]) -> Result<Self, Failure> {
        let finished = found.ok_or_else(|| "there is no such analysis any more".to_owned());
        let finished = finished.and_then(|found| {
            Finished::of(found).map_err(|status| format!("it is {} and has no report", status.as_str()))
        });
        for name in formats {
            let written = match (&finished, export::format(name)) {
                (Err(why), _) => Err(why.clone()),
                (_, None) => Err("there is no such format".to_owned()),
                (Ok(finished), Some(format)) => {
                    let path = format!("{id}/{name}.{}", format.extension);
                    finished.write(format, None).map(|bytes| (path, bytes)).map_err(|error| error.to_string())
                }
            };
            let (file, error) = match written {
                Ok((path, bytes)) => {
                    self.put(&path, &bytes)?;
                    (Some(path), None)
                }
                Err(error) => (None, Some(error)),
            };
            self.items.push(ExportItem { analysis_id: id, format: name.clone(), file, error });
        }
        Ok(self)
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.to
            .start_file(path, SimpleFileOptions::default())
            .map_err(io::Error::from)
            .map_err(|error| lost(&error))?;
        self.to.write_all(bytes).map_err(|error| lost(&error))?;
        self.bytes += bytes.len() as u64;
        // What is packed is smaller than what is counted here by far; ten times the cap is never worth the disk.
        if self.bytes / 10 > self.most_bytes {
            let text =
                format!("more than {} bytes (artifacts.max_file_bytes) come together", self.most_bytes);
            return Err(Failure::fatal("ARTIFACT_REFUSED", text));
        }
        Ok(())
    }

    /// Adds the list of what is in it, and returns its bytes.
    fn finish(mut self) -> io::Result<Bytes> {
        self.to.start_file("manifest.json", SimpleFileOptions::default())?;
        serde_json::to_writer_pretty(&mut self.to, &self.items)?;
        let mut file = self.to.finish()?;
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

fn lost(error: &io::Error) -> Failure {
    Failure::transient("NO_SPACE", format!("the archive cannot be written: {error}"))
}
