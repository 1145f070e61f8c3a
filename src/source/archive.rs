//! Reads a ZIP archive that somebody sent, believing none of it.
//!
//! Nothing is written to disk: the entries go straight into memory, within the caps. Bytes are counted as they
//! come out; what a header says is used only to refuse sooner.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use tokio_util::sync::CancellationToken;
use zip::ZipArchive;
use zip::result::ZipError;

use super::basket::{Basket, too_many_entries};
use super::{Error, Limits, Tree, path};

/// What every record of a ZIP's table of contents begins with.
const RECORD: &[u8] = b"PK\x01\x02";

/// Reads the archive. Blocking.
pub(super) fn read(file: &Path, limits: &Limits, stop: &CancellationToken) -> Result<Tree, Error> {
    let mut file = File::open(file).map_err(|error| Error::Io("open the archive", error))?;
    let packed = file.metadata().map_err(|error| Error::Io("read the archive", error))?.len();
    // The library loads the whole table of contents: it must not be asked to before we know its size.
    if count_records(&mut file)? > limits.max_archive_entries {
        return Err(too_many_entries("the archive", limits));
    }
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(no_archive)?;
    if archive.has_duplicate_names() {
        return Err(Error::Invalid("the archive names a file twice".to_owned()));
    }
    let names = check_contents(&archive, packed, limits)?;
    let mut basket = Basket::new(limits)?;
    let mut unpacked = 0;
    for index in 0..archive.len() {
        if stop.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if let Some((path, content)) = entry(&mut archive, index, &names, &mut basket)? {
            unpacked += content.len() as u64;
            if exceeds_ratio(unpacked, packed, limits) {
                return Err(bomb(limits));
            }
            basket.add(path, content)?;
        }
    }
    Ok(basket.into_tree(None))
}

/// One entry, if it is a file to keep.
fn entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    names: &HashSet<String>,
    basket: &mut Basket<'_>,
) -> Result<Option<(String, Vec<u8>)>, Error> {
    let (path, size) = {
        let entry = archive.by_index_data(index).map_err(no_archive)?;
        let raw = match entry.name() {
            Ok(name) => name.into_owned(),
            Err(_) => {
                basket.skip(&lossy(entry.name_raw()), "its name is not UTF-8");
                return Ok(None);
            }
        };
        let Some(path) = basket.name(&raw)? else { return Ok(None) };
        if let Some(reason) = not_a_file(entry.unix_mode(), entry.encrypted()) {
            basket.skip(&path, reason);
            return Ok(None);
        }
        if raw.ends_with('/') {
            return Ok(None);
        }
        (path, entry.size())
    };
    if !basket.wants(&path, size, &|other| names.contains(other)) {
        return Ok(None);
    }
    match content(archive, index, size) {
        Ok(content) => Ok(Some((path, content))),
        Err(reason) => {
            basket.skip(&path, &format!("cannot be unpacked: {reason}"));
            Ok(None)
        }
    }
}

/// The bytes of an entry, never more than it declares (which was checked against the cap).
fn content<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize, size: u64) -> Result<Vec<u8>, String> {
    let entry = archive.by_index(index).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    entry.take(size + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > size { Err("it is larger than it says".to_owned()) } else { Ok(content) }
}

/// The names of all files, and a refusal if the table of contents alone says that this is a bomb: also when
/// many entries share the same packed bytes.
fn check_contents<R: Read + Seek>(
    archive: &ZipArchive<R>,
    packed: u64,
    limits: &Limits,
) -> Result<HashSet<String>, Error> {
    let mut declared: u64 = 0;
    let mut names = HashSet::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(no_archive)?;
        declared = declared.saturating_add(entry.size());
        if let Ok(name) = entry.name() {
            names.extend(path::clean(&name, limits.max_depth).ok());
        }
    }
    if exceeds_ratio(declared, packed, limits) { Err(bomb(limits)) } else { Ok(names) }
}

/// Small archives may compress as well as they like: a text of a few lines repeated is no bomb.
fn exceeds_ratio(unpacked: u64, packed: u64, limits: &Limits) -> bool {
    unpacked > limits.max_file_bytes.saturating_mul(4)
        && unpacked > packed.saturating_mul(limits.max_archive_ratio)
}

fn bomb(limits: &Limits) -> Error {
    Error::TooLarge {
        what: "the archive unpacks to too many times its own size".to_owned(),
        cap: format!("{} times", limits.max_archive_ratio),
        setting: "intake.max_archive_ratio",
    }
}

/// Why an entry is not an ordinary file or folder.
fn not_a_file(mode: Option<u32>, encrypted: bool) -> Option<&'static str> {
    if encrypted {
        return Some("encrypted");
    }
    match mode.unwrap_or(0) & libc::S_IFMT {
        0 | libc::S_IFREG | libc::S_IFDIR => None,
        libc::S_IFLNK => Some("a symbolic link; links are not followed"),
        _ => Some("a device, pipe or socket"),
    }
}

fn no_archive(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            Error::Io("read the archive", error)
        }
        other => Error::Invalid(format!("this is not a ZIP archive that can be read: {other}")),
    }
}

/// How many records of a table of contents the file can hold at most, without believing its end record.
fn count_records(file: &mut File) -> Result<usize, Error> {
    let failed = |error| Error::Io("read the archive", error);
    let mut buffer = vec![0; 1 << 16];
    let (mut kept, mut count) = (0, 0);
    loop {
        let read = file.read(&mut buffer[kept..]).map_err(failed)?;
        if read == 0 {
            break;
        }
        let filled = kept + read;
        count += buffer[..filled].windows(RECORD.len()).filter(|window| *window == RECORD).count();
        // A record may begin at the end of one piece and end in the next.
        kept = filled.min(RECORD.len() - 1);
        buffer.copy_within(filled - kept..filled, 0);
    }
    file.rewind().map_err(failed)?;
    Ok(count)
}

fn lossy(name: &[u8]) -> String {
    path::printable(&String::from_utf8_lossy(name))
}
