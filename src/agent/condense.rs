//! Makes a conversation short enough for a model, always in the same way.
//!
//! First what is old and long (results of calls, contents that were written) is replaced by a note of its size; if that
//! is not enough, whole old turns are replaced by a list of what was done in them. The rules and the task at the
//! beginning and the newest turns stay. It goes down to half of the limit, so that it is seldom needed and what a
//! provider has cached stays valid in between.

use serde_json::Value;

use crate::llm::{Message, Part, Role, ToolCall};

/// The rules and the task.
const HEAD: usize = 2;
/// Messages at the end whose contents stay whole.
const FRESH: usize = 8;
/// What is longer than this is replaced where it is old.
const LONG: usize = 400;

/// A shorter conversation, and a line for each thing that was done in the turns that are not in it any more.
pub(super) struct Condensed {
    pub(super) messages: Vec<Message>,
    pub(super) dropped: Vec<String>,
    /// How many messages are not there any more.
    pub(super) count: usize,
}

/// About how many tokens a conversation has: a token is about four bytes of text.
pub(super) fn tokens(messages: &[Message]) -> usize {
    messages.iter().map(size).sum::<usize>() / 4
}

/// The conversation with at most half of `limit` tokens, as far as the newest turn allows. `None`: it is short enough.
pub(super) fn condense(messages: &[Message], limit: usize) -> Option<Condensed> {
    if tokens(messages) <= limit {
        return None;
    }
    let target = limit / 2;
    let fresh = messages.len().saturating_sub(FRESH);
    let mut kept: Vec<Message> = messages.to_vec();
    for message in kept.iter_mut().take(fresh).skip(HEAD) {
        message.parts.retain(|part| !matches!(part, Part::Reasoning { .. }));
        message.parts.iter_mut().for_each(shorten);
    }
    let mut dropped = Vec::new();
    let mut count = 0;
    // Turns go whole: a call without its result, or a result without its call, is refused by every provider.
    while tokens(&kept) > target {
        let Some(length) = first_turn(&kept[HEAD.min(kept.len())..]) else { break };
        let turn: Vec<Message> = kept.drain(HEAD..HEAD + length).collect();
        dropped.extend(lines(&turn));
        count += turn.len();
    }
    if tokens(&kept) > target {
        // One turn is left, and it alone is too long.
        kept.iter_mut().skip(HEAD).flat_map(|message| &mut message.parts).for_each(shorten);
    }
    Some(Condensed { messages: kept, dropped, count })
}

/// How many messages the first turn has, if another one follows: an answer and what came of it, or words of ours.
fn first_turn(messages: &[Message]) -> Option<usize> {
    let begins = |message: &Message| message.role != Role::Tool;
    let next = messages.iter().skip(1).position(begins)? + 1;
    // The last answer stays, whatever it costs.
    let asked_again = messages[next..].iter().any(|message| message.role == Role::Assistant);
    asked_again.then_some(next)
}

/// What was done in a turn, one line for each call.
fn lines(turn: &[Message]) -> Vec<String> {
    let result = |id: &str| {
        turn.iter().flat_map(|message| &message.parts).find_map(|part| match part {
            Part::ToolResult { call_id, content, is_error } if call_id == id => Some((content, *is_error)),
            _ => None,
        })
    };
    let line = |call: &ToolCall| {
        let about = ["path", "command", "pattern", "folder", "url", "summary"];
        let about = about.iter().find_map(|name| call.arguments.get(name)?.as_str()).unwrap_or_default();
        let ended = match result(&call.id) {
            Some((content, true)) => format!("failed: {}", first_line(content, 120)),
            Some((content, false)) => first_line(content, 80).to_owned(),
            None => "no result".to_owned(),
        };
        format!("- {} {}: {ended}", call.name, first_line(about, 100))
    };
    turn.iter().flat_map(Message::tool_calls).map(line).collect()
}

fn first_line(text: &str, most: usize) -> &str {
    let line = text.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(most)]
}

/// Replaces what is long in a part.
fn shorten(part: &mut Part) {
    match part {
        Part::ToolResult { content, .. } if content.len() > LONG => {
            let first = first_line(content, 160);
            *content = format!(
                "{first}\n[{} bytes left out to save room; call the tool again to see them]",
                content.len()
            );
        }
        Part::ToolCall(call) => {
            for value in call.arguments.as_object_mut().into_iter().flat_map(|fields| fields.values_mut()) {
                if let Value::String(text) = value
                    && text.len() > LONG
                {
                    *text = format!("[{} bytes left out to save room]", text.len());
                }
            }
        }
        _ => {}
    }
}

fn size(message: &Message) -> usize {
    let part = |part: &Part| match part {
        Part::Text { text } | Part::Reasoning { text, .. } => text.len(),
        // Providers count a picture as about 1500 tokens.
        Part::Image { .. } => 6000,
        Part::ToolCall(call) => call.name.len() + call.arguments.to_string().len(),
        Part::ToolResult { content, .. } => content.len(),
    };
    16 + message.parts.iter().map(part).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn conversation(turns: usize, bytes: usize) -> Vec<Message> {
        let mut messages = vec![Message::text(Role::System, "rules"), Message::text(Role::User, "task")];
        for turn in 0..turns {
            let id = format!("call-{turn}");
            let arguments = json!({"path": format!("file{turn}.txt"), "content": "x".repeat(bytes)});
            let call = ToolCall { id: id.clone(), name: "write_file".to_owned(), arguments, signature: None };
            messages.push(Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] });
            messages.push(Message::result(id, format!("Wrote it.\n{}", "y".repeat(bytes)), false));
        }
        messages
    }

    /// Every result has its call right before it, and the other way round.
    fn assert_whole(messages: &[Message]) {
        let mut open: Vec<String> = Vec::new();
        for message in messages {
            for part in &message.parts {
                match part {
                    Part::ToolCall(call) => open.push(call.id.clone()),
                    Part::ToolResult { call_id, .. } => {
                        let place =
                            open.iter().position(|id| id == call_id).expect("a result without its call");
                        open.remove(place);
                    }
                    _ => {}
                }
            }
        }
        assert!(open.is_empty(), "calls without results: {open:?}");
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert!(condense(&conversation(3, 100), 10_000).is_none());
    }

    #[test]
    fn old_contents_go_first_and_the_newest_turns_stay_whole() {
        let long = conversation(20, 4000);
        let short = condense(&long, 30_000).unwrap();
        assert!(tokens(&short.messages) <= 15_000);
        assert_eq!((short.count, short.messages.len()), (0, long.len()));
        assert_eq!(short.messages[..2], long[..2]);
        assert_eq!(short.messages[long.len() - 8..], long[long.len() - 8..]);
        assert_whole(&short.messages);
    }

    #[test]
    fn whole_turns_go_next_and_what_was_done_is_told() {
        let long = conversation(400, 500);
        let short = condense(&long, 8_000).unwrap();
        assert!(tokens(&short.messages) <= 4_000);
        assert_eq!(short.messages[..2], long[..2]);
        assert!(short.dropped[0].starts_with("- write_file file0.txt: Wrote it."), "{}", short.dropped[0]);
        assert_eq!(short.dropped.len() * 2, short.count);
        assert_whole(&short.messages);
        assert_eq!(condense(&long, 8_000).unwrap().messages, short.messages, "always the same");
    }

    #[test]
    fn one_turn_that_is_too_long_by_itself_is_shortened() {
        let short = condense(&conversation(1, 400_000), 10_000).unwrap();
        assert!(tokens(&short.messages) < 5_000);
        assert_whole(&short.messages);
    }
}
