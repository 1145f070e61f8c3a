//! `trajectory.jsonl`: everything that was asked and answered in a build, one JSON object a line.
//!
//! Every line has `type` and `at` (RFC 3339). The types: `build` (first: what was asked, which prompts), `phase`,
//! `message` (what the model is told, as `llm::Message`), `answer` (what it said, with `finish`, `usage`, `cost_micros`,
//! `provider`, `model`), `tool` (what a call did: `call_id`, `name`, `error`, `millis`, `step`), `condensed` (how many
//! messages were summed up, and the whole `conversation` after that), `tests`, `trouble` (a call of the model that
//! failed) and `ended` (why the workflow did). Whoever packages the build may add lines of its own.
//!
//! New lines are written down with every state of the build, and the conversation is read back from them: a state need
//! not hold it, and costs the same however long a build goes on.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use super::state::Phase;
use crate::jobs::Attachment;
use crate::llm::Message;

/// The name of the file.
pub const FILE: &str = "trajectory.jsonl";

/// A transcript under way.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    unsaved: String,
    has_begun: bool,
}

/// What of a line concerns the conversation.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line {
    Phase {
        phase: Phase,
    },
    Message {
        message: Message,
    },
    Answer {
        message: Message,
    },
    Condensed {
        conversation: Vec<Message>,
    },
    #[serde(other)]
    Other,
}

impl Transcript {
    /// Goes on after these pieces; returns the conversation that they end with, too.
    pub(super) fn resume(pieces: &[Attachment]) -> (Self, Vec<Message>) {
        let transcript = Self { unsaved: String::new(), has_begun: !pieces.is_empty() };
        let mut messages = Vec::new();
        for line in pieces.iter().flat_map(|piece| piece.bytes.split(|byte| *byte == b'\n')) {
            match serde_json::from_slice(line) {
                Ok(Line::Phase { phase }) if phase.has_own_conversation() => messages.clear(),
                Ok(Line::Message { message } | Line::Answer { message }) => messages.push(message),
                Ok(Line::Condensed { conversation }) => messages = conversation,
                _ => {}
            }
        }
        (transcript, messages)
    }

    /// Whether there is a line.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether every line was given away.
    pub(super) fn is_saved(&self) -> bool {
        self.unsaved.is_empty()
    }

    /// Adds a line.
    pub(super) fn write(&mut self, at: DateTime<Utc>, sort: &str, mut line: Value) {
        if let Some(fields) = line.as_object_mut() {
            fields.insert("type".to_owned(), sort.into());
            fields.insert("at".to_owned(), at.to_rfc3339().into());
        }
        self.has_begun = true;
        self.unsaved += &line.to_string();
        self.unsaved.push('\n');
    }

    /// The lines since the last time, if there are any.
    pub(super) fn take_news(&mut self) -> Option<(String, Vec<u8>)> {
        let news = std::mem::take(&mut self.unsaved);
        (!news.is_empty()).then(|| (FILE.to_owned(), news.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::llm::Role;

    #[test]
    fn a_conversation_is_read_back_as_it_was() {
        let at = DateTime::UNIX_EPOCH;
        let text = |text: &str| Message::text(Role::User, text.to_owned());
        let mut transcript = Transcript::default();
        let mut pieces = Vec::new();
        let mut expect = |transcript: &mut Transcript, expected: &[&str]| {
            let (name, bytes) = transcript.take_news().unwrap();
            pieces.push(Attachment { number: 0, name, bytes });
            let (resumed, messages) = Transcript::resume(&pieces);
            assert!(resumed.has_begun());
            assert_eq!(messages, expected.iter().map(|words| text(words)).collect::<Vec<_>>());
        };
        transcript.write(at, "build", json!({ "goal": "g" }));
        transcript.write(at, "message", json!({ "message": text("a\nb") }));
        transcript.write(at, "answer", json!({ "message": text("c"), "finish": "stop" }));
        expect(&mut transcript, &["a\nb", "c"]);
        transcript.write(at, "phase", json!({ "phase": "mend" }));
        transcript.write(at, "message", json!({ "message": text("d") }));
        expect(&mut transcript, &["a\nb", "c", "d"]);
        transcript.write(at, "condensed", json!({ "conversation": [text("a\nb"), text("s")], "tokens": 1 }));
        expect(&mut transcript, &["a\nb", "s"]);
        transcript.write(at, "phase", json!({ "phase": "generate" }));
        expect(&mut transcript, &[]);
        assert!(transcript.take_news().is_none());
        assert!(!Transcript::resume(&[]).0.has_begun());
    }
}
