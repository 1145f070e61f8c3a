//! An answer while it comes in: text, thoughts and tool calls, in the order in which they began.

use std::collections::BTreeMap;

use crate::config::Dialect;
use crate::llm::providers::Echo;
use crate::llm::{Delta, Finish, Message, Part, Reply, Role, Signature, ToolCall, Usage};

/// An answer larger than this, in bytes, is none.
const LARGEST: usize = 16 << 20;
/// More tool calls in one answer than anybody needs.
const MOST_CALLS: usize = 256;
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// What went wrong while reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The provider reports an error.
    Said(Said),
    /// It is not what was agreed on.
    Unreadable(String),
}

/// An error in the provider's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Its name or number, of whatever kind the provider uses.
    pub(super) code: String,
    /// For people.
    pub(super) message: String,
    /// When to come back, in milliseconds.
    pub(super) retry_after_ms: Option<u64>,
}

/// An answer while it comes in.
pub(super) struct Draft {
    dialect: Dialect,
    parts: Vec<Building>,
    /// Where a provider numbers its parts: which of ours each is.
    slots: BTreeMap<u64, usize>,
    calls: usize,
    size: usize,
    tags: Tags,
    /// Pieces that nobody has been told of.
    pub(super) deltas: Vec<Delta>,
    /// Tokens, as far as they were counted.
    pub(super) usage: Option<Usage>,
    /// Why the model stopped.
    pub(super) finish: Option<Finish>,
    /// The provider said that this was all.
    pub(super) ended: bool,
}

enum Building {
    Text(String),
    Reasoning { text: String, signature: Option<String> },
    Call { index: usize, id: String, name: String, arguments: String, signature: Option<String> },
}

/// Where we are in a text that may begin with thoughts in tags.
enum Tags {
    /// There are none, or they are over.
    Off,
    /// What has come so far may become the opening tag.
    Before(String),
    /// Inside; what has come last may become the closing tag.
    Inside(String),
    /// Behind the closing tag: space here belongs to nobody.
    Behind,
}

impl Draft {
    pub(super) fn new(dialect: Dialect, echo: Echo) -> Self {
        Self {
            dialect,
            parts: Vec::new(),
            slots: BTreeMap::new(),
            calls: 0,
            size: 0,
            tags: if echo == Echo::Tags { Tags::Before(String::new()) } else { Tags::Off },
            deltas: Vec::new(),
            usage: None,
            finish: None,
            ended: false,
        }
    }

    /// More words; at the beginning they may be thoughts in tags.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Fault> {
        self.grow(text.len())?;
        match std::mem::replace(&mut self.tags, Tags::Off) {
            Tags::Off => self.push_text(text),
            Tags::Before(held) => self.before(held + text),
            Tags::Inside(held) => self.inside(&(held + text)),
            Tags::Behind => self.behind(text),
        }
        Ok(())
    }

    /// More thoughts.
    pub(super) fn reasoning(&mut self, text: &str) -> Result<(), Fault> {
        self.grow(text.len())?;
        self.push_reasoning(text);
        Ok(())
    }

    /// The provider's proof of the thoughts that came last, or of a part that holds nothing else.
    pub(super) fn sign(&mut self, data: &str) -> Result<(), Fault> {
        self.grow(data.len())?;
        match self.parts.last_mut() {
            Some(Building::Reasoning { signature, .. } | Building::Call { signature, .. }) => {
                signature.get_or_insert_default().push_str(data);
            }
            _ => {
                self.parts
                    .push(Building::Reasoning { text: String::new(), signature: Some(data.to_owned()) });
            }
        }
        Ok(())
    }

    /// Thoughts that are a part of their own even directly behind others.
    pub(super) fn new_reasoning(&mut self) {
        self.parts.push(Building::Reasoning { text: String::new(), signature: None });
    }

    /// A piece of the tool call that the provider counts as `slot`; it begins with the first piece, and again when an
    /// id comes that is not its own: some servers count badly.
    pub(super) fn call(&mut self, slot: u64, id: &str, name: &str, arguments: &str) -> Result<(), Fault> {
        self.grow(id.len() + name.len() + arguments.len())?;
        self.end_tags();
        let place = self.slots.get(&slot).copied().filter(|place| match &self.parts[*place] {
            Building::Call { id: known, .. } => id.is_empty() || known.is_empty() || known == id,
            _ => false,
        });
        let place = match place {
            Some(place) => place,
            None => self.begin_call(slot, name)?,
        };
        let Building::Call { index, id: known, name: called, arguments: all, .. } = &mut self.parts[place]
        else {
            return Ok(());
        };
        if known.is_empty() {
            id.clone_into(known);
        }
        if called.is_empty() && !name.is_empty() {
            name.clone_into(called);
        }
        if !arguments.is_empty() {
            all.push_str(arguments);
            self.deltas.push(Delta::Arguments { index: *index, text: arguments.to_owned() });
        }
        Ok(())
    }

    fn begin_call(&mut self, slot: u64, name: &str) -> Result<usize, Fault> {
        if self.calls >= MOST_CALLS {
            return Err(Fault::Unreadable(format!("more than {MOST_CALLS} tool calls")));
        }
        let (id, arguments) = (String::new(), String::new());
        self.parts.push(Building::Call {
            index: self.calls,
            id,
            name: name.to_owned(),
            arguments,
            signature: None,
        });
        self.deltas.push(Delta::ToolCall { index: self.calls, name: name.to_owned() });
        self.calls += 1;
        self.slots.insert(slot, self.parts.len() - 1);
        Ok(self.parts.len() - 1)
    }

    /// How many tool calls there are.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// How many bytes have come, of whatever kind.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.ended || (self.finish.is_some() && self.usage.is_some())
    }

    /// The answer.
    pub(super) fn reply(mut self) -> (Reply, Vec<Delta>) {
        self.end_tags();
        let dialect = self.dialect.name();
        let signed = |data: Option<String>| data.map(|data| Signature { dialect: dialect.to_owned(), data });
        let parts = self.parts.into_iter().filter_map(|part| match part {
            Building::Text(text) => (!text.is_empty()).then_some(Part::Text { text }),
            Building::Reasoning { text, signature } => (!text.is_empty() || signature.is_some())
                .then(|| Part::Reasoning { text, signature: signed(signature) }),
            Building::Call { index, id, name, arguments, signature } => {
                let id = if id.is_empty() { format!("call_{index}") } else { id };
                let arguments = ToolCall::read_arguments(&arguments);
                Some(Part::ToolCall(ToolCall { id, name, arguments, signature: signed(signature) }))
            }
        });
        let message = Message { role: Role::Assistant, parts: parts.collect() };
        let finish = match self.finish {
            // Several servers say "stop" also when they wait for tools.
            Some(Finish::Stop) | None if self.calls > 0 => Finish::ToolCalls,
            finish => finish.unwrap_or(Finish::Stop),
        };
        (Reply { message, finish, usage: self.usage.map(Usage::checked) }, self.deltas)
    }

    fn grow(&mut self, by: usize) -> Result<(), Fault> {
        self.size = self.size.saturating_add(by);
        if self.size > LARGEST {
            return Err(Fault::Unreadable(format!("larger than {LARGEST} bytes")));
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            Some(Building::Text(all)) => all.push_str(text),
            _ => self.parts.push(Building::Text(text.to_owned())),
        }
        self.deltas.push(Delta::Text { text: text.to_owned() });
    }

    fn push_reasoning(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.parts.last_mut() {
            // What is signed is over.
            Some(Building::Reasoning { text: all, signature: None }) => all.push_str(text),
            _ => self.parts.push(Building::Reasoning { text: text.to_owned(), signature: None }),
        }
        self.deltas.push(Delta::Reasoning { text: text.to_owned() });
    }

    fn before(&mut self, held: String) {
        let begun = held.trim_start();
        if let Some(rest) = begun.strip_prefix(OPEN) {
            self.inside(rest);
        } else if OPEN.starts_with(begun) {
            self.tags = Tags::Before(held);
        } else {
            self.push_text(&held);
        }
    }

    fn inside(&mut self, held: &str) {
        if let Some((thoughts, rest)) = held.split_once(CLOSE) {
            self.push_reasoning(thoughts);
            return self.behind(rest);
        }
        // The longest end that may become the closing tag waits for what comes.
        let most = held.len().min(CLOSE.len() - 1);
        let kept = (1..=most).rev().find(|kept| held.ends_with(&CLOSE[..*kept])).unwrap_or(0);
        let (thoughts, waiting) = held.split_at(held.len() - kept);
        self.push_reasoning(thoughts);
        self.tags = Tags::Inside(waiting.to_owned());
    }

    fn behind(&mut self, text: &str) {
        let text = text.trim_start();
        if text.is_empty() {
            self.tags = Tags::Behind;
        } else {
            self.push_text(text);
        }
    }

    /// Nothing more comes that could complete a tag.
    fn end_tags(&mut self) {
        match std::mem::replace(&mut self.tags, Tags::Off) {
            Tags::Before(held) => self.push_text(&held),
            Tags::Inside(held) => self.push_reasoning(&held),
            Tags::Off | Tags::Behind => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> Vec<Part> {
        let mut draft = Draft::new(Dialect::Openai, Echo::Tags);
        pieces.iter().for_each(|piece| draft.text(piece).unwrap());
        draft.reply().0.message.parts
    }

    #[test]
    fn thoughts_in_tags_are_told_from_text_wherever_the_pieces_end() {
        for text in [
            "<think>a < b </thin k></think>\n\nText with <think> in it",
            "\n<think>thoughts without end</th",
            "<thin is no tag",
            "plain",
        ] {
            let whole = split(&[text]);
            let reasons = matches!(whole[0], Part::Reasoning { .. });
            assert_eq!(reasons, text.trim_start().starts_with(OPEN), "{text}: {whole:?}");
            for at in 0..=text.len() {
                assert_eq!(split(&[&text[..at], &text[at..]]), whole, "{text} split at {at}");
            }
        }
    }

    #[test]
    fn what_grows_without_end_is_refused() {
        let mut draft = Draft::new(Dialect::Openai, Echo::No);
        let piece = "x".repeat(1 << 20);
        let grown: Result<Vec<_>, _> = (0..17).map(|_| draft.text(&piece)).collect();
        assert!(matches!(grown, Err(Fault::Unreadable(_))));
        let mut draft = Draft::new(Dialect::Openai, Echo::No);
        let calls: Result<Vec<_>, _> = (0..300).map(|slot| draft.call(slot, "", "f", "")).collect();
        assert!(matches!(calls, Err(Fault::Unreadable(_))));
    }
}
