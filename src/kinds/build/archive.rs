//! A project as one file: the same files give the same bytes, whenever and wherever they are packed.

use std::io::{self, Cursor, Write};

use flate2::{Compression, GzBuilder};
use tar::{EntryType, Header};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::agent::workspace::Kept;

/// 1980-01-01, the oldest that ZIP knows; the history counts from there, too.
const TIME: u64 = 315_532_800;

/// The files below one folder of this name, as ZIP.
pub(super) fn zip(name: &str, files: &[Kept]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default());
    for file in files {
        let path = format!("{name}/{}", file.path);
        match &file.link {
            Some(target) => archive.add_symlink(path, target, options)?,
            None => {
                archive.start_file(path, options.unix_permissions(mode(file)))?;
                archive.write_all(&file.content)?;
            }
        }
    }
    Ok(archive.finish()?.into_inner())
}

/// The files below one folder of this name, as tar, compressed with gzip.
pub(super) fn tar_gz(name: &str, files: &[Kept]) -> io::Result<Vec<u8>> {
    let to = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut archive = tar::Builder::new(to);
    for file in files {
        let path = format!("{name}/{}", file.path);
        let mut header = Header::new_gnu();
        header.set_mtime(TIME);
        header.set_mode(mode(file));
        header.set_size(file.content.len() as u64);
        match &file.link {
            Some(target) => {
                header.set_entry_type(EntryType::Symlink);
                archive.append_link(&mut header, path, target)?;
            }
            None => archive.append_data(&mut header, path, file.content.as_slice())?,
        }
    }
    archive.into_inner()?.finish()
}

fn mode(file: &Kept) -> u32 {
    if file.executable { 0o755 } else { 0o644 }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn files() -> Vec<Kept> {
        let file = |path: &str, executable, link: Option<&str>, content: &[u8]| Kept {
            path: path.to_owned(),
            executable,
            link: link.map(str::to_owned),
            content: content.to_vec(),
        };
        let long = format!("{}/deep.txt", "folder".repeat(30));
        vec![
            file("a.txt", false, None, b"one\n"),
            file(&long, false, None, b"two\n"),
            file("link", false, Some("a.txt"), b""),
            file("run.sh", true, None, b"#!/bin/sh\n"),
        ]
    }

    #[test]
    fn a_zip_holds_the_files_and_is_the_same_each_time() {
        let bytes = zip("p", &files()).unwrap();
        assert_eq!(bytes, zip("p", &files()).unwrap());
        let mut archive = ::zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut text = String::new();
        archive.by_name("p/a.txt").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\n");
        assert_eq!(archive.by_name("p/run.sh").unwrap().unix_mode().unwrap() & 0o777, 0o755);
        assert!(archive.by_name("p/link").unwrap().is_symlink());
    }

    #[test]
    fn a_tar_holds_the_files_and_is_the_same_each_time() {
        let bytes = tar_gz("p", &files()).unwrap();
        assert_eq!(bytes, tar_gz("p", &files()).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let entries = archive.entries().unwrap().map(Result::unwrap);
        let seen: Vec<_> = entries
            .map(|entry| {
                (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap(), entry.size())
            })
            .collect();
        assert_eq!(
            (seen[0].clone(), seen[3].clone()),
            (("p/a.txt".into(), 0o644, 4), ("p/run.sh".into(), 0o755, 10))
        );
        assert!(seen[1].0.ends_with("/deep.txt"));
    }
}
