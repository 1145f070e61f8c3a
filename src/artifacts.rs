//! Bytes that jobs leave behind: on the local disk, or in an S3-compatible bucket.
//!
//! Which files there are is in the database; the bytes lie under `JOB/SHA-256` and never change. A row is written before
//! its bytes and shown after them, and a job that is deleted leaves a note until its bytes are gone: whenever a process
//! dies, nothing is there that nobody knows of.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::Config;
use crate::model::JobId;
pub use crate::store::ArtifactRow as Artifact;
use crate::store::Store;

/// Where they are on the local disk, below the data directory.
const FOLDER: &str = "artifacts";
/// Parts of a path, one below the other.
const MAX_DEPTH: usize = 16;

/// Where the files of jobs are kept. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Artifacts {
    bytes: Arc<dyn ObjectStore>,
    store: Store,
    largest: u64,
}

/// Why a file was not kept or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be called so.
    #[error("`{0}` is no name for a file")]
    BadPath(String),
    /// It is larger than `artifacts.max_file_bytes`.
    #[error("`{path}` has {size} bytes; the limit is {limit} (artifacts.max_file_bytes)")]
    TooLarge {
        /// Which.
        path: String,
        /// Its bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// What is read is not what was written.
    #[error("a file reads differently from how it was written")]
    Changed,
    /// The job belongs to another process by now, or is gone.
    #[error("the job is not this process's any more")]
    Lost,
    /// The disk or the bucket.
    #[error("the files of jobs cannot be reached: {0}")]
    Bytes(#[from] object_store::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Artifacts {
    /// Opens what `[artifacts]` names. A bucket is not asked for anything yet.
    pub fn open(config: &Config, store: Store) -> anyhow::Result<Self> {
        if config.artifacts.url.is_empty() {
            std::fs::create_dir_all(config.data_dir.join(FOLDER))?;
        }
        Ok(Self { bytes: place_of_bytes(config)?, store, largest: config.artifacts.max_file_bytes })
    }

    /// Whether files can be kept: writes a small one, reads it and removes it again. `id` is new, so that nobody else
    /// has one of its name.
    pub async fn probe(&self, id: Uuid) -> Result<(), Error> {
        probe(&*self.bytes, id).await
    }

    /// As [`Artifacts::probe`], without a server. False: the directory is not there yet, the first start makes it.
    pub async fn survey(config: &Config, id: Uuid) -> anyhow::Result<bool> {
        if config.artifacts.url.is_empty() && !config.data_dir.join(FOLDER).is_dir() {
            return Ok(false);
        }
        probe(&*place_of_bytes(config)?, id).await?;
        Ok(true)
    }

    /// Keeps a file of a job that this process holds by `fence`, in place of a former one of its name.
    pub async fn put(
        &self,
        (job, fence): (JobId, i64),
        path: &str,
        media_type: &str,
        content: Bytes,
        now: DateTime<Utc>,
    ) -> Result<Artifact, Error> {
        if !is_path(path) {
            return Err(Error::BadPath(path.to_owned()));
        }
        let size = content.len() as u64;
        if size > self.largest {
            return Err(Error::TooLarge { path: path.to_owned(), size, limit: self.largest });
        }
        let file = Artifact {
            path: path.to_owned(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            media_type: media_type.to_owned(),
            sha256: hex::encode(Sha256::digest(&content)),
            created_at: now,
        };
        if !self.store.announce_artifact(job, fence, &file).await? {
            return Err(Error::Lost);
        }
        self.bytes.put(&place(job, &file), content.into()).await?;
        if self.store.settle_artifact(job, &file).await? {
            return Ok(file);
        }
        if !self.store.job_exists(job).await? {
            // Deleted while the bytes were on their way: they must not stay either.
            self.store.note_artifact_remains(job).await?;
            self.clear(job).await?;
        }
        Err(Error::Lost)
    }

    /// The files of a job, ordered by path.
    pub async fn list(&self, job: JobId) -> Result<Vec<Artifact>, Error> {
        Ok(self.store.artifacts(job).await?)
    }

    /// One file of a job, if it is there.
    pub async fn find(&self, job: JobId, path: &str) -> Result<Option<Artifact>, Error> {
        Ok(self.store.artifact(job, path).await?)
    }

    /// Some of the bytes of a file, as they come.
    pub async fn read(
        &self,
        job: JobId,
        file: &Artifact,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        if range.is_empty() {
            return Ok(futures::stream::empty().boxed());
        }
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let found = self.bytes.get_opts(&place(job, file), options).await?;
        Ok(found.into_stream().map_err(Error::from).boxed())
    }

    /// All bytes of a file.
    pub async fn whole(&self, job: JobId, file: &Artifact) -> Result<Bytes, Error> {
        Ok(self.bytes.get(&place(job, file)).await?.bytes().await?)
    }

    /// Removes the bytes of a job that is gone, whatever of them is there, and the note about it.
    pub async fn clear(&self, job: JobId) -> Result<(), Error> {
        let folder = Path::from(job.to_string());
        let there: Vec<Path> =
            self.bytes.list(Some(&folder)).map_ok(|object| object.location).try_collect().await?;
        for place in there {
            match self.bytes.delete(&place).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.store.forget_artifact_remains(job).await?)
    }

    /// Removes the bytes of up to `limit` jobs that are gone; returns of how many.
    pub async fn clear_some(&self, limit: u32) -> Result<u64, Error> {
        let jobs = self.store.artifact_remains(limit).await?;
        for job in &jobs {
            self.clear(*job).await?;
        }
        Ok(jobs.len() as u64)
    }
}

/// The directory, which must be there, or the bucket.
fn place_of_bytes(config: &Config) -> anyhow::Result<Arc<dyn ObjectStore>> {
    if !config.artifacts.url.is_empty() {
        return bucket(&config.artifacts);
    }
    let folder = LocalFileSystem::new_with_prefix(config.data_dir.join(FOLDER))?;
    Ok(Arc::new(folder.with_automatic_cleanup(true).with_fsync(true)))
}

async fn probe(bytes: &dyn ObjectStore, id: Uuid) -> Result<(), Error> {
    let (place, content) =
        (Path::from_iter(["probe".to_owned(), id.to_string()]), Bytes::from_static(b"probe"));
    bytes.put(&place, content.clone().into()).await?;
    let read = async { bytes.get(&place).await?.bytes().await }.await;
    bytes.delete(&place).await?;
    if read? == content { Ok(()) } else { Err(Error::Changed) }
}

fn bucket(settings: &crate::config::Artifacts) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let url: url::Url = settings.url.parse()?;
    let name = url.host_str().filter(|_| url.scheme() == "s3");
    let name = name.ok_or_else(|| anyhow::anyhow!("artifacts.url must be empty or s3://bucket/prefix"))?;
    let patience =
        RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(settings.virtual_hosted)
        // Not every bucket knows how to remove many at once.
        .with_disable_bulk_delete(true)
        .with_client_options(ClientOptions::new().with_allow_http(settings.endpoint.starts_with("http://")))
        .with_retry(patience);
    if !settings.endpoint.is_empty() {
        builder = builder.with_endpoint(&settings.endpoint);
    }
    if !settings.access_key_id.is_empty() {
        builder = builder
            .with_access_key_id(&settings.access_key_id)
            .with_secret_access_key(&settings.secret_access_key);
    }
    let prefix = Path::parse(url.path().trim_matches('/'))?;
    Ok(Arc::new(PrefixStore::new(builder.build()?, prefix)))
}

fn place(job: JobId, file: &Artifact) -> Path {
    Path::from_iter([job.to_string(), file.sha256.clone()])
}

/// Whether a file of a job may be called so: relative, plain, and not too deep.
fn is_path(path: &str) -> bool {
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..") && part.len() <= 255 && !part.chars().any(char::is_control)
    };
    path.len() <= 1024
        && path.split('/').count() <= MAX_DEPTH
        && path.split('/').all(is_part)
        && !path.contains('\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_relative_and_plain() {
        for good in ["a", "a/b.txt", "screenshots/1.png", "naïve name.txt"] {
            assert!(is_path(good), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\nb", &"a/".repeat(20)] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
