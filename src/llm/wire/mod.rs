//! The wire: from a question to bytes, and from bytes to an answer, in four dialects.

mod anthropic;
mod draft;
mod gemini;
mod lines;
mod ollama;
mod openai;
pub(super) mod refusal;

use serde_json::Value;

use super::providers::Provider;
use super::{Call, Delta, Error, Message, Reply, ResponseSchema, Role, Usage};
use crate::config::Dialect;
use draft::{Draft, Fault, Said};
use lines::{Events, Lines, TooLong};
use refusal::Hints;

/// An HTTP request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The whole address.
    pub url: String,
    /// Headers besides the content's type. The values are secrets.
    pub headers: Vec<(&'static str, crate::config::Hidden)>,
    /// The body.
    pub body: Value,
}

/// Writes a question in the provider's dialect.
pub fn write(provider: &Provider, call: &Call, stream: bool) -> Wire {
    let base = &provider.base_url;
    let mut headers = Vec::new();
    let mut with_key = |name, value: String| headers.push((name, crate::config::Hidden::new(&value)));
    let key = provider.key.as_ref().map(|key| key.expose());
    let (url, mut body) = match provider.dialect {
        Dialect::Openai => {
            key.into_iter().for_each(|key| with_key("authorization", format!("Bearer {key}")));
            (format!("{base}/chat/completions"), openai::body(provider, call, stream))
        }
        Dialect::Anthropic => {
            key.into_iter().for_each(|key| with_key("x-api-key", key.to_owned()));
            with_key("anthropic-version", anthropic::VERSION.to_owned());
            (format!("{base}/messages"), anthropic::body(provider, call, stream))
        }
        Dialect::Gemini => {
            key.into_iter().for_each(|key| with_key("x-goog-api-key", key.to_owned()));
            let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let model = call.model.strip_prefix("models/").unwrap_or(&call.model);
            (format!("{base}/models/{}:{verb}", escaped(model)), gemini::body(provider, call))
        }
        Dialect::Ollama => {
            key.into_iter().for_each(|key| with_key("authorization", format!("Bearer {key}")));
            (format!("{base}/api/chat"), ollama::body(call, stream))
        }
    };
    for (field, value) in &provider.extra {
        merge(&mut body[field.as_str()], value);
    }
    Wire { url, headers, body }
}

/// A model's name as one segment of a path.
fn escaped(model: &str) -> String {
    url::form_urlencoded::byte_serialize(model.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Puts `value` in: objects are joined, everything else is replaced.
fn merge(place: &mut Value, value: &Value) {
    match (place, value) {
        (Value::Object(known), Value::Object(more)) => {
            more.iter().for_each(|(field, value)| merge(known.entry(field).or_insert(Value::Null), value));
        }
        (place, value) => *place = value.clone(),
    }
}

/// Reads an answer, piece by piece.
pub struct Reader<'p> {
    provider: &'p Provider,
    lines: Lines,
    events: Events,
    draft: Draft,
}

impl<'p> Reader<'p> {
    /// For an answer of this provider.
    pub fn new(provider: &'p Provider) -> Self {
        let draft = Draft::new(provider.dialect, provider.row.echo);
        Self { provider, lines: Lines::default(), events: Events::default(), draft }
    }

    /// Takes the next bytes of a stream, however it was cut up. True: nothing more is needed.
    pub fn feed(&mut self, bytes: &[u8], on: &mut (dyn FnMut(Delta) + Send)) -> Result<bool, Error> {
        let read = self.read(bytes);
        self.draft.deltas.drain(..).for_each(on);
        read.map_err(|fault| self.error(200, fault, Hints::default()))?;
        Ok(self.draft.ended)
    }

    /// Takes a whole answer.
    pub fn whole(&mut self, bytes: &[u8], on: &mut (dyn FnMut(Delta) + Send)) -> Result<(), Error> {
        let read = self.read_whole(bytes);
        self.draft.deltas.drain(..).for_each(on);
        read.map_err(|fault| self.error(200, fault, Hints::default()))
    }

    /// The answer, if it is whole.
    pub fn finish(self, on: &mut (dyn FnMut(Delta) + Send)) -> Result<Reply, Error> {
        if !self.draft.is_whole() {
            return Err(Error::Cut { provider: self.provider.name.clone() });
        }
        let (reply, rest) = self.draft.reply();
        rest.into_iter().for_each(on);
        Ok(reply)
    }

    /// What has been counted so far, and how many bytes of an answer have come: what an answer costs that was cut.
    pub fn so_far(&self) -> (Option<Usage>, usize) {
        (self.draft.usage, self.draft.size())
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let too_long = |TooLong| Fault::Unreadable("a line is too long".to_owned());
        for line in self.lines.feed(bytes).map_err(too_long)? {
            let data = match self.provider.dialect {
                Dialect::Ollama => Some(line).filter(|line| !line.trim().is_empty()),
                _ => self.events.feed(&line).map_err(too_long)?,
            };
            let Some(data) = data.filter(|_| !self.draft.ended) else { continue };
            if data.trim() == "[DONE]" {
                self.draft.ended = true;
                continue;
            }
            let value: Value = serde_json::from_str(&data)
                .map_err(|error| Fault::Unreadable(format!("a piece is no JSON: {error}")))?;
            match self.provider.dialect {
                Dialect::Openai => openai::read(&mut self.draft, &value)?,
                Dialect::Anthropic => anthropic::read(&mut self.draft, &value)?,
                Dialect::Gemini => gemini::read(&mut self.draft, &value)?,
                Dialect::Ollama => ollama::read(&mut self.draft, &value)?,
            }
        }
        Ok(())
    }

    fn read_whole(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let body: Value = serde_json::from_slice(bytes)
            .map_err(|error| Fault::Unreadable(format!("it is no JSON: {error}")))?;
        if let Some(said) = said(self.provider.dialect, &body) {
            return Err(Fault::Said(said));
        }
        let is_answer = match self.provider.dialect {
            Dialect::Openai => openai::is_answer(&body),
            Dialect::Anthropic => body["content"].is_array(),
            Dialect::Gemini => gemini::is_answer(&body) || body["promptFeedback"].is_object(),
            Dialect::Ollama => ollama::is_answer(&body),
        };
        if !is_answer {
            return Err(Fault::Unreadable("it has not the form of an answer".to_owned()));
        }
        match self.provider.dialect {
            Dialect::Openai => openai::read(&mut self.draft, &body)?,
            Dialect::Anthropic => anthropic::read_whole(&mut self.draft, &body)?,
            Dialect::Gemini => gemini::read(&mut self.draft, &body)?,
            Dialect::Ollama => ollama::read(&mut self.draft, &body)?,
        }
        self.draft.ended = true;
        Ok(())
    }

    fn error(&self, status: u16, fault: Fault, hints: Hints) -> Error {
        match fault {
            Fault::Said(said) => refusal::error(self.provider, status, &said, hints),
            Fault::Unreadable(message) => Error::Unreadable { provider: self.provider.name.clone(), message },
        }
    }
}

/// Reads the body of an answer whose status says that it is an error.
pub(super) fn read_error(provider: &Provider, status: u16, body: &[u8], hints: Hints) -> Error {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let said = said(provider.dialect, &parsed).unwrap_or_else(|| {
        // A proxy's page, say: its beginning is better than nothing.
        let text = String::from_utf8_lossy(body);
        Said { message: text.chars().take(200).collect(), ..Said::default() }
    });
    refusal::error(provider, status, &said, hints)
}

fn said(dialect: Dialect, body: &Value) -> Option<Said> {
    match dialect {
        Dialect::Openai => openai::error(body),
        Dialect::Anthropic => anthropic::error(body),
        Dialect::Gemini => gemini::error(body),
        Dialect::Ollama => ollama::error(body),
    }
}

/// What the system says, together: some dialects keep it apart from the conversation.
fn system_words(messages: &[Message]) -> String {
    let words = messages.iter().filter(|message| message.role == Role::System).map(Message::words);
    words.collect::<Vec<_>>().join("\n\n")
}

/// A schema as part of the instructions.
fn schema_in_words(wanted: &ResponseSchema) -> String {
    format!(
        "Answer with one JSON object and nothing else. It must be valid against this JSON Schema:\n{}",
        wanted.schema
    )
}

/// A string, or none.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A number, also where it comes as text or with a fraction; 0 where there is none.
fn number(value: &Value) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a float saturates, and usage is checked later"
    )]
    let rounded = |number: f64| number as i64;
    value
        .as_i64()
        .or_else(|| value.as_f64().map(rounded))
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or(0)
}
