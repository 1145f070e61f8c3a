//! Tells whoever watches what the model and its tools do, in pieces that do not flood the log.
//!
//! What comes in drops (words, thoughts, output) is gathered and said several times a second; nothing of it is lost.
//! What happens at once (a call, a result, a changed file) is said at once, as long as the job has not said too much
//! lately; then the build waits a moment. Over any time of `t` seconds a job says at most `BURST + 20 t` things.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::jobs::Context;
use crate::llm::Delta;
use crate::proxy::Traffic;
use crate::sandbox::Stream;

/// How long drops are gathered.
pub(super) const GATHER: Duration = Duration::from_millis(100);
/// Events a second, in the long run.
const RATE: f64 = 20.0;
/// Events that may come faster, before the rate applies.
const BURST: f64 = 240.0;
/// Bytes of one command's output that are shown as they come; the rest stands in its result.
const MOST_OUTPUT: usize = 256 << 10;
const NOT_SHOWN: &[u8] = b"\n[... what follows is not shown as it comes: the result has it ...]\n";
/// An event holds no more text than this; a flood becomes several.
const PIECE: usize = 32 << 10;

/// The voice of one build.
pub struct Voice<'a> {
    context: &'a Context,
    heard: Mutex<Heard>,
}

/// What was heard and not yet said.
struct Heard {
    thoughts: String,
    words: String,
    output: Vec<Output>,
    call: String,
    shown: usize,
    tokens: f64,
    since: Instant,
}

struct Output {
    stream: Stream,
    bytes: Vec<u8>,
}

#[derive(Serialize)]
struct Words<'a> {
    kind: &'static str,
    text: &'a str,
}

impl<'a> Voice<'a> {
    /// The voice of the job whose context this is.
    pub fn new(context: &'a Context) -> Self {
        let heard = Heard {
            thoughts: String::new(),
            words: String::new(),
            output: Vec::new(),
            call: String::new(),
            shown: 0,
            tokens: BURST,
            since: Instant::now(),
        };
        Self { context, heard: Mutex::new(heard) }
    }

    /// The model says something.
    pub(super) fn hear(&self, delta: Delta) {
        let mut heard = self.heard();
        match delta {
            Delta::Text { text } => heard.words.push_str(&text),
            Delta::Reasoning { text } => heard.thoughts.push_str(&text),
            // What is called, and with what, is said when it is whole.
            Delta::ToolCall { .. } | Delta::Arguments { .. } => {}
        }
    }

    /// A command begins; what is [`Voice::see`]n from now on is its output.
    pub fn expect_output_of(&self, call: &str) {
        let mut heard = self.heard();
        call.clone_into(&mut heard.call);
        heard.shown = 0;
    }

    /// The command writes something.
    pub fn see(&self, stream: Stream, bytes: &[u8]) {
        let mut heard = self.heard();
        let room = MOST_OUTPUT.saturating_sub(heard.shown);
        // Said once: whoever has shown more than there is room for has said it.
        let is_end = bytes.len() > room && heard.shown <= MOST_OUTPUT;
        let cut = is_end.then(|| [&bytes[..room], NOT_SHOWN].concat());
        let bytes = cut.as_deref().unwrap_or(&bytes[..bytes.len().min(room)]);
        heard.shown += bytes.len();
        match heard.output.last_mut().filter(|last| last.stream == stream) {
            Some(last) => last.bytes.extend_from_slice(bytes),
            None if bytes.is_empty() => {}
            None => heard.output.push(Output { stream, bytes: bytes.to_vec() }),
        }
    }

    /// What a command has reached, or tried to.
    pub async fn tell_traffic(&self, hosts: &[Traffic]) {
        if hosts.is_empty() {
            return;
        }
        let call = self.heard().call.clone();
        let named = |about: &dyn Fn(&Traffic) -> bool| {
            let names: Vec<&str> =
                hosts.iter().filter(|t| about(t)).map(|t| t.host.as_str()).take(10).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let (reached, refused) =
            (named(&|traffic| traffic.passed > 0), named(&|traffic| traffic.refused > 0));
        let message = format!("reached {reached}; refused: {refused}");
        self.say("network", Some(&message), &json!({ "call_id": call, "hosts": hosts })).await;
    }

    /// Waits for something, and meanwhile says what is heard.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(GATHER);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                _ = ticks.tick() => {}
            }
            let say = std::pin::pin!(async {
                self.flush(false).await;
                self.context.tell().await;
            });
            // Side by side: the work may hold what the log is waiting for.
            match select(work.as_mut(), say).await {
                Either::Left((done, say)) => {
                    say.await;
                    break done;
                }
                Either::Right(_) => {}
            }
        };
        self.flush(true).await;
        done
    }

    /// Says something that happened at once, after what was heard before it.
    pub async fn say(&self, name: &str, message: Option<&str>, data: &Value) {
        self.flush(true).await;
        self.pace().await;
        self.context.event(name, message, data).await;
    }

    /// Says what was heard. Unless all must be said, the beginning of a character stays until its end is there.
    async fn flush(&self, all: bool) {
        let (thoughts, words, output, call) = {
            let mut heard = self.heard();
            let output = mem::take(&mut heard.output);
            let mut whole = Vec::with_capacity(output.len());
            for mut piece in output {
                let rest = if all { Vec::new() } else { piece.bytes.split_off(end_of_text(&piece.bytes)) };
                if !rest.is_empty() {
                    heard.output.push(Output { stream: piece.stream, bytes: rest });
                }
                whole.push(piece);
            }
            (mem::take(&mut heard.thoughts), mem::take(&mut heard.words), whole, heard.call.clone())
        };
        for (kind, text) in [("reasoning", &thoughts), ("message", &words)] {
            for text in pieces(text) {
                self.pace().await;
                self.context.event("thinking", None, &Words { kind, text }).await;
            }
        }
        for piece in output {
            for text in pieces(&String::from_utf8_lossy(&piece.bytes)) {
                self.pace().await;
                let data = json!({ "call_id": call, "stream": piece.stream, "text": text });
                self.context.event("command", None, &data).await;
            }
        }
    }

    /// Waits until another event may be said.
    async fn pace(&self) {
        let wait = {
            let mut heard = self.heard();
            let now = Instant::now();
            let gained = now.duration_since(heard.since).as_secs_f64() * RATE;
            heard.tokens = (heard.tokens + gained).min(BURST) - 1.0;
            heard.since = now;
            (heard.tokens < 0.0).then(|| Duration::from_secs_f64(-heard.tokens / RATE))
        };
        if let Some(wait) = wait {
            self.context.tell().await;
            tokio::time::sleep(wait).await;
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text in pieces that fit into an event.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Where the last whole character ends, if a beginning follows it.
fn end_of_text(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_between_characters_and_nothing_is_lost() {
        let text = "é".repeat(PIECE);
        let all: Vec<&str> = pieces(&text).collect();
        assert!(all.len() > 1 && all.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(all.concat(), text);
        assert_eq!(pieces("").count(), 0);
    }

    #[test]
    fn half_a_character_waits_for_its_other_half() {
        assert_eq!(end_of_text("aé".as_bytes()), 3);
        assert_eq!(end_of_text(&"aé".as_bytes()[..2]), 1);
        assert_eq!(end_of_text(&[b'a', 0xff, b'b']), 3, "what is no text is shown as it is");
    }
}
