//! ZIP archives, honest and not.

use std::fs;
use std::io::{Cursor, Write};

use codeyard::source::{Error, Limits, Source, Tree};
use proptest::prelude::*;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{paths, skipped, take};

fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

async fn unpack(bytes: &[u8], limits: &Limits) -> Result<Tree, Error> {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    take(Source::Archive(file.path().into()), limits).await
}

/// Replaces every occurrence of a name, in the local headers and in the table of contents.
fn rename(mut bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from.as_bytes()) {
        bytes[at + found..at + found + to.len()].copy_from_slice(to.as_bytes());
        at += found + to.len();
    }
    bytes
}

#[tokio::test]
async fn an_honest_archive_is_read() {
    let bytes = zip(&[
        ("repo/src/a.py", b"a"),
        ("repo/b.txt", b"b"),
        ("repo/node_modules/x/i.js", b"x"),
        ("repo/node_modules/y/i.js", b"y"),
        ("repo/logo.png", b"\x89PNG\0"),
    ]);
    let tree = unpack(&bytes, &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), ["repo/b.txt", "repo/src/a.py"]);
    assert_eq!(
        skipped(&tree),
        [("repo/logo.png", "a binary file"), ("repo/node_modules", "installed packages")]
    );
}

#[tokio::test]
async fn what_is_no_archive_says_so() {
    let honest = zip(&[("a.py", b"print(1)\n")]);
    for bytes in [&b""[..], b"hello, this is no archive", b"PK\x03\x04", &honest[..honest.len() / 2]] {
        let error = unpack(bytes, &Limits::default()).await.unwrap_err();
        assert!(error.is_callers_fault(), "{error:?}");
        assert!(error.to_string().contains("not a ZIP archive"), "{error}");
    }
}

#[tokio::test]
async fn a_bomb_is_refused_by_its_ratio() {
    let zeros = vec![0; 8 << 20];
    let bytes = zip(&[("a.py", b"x"), ("zeros.txt", &zeros)]);
    let error = unpack(&bytes, &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("intake.max_archive_ratio"), "{error}");
    assert!(error.is_callers_fault());
}

#[tokio::test]
async fn a_bomb_of_many_small_files_is_refused_by_its_ratio() {
    let zeros = vec![b' '; 1 << 20];
    let names: Vec<String> = (0..8).map(|n| format!("{n}.txt")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &zeros[..])).collect();
    let error = unpack(&zip(&entries), &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("intake.max_archive_ratio"), "{error}");
}

#[tokio::test]
async fn a_header_that_lies_about_the_size_is_found_out() {
    let content = vec![b'x'; 100_000];
    let mut bytes = zip(&[("a.txt", &content)]);
    // The uncompressed size stands 22 bytes into the local header and 24 into the table's record.
    let local = bytes.windows(4).position(|window| window == b"PK\x03\x04").unwrap() + 22;
    let record = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap() + 24;
    for at in [local, record] {
        bytes[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
    }
    let tree = unpack(&bytes, &Limits::default()).await.unwrap();
    assert_eq!(tree.files, []);
    assert!(tree.skipped[0].reason.contains("larger than it"), "{:?}", tree.skipped);
}

#[tokio::test]
async fn an_archive_that_climbs_out_is_refused() {
    for name in ["../evil.py", "/etc/evilx", "a/../../ev"] {
        let bytes = rename(zip(&[("ok.py", b"x"), ("aaaaaaaaaa", b"x")]), "aaaaaaaaaa", name);
        let error = unpack(&bytes, &Limits::default()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("the path `{name}`")), "{error}");
        assert!(error.is_callers_fault());
    }
}

#[tokio::test]
async fn backslashes_are_skipped_and_not_reinterpreted() {
    let bytes = rename(zip(&[("aaaaaaaaaa", b"x"), ("ok.py", b"x")]), "aaaaaaaaaa", "..\\evil.py");
    let tree = unpack(&bytes, &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), ["ok.py"]);
    assert!(tree.skipped[0].reason.contains("backslash"), "{:?}", tree.skipped);
}

#[tokio::test]
async fn two_entries_of_one_name_are_refused() {
    let bytes = rename(zip(&[("aaaa.py", b"good"), ("bbbb.py", b"evil")]), "bbbb.py", "aaaa.py");
    let error = unpack(&bytes, &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
    let bytes = zip(&[("./aa.py", b"good"), ("aa.py", b"evil")]);
    let error = unpack(&bytes, &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[tokio::test]
async fn links_devices_and_encrypted_entries_are_skipped() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("link.py", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.start_file("device", SimpleFileOptions::default()).unwrap();
    writer.start_file("locked.py", SimpleFileOptions::default()).unwrap();
    writer.write_all(b"xxxxxxxxxxxxxxxxxxxx").unwrap();
    let mut bytes = writer.finish().unwrap().into_inner();
    let records: Vec<usize> =
        (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect();
    let mode = (libc::S_IFBLK | 0o644) << 16;
    bytes[records[1] + 38..records[1] + 42].copy_from_slice(&mode.to_le_bytes());
    bytes[records[2] + 8] |= 1;
    let tree = unpack(&bytes, &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), Vec::<&str>::new());
    assert_eq!(
        skipped(&tree),
        [
            ("device", "a device, pipe or socket"),
            ("link.py", "a symbolic link; links are not followed"),
            ("locked.py", "encrypted"),
        ]
    );
}

#[tokio::test]
async fn the_caps_of_the_whole_refuse_and_those_of_one_file_skip() {
    let bytes = zip(&[("a", b"1234"), ("b", b"5678"), ("c/d/e", b"9")]);
    for (limits, setting) in [
        (Limits { max_archive_entries: 2, ..Limits::default() }, "intake.max_archive_entries"),
        (Limits { max_files: 2, ..Limits::default() }, "intake.max_files"),
        (Limits { max_total_bytes: 8, ..Limits::default() }, "intake.max_total_bytes"),
    ] {
        let error = unpack(&bytes, &limits).await.unwrap_err();
        assert!(error.to_string().contains(setting), "{error}");
    }
    let limits = Limits { max_depth: 1, max_file_bytes: 3, ..Limits::default() };
    let tree = unpack(&bytes, &limits).await.unwrap();
    assert_eq!(tree.files, []);
    assert_eq!(tree.skipped.len(), 3);
}

#[tokio::test]
async fn a_damaged_entry_is_skipped_and_the_rest_is_read() {
    let content: Vec<u8> = (0..10_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
    let mut bytes = zip(&[("a.txt", &content), ("b.txt", b"fine")]);
    bytes[200..260].fill(0xff);
    let tree = unpack(&bytes, &Limits::default()).await.unwrap();
    assert_eq!(paths(&tree), ["b.txt"]);
    assert!(tree.skipped[0].reason.starts_with("cannot be unpacked"), "{:?}", tree.skipped);
}

#[tokio::test]
async fn a_stopped_intake_stops() {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), zip(&[("a", b"x")])).unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let sandbox = crate::sandbox::at(codeyard::sandbox::Level::ProcessOnly);
    let source = Source::Archive(file.path().into());
    let answer = codeyard::source::take_in(source, &Limits::default(), &sandbox, &stop, &|_| ()).await;
    assert!(matches!(answer, Err(Error::Cancelled)), "{answer:?}");
}

proptest! {
    /// A damaged archive is refused or read in part; it never breaks the reader or gets around the caps.
    #[test]
    fn damage_is_survived(changes in proptest::collection::vec((0usize..400, any::<u8>()), 1..8), cut in 0usize..400) {
        let mut bytes = zip(&[("a.py", b"print(1)\n"), ("b/c.txt", &[b'x'; 5000]), ("d", b"")]);
        let length = bytes.len();
        for (at, value) in changes {
            bytes[at % length] = value;
        }
        bytes.truncate(if cut < 200 { length } else { cut % length });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let limits = Limits { max_total_bytes: 6_000, ..Limits::default() };
        match runtime.block_on(unpack(&bytes, &limits)) {
            Ok(tree) => prop_assert!(tree.files.iter().map(|file| file.content.len()).sum::<usize>() <= 6_000),
            Err(error) => prop_assert!(error.is_callers_fault(), "{error:?}"),
        }
    }
}
