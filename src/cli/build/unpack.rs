//! Writes what a build left behind into a directory, and unpacks the project.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use zip::ZipArchive;

/// Writes the files, each by its path, and the project's own below its name.
pub(super) fn unpack(folder: &Path, files: &[(String, Bytes)]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for (path, bytes) in files {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().unwrap_or(folder)).with_context(|| to.display().to_string())?;
        fs::write(&to, bytes).with_context(|| to.display().to_string())?;
    }
    let project =
        files.iter().find(|(path, _)| path == "project.zip").context("the build has no project.zip")?;
    // The archive is our own: its paths and links were checked when the files were kept.
    ZipArchive::new(Cursor::new(&project.1))?.extract(folder).context("the project cannot be unpacked")
}
