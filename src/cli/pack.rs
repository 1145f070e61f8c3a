//! Packs a directory into a ZIP archive, within the caps of the intake.

use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context as _, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::config::Config;
use crate::kinds::{analysis::intake, sandbox_settings};
use crate::model::{Skipped, SourceFile};
use crate::sandbox::{Level, Sandbox};
use crate::source::{self, Source, Tree};

/// A directory, packed.
pub(super) struct Packed {
    /// What it is called in lists.
    pub(super) name: String,
    pub(super) zip: Vec<u8>,
    /// How many files are in it.
    pub(super) files: usize,
    /// What was left out.
    pub(super) skipped: Vec<Skipped>,
}

/// Reads and packs the directory.
pub(super) async fn pack(path: &Path, config: &Config) -> anyhow::Result<Packed> {
    let root = path.canonicalize().with_context(|| path.display().to_string())?;
    let name = root.file_name().map_or_else(|| "/".into(), |name| name.to_string_lossy()).into_owned();
    let sandbox = Sandbox::untested(&sandbox_settings(config)?, Level::ProcessOnly)?;
    let stop = tokio_util::sync::CancellationToken::new();
    let Tree { files, skipped, .. } =
        source::take_in(Source::Directory(root), &intake(&config.intake), &sandbox, &stop, &|_| ()).await?;
    ensure!(!files.is_empty(), "{}: there is no file in it", path.display());
    let count = files.len();
    let zip = tokio::task::spawn_blocking(move || write(&files)).await??;
    let limit = config.server.upload_limit_bytes;
    ensure!(
        zip.len() < limit,
        "{} packs to {} bytes; the limit is {limit} (server.upload_limit_bytes). Name a part of it",
        path.display(),
        zip.len()
    );
    Ok(Packed { name, zip, files: count, skipped })
}

fn write(files: &[SourceFile]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(3));
    for file in files {
        archive.start_file(file.path.as_str(), options)?;
        archive.write_all(&file.content)?;
    }
    Ok(archive.finish()?.into_inner())
}
