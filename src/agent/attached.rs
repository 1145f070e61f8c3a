//! What a build writes down beside its state, so that another server can go on with it: the objects of its history, its
//! transcript, and the whole outputs of its commands. In the home of the build these are files of the same names.

use std::fs;
use std::io;
use std::path::Path;

use super::history::{History, Object};
use crate::jobs::Attachment;

/// Where the history lies in the home of a build.
pub(super) const HISTORY: &str = "history";
/// The folder of a build's directory that the whole outputs of its commands lie in, and of the job's files in the end.
pub const KEPT_OUTPUTS: &str = "outputs";
/// What the tests of the catalogue's projects wrote.
pub const TEST_LOG: &str = "tests.log";

/// Puts into the home of a build what another server has written down. Names that no build writes are left out.
pub fn bring_home(home: &Path, pieces: Vec<Attachment>) -> io::Result<()> {
    let history = History::open(&home.join(HISTORY))?;
    for Attachment { name, bytes, .. } in pieces {
        match name.split_once('/') {
            Some((HISTORY, id)) => {
                let Ok(id) = id.parse() else { continue };
                history.take_in(&Object { id, deflated: bytes })?;
            }
            Some((KEPT_OUTPUTS, file)) if is_output(file) => {
                fs::create_dir_all(home.join(KEPT_OUTPUTS))?;
                fs::write(home.join(KEPT_OUTPUTS).join(file), bytes)?;
            }
            None if name == TEST_LOG => fs::write(home.join(name), bytes)?,
            _ => {}
        }
    }
    Ok(())
}

/// An object of the history as a file.
pub(super) fn of_object(object: Object) -> (String, Vec<u8>) {
    (format!("{HISTORY}/{}", object.id), object.deflated)
}

/// The file with the output of a command, by the command's number.
pub(super) fn output(number: u32) -> String {
    format!("{number:04}.txt")
}

/// Whether a file can be the output of a command.
pub(super) fn is_output(file: &str) -> bool {
    let digits = file.strip_suffix(".txt").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}
