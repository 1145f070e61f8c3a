//! `trajectory.jsonl`: everything that was asked and answered in a build, one JSON object a line.
//!
//! Every line has `type` and `at` (RFC 3339). The types: `build` (first: what was asked, which prompts), `phase`,
//! `message` (what the model is told, as `llm::Message`), `answer` (what it said, with `finish`, `usage`, `cost_micros`,
//! `provider`, `model`), `tool` (what a call did: `call_id`, `name`, `error`, `millis`, `step`), `condensed` (how many
//! messages were summed up), `tests`, `trouble` (a call of the model that failed) and `ended` (why the workflow did).
//! Whoever packages the build may add lines of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// The name of the file in the build's home.
pub const FILE: &str = "trajectory.jsonl";

/// A transcript under way.
pub(super) struct Transcript {
    file: File,
    length: u64,
}

impl Transcript {
    /// Opens the transcript in `home` to go on at `length`; what stands after that belongs to steps that are done
    /// again. A shorter one (of another machine) goes on where it ends.
    pub(super) fn open(home: &Path, length: u64) -> io::Result<Self> {
        std::fs::create_dir_all(home)?;
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(home.join(FILE))?;
        let length = length.min(file.metadata()?.len());
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, length })
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a line.
    pub(super) fn write(&mut self, at: DateTime<Utc>, sort: &str, mut line: Value) -> io::Result<()> {
        if let Some(fields) = line.as_object_mut() {
            fields.insert("type".to_owned(), sort.into());
            fields.insert("at".to_owned(), at.to_rfc3339().into());
        }
        let mut text = line.to_string();
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.length += text.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_transcript_goes_on_where_the_state_was_saved() {
        let home = tempfile::tempdir().unwrap();
        let at = DateTime::UNIX_EPOCH;
        let mut first = Transcript::open(home.path(), 0).unwrap();
        first.write(at, "phase", json!({"phase": "plan"})).unwrap();
        let saved = first.length();
        first.write(at, "phase", json!({"phase": "lost"})).unwrap();
        drop(first);

        let mut second = Transcript::open(home.path(), saved).unwrap();
        second.write(at, "phase", json!({"phase": "generate"})).unwrap();
        let text = std::fs::read_to_string(home.path().join(FILE)).unwrap();
        let phases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(phases.len(), 2);
        assert_eq!((&phases[0]["phase"], &phases[1]["phase"]), (&json!("plan"), &json!("generate")));
        assert_eq!(phases[1]["at"], "1970-01-01T00:00:00+00:00");
        assert_eq!(second.length(), text.len() as u64);
    }
}
