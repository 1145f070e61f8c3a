//! Streams in all pieces: cut up anywhere they say the same, and cut off anywhere they say that they are.

use codeyard::llm::providers::Provider;
use codeyard::llm::wire::Reader;
use codeyard::llm::{Delta, Error, Finish, Reply};
use serde_json::json;

use super::{RECORDED, Recorded};

/// Reads these pieces, one after the other, as they would come over the wire.
fn read(provider: &Provider, pieces: &[&[u8]]) -> (Result<Reply, Error>, Vec<Delta>) {
    let mut reader = Reader::new(provider);
    let mut heard = Vec::new();
    for piece in pieces {
        match reader.feed(piece, &mut |delta| heard.push(delta)) {
            Ok(false) => {}
            Ok(true) => break,
            Err(error) => return (Err(error), heard),
        }
    }
    let reply = reader.finish(&mut |delta| heard.push(delta));
    (reply, heard)
}

fn by_name(name: &str) -> &'static Recorded {
    RECORDED.iter().find(|recorded| recorded.name == name).unwrap()
}

/// A stream of these events in OpenAI's dialect.
fn events(events: &[serde_json::Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>() + "data: [DONE]\n\n"
}

#[test]
fn a_stream_cut_up_anywhere_gives_the_same_text_calls_usage_and_pieces() {
    for recorded in &RECORDED {
        let (provider, stream) = (recorded.provider(), recorded.stream());
        let bytes = stream.as_bytes();
        let (whole, heard) = read(&provider, &[bytes]);
        let whole = whole.unwrap();
        recorded.check(&whole, "in one piece");
        for at in 0..=bytes.len() {
            let (reply, pieces) = read(&provider, &[&bytes[..at], &bytes[at..]]);
            assert_eq!(reply.as_ref(), Ok(&whole), "{} cut up at {at}", recorded.name);
            assert_eq!(pieces, heard, "{} cut up at {at}", recorded.name);
        }
        for size in [1, 2, 3, 7] {
            let (reply, pieces) = read(&provider, &bytes.chunks(size).collect::<Vec<_>>());
            assert_eq!(
                (reply, &pieces),
                (Ok(whole.clone()), &heard),
                "{} in pieces of {size}",
                recorded.name
            );
        }
    }
}

#[test]
fn a_stream_cut_off_at_any_byte_says_so_or_is_whole() {
    for recorded in &RECORDED {
        let (provider, stream) = (recorded.provider(), recorded.stream());
        let bytes = stream.as_bytes();
        let mut whole_from = None;
        for at in 0..bytes.len() {
            match read(&provider, &[&bytes[..at]]).0 {
                Err(error) => {
                    assert_eq!(error, Error::Cut { provider: recorded.name.to_owned() }, "cut off at {at}");
                    assert_eq!(whole_from, None, "{} is whole and then not, at {at}", recorded.name);
                }
                Ok(reply) => {
                    recorded.check(&reply, "with its very end cut off");
                    whole_from.get_or_insert(at);
                }
            }
        }
        // Only the mark of the end may be missing, behind the reason why the model stopped and the count of tokens.
        let end = whole_from.unwrap_or(bytes.len());
        assert!(bytes.len() - end <= 70, "{}: {} bytes were not needed", recorded.name, bytes.len() - end);
    }
}

#[test]
fn a_whole_answer_says_the_same_as_the_stream_and_half_of_it_is_unreadable() {
    for recorded in &RECORDED {
        let (provider, body) = (recorded.provider(), recorded.whole());
        let mut reader = Reader::new(&provider);
        reader.whole(body.as_bytes(), &mut |_| {}).unwrap();
        recorded.check(&reader.finish(&mut |_| {}).unwrap(), "as a whole");
        let half = Reader::new(&provider).whole(&body.as_bytes()[..body.len() / 2], &mut |_| {});
        assert!(matches!(half, Err(Error::Unreadable { .. })), "{}: {half:?}", recorded.name);
        for nothing in ["{}", "[]", "null", "\"\"", "{\"choices\": []}", "{\"candidates\": 1}"] {
            let read = Reader::new(&provider).whole(nothing.as_bytes(), &mut |_| {});
            assert!(matches!(read, Err(Error::Unreadable { .. })), "{}: {nothing}: {read:?}", recorded.name);
        }
    }
}

#[test]
fn an_error_in_the_middle_of_a_stream_is_told_from_its_end() {
    let middle = |name: &str, event: &str| {
        let recorded = by_name(name);
        let stream = recorded.stream();
        let gap = match name {
            "ollama" => "\n",
            "gemini" => "\r\n\r\n",
            _ => "\n\n",
        };
        let half = stream.len() / 2;
        let at = half + stream[half..].find(gap).unwrap() + gap.len();
        read(&recorded.provider(), &[&stream.as_bytes()[..at], event.as_bytes()]).0.unwrap_err()
    };
    let overloaded = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    assert!(matches!(middle("anthropic", overloaded), Error::Overloaded { .. }));
    let broken = middle("ollama", "{\"error\":\"an error was encountered while running the model\"}\n");
    assert!(
        matches!(&broken, Error::Overloaded { message, .. } if message.contains("running the model")),
        "{broken}"
    );
    let limited = "data: {\"error\":{\"code\":429,\"message\":\"Resource exhausted\",\"status\":\"RESOURCE_EXHAUSTED\"}}\n\n";
    assert!(matches!(middle("gemini", limited), Error::RateLimited { .. }));
    let limited = "data: {\"base_resp\":{\"status_code\":1002,\"status_msg\":\"rate limit\"}}\n\n";
    assert!(matches!(middle("minimax", limited), Error::RateLimited { .. }));
    let limited = "data: {\"error_code\":336501,\"error_msg\":\"Rate limit reached for RPM\"}\n\n";
    assert!(matches!(middle("baidu", limited), Error::RateLimited { .. }));
    let nonsense = middle("openai", "data: <html>\n\n");
    assert!(matches!(nonsense, Error::Unreadable { .. }), "{nonsense}");
}

#[test]
fn hostile_answers_are_read_as_what_they_are() {
    let openai = &by_name("openai").provider();
    let said = |delta: serde_json::Value, finish: &str| {
        let chunk = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
        read(openai, &[events(&[chunk, usage]).as_bytes()]).0.unwrap()
    };
    let call = |arguments: &str| {
        let function = json!({"name": "no such tool", "arguments": arguments});
        let reply =
            said(json!({"tool_calls": [{"index": 7, "id": "x", "function": function}]}), "tool_calls");
        reply.message.tool_calls().next().unwrap().arguments.clone()
    };
    assert_eq!(call("{\"path\": \"a"), json!("{\"path\": \"a"), "what is no JSON stays as it came");
    assert_eq!(call("[1, 2]"), json!("[1, 2]"));
    assert_eq!(call(""), json!({}));
    let deep = "[".repeat(100_000);
    assert_eq!(call(&deep), json!(deep));
    assert_eq!(said(json!({"content": "x"}), "because").finish, Finish::Other("because".to_owned()));
    assert_eq!(said(json!({"refusal": "I will not."}), "stop").finish, Finish::Refused);
    assert_eq!(said(json!({"content": 3, "tool_calls": {"a": 1}}), "stop").finish, Finish::Stop);
    let usage = json!({"choices": [], "usage": {"prompt_tokens": -5, "completion_tokens": 1e300}});
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]});
    let counted = read(openai, &[events(&[chunk, usage]).as_bytes()]).0.unwrap().usage.unwrap();
    assert!(counted.input_tokens == 0 && counted.output_tokens < 1 << 40, "{counted:?}");

    let flood = format!("data: {}\n\n", json!({"choices": [{"delta": {"content": "x".repeat(1 << 20)}}]}));
    let pieces: Vec<&[u8]> = std::iter::repeat_n(flood.as_bytes(), 20).collect();
    assert!(matches!(read(openai, &pieces).0, Err(Error::Unreadable { .. })), "an answer without end");
    let endless = vec![b'x'; 17 << 20];
    assert!(matches!(read(openai, &[&endless]).0, Err(Error::Unreadable { .. })), "a line without end");
}

#[test]
fn calls_that_share_a_number_are_told_apart_by_their_ids() {
    let call = |id: &str, arguments: &str| {
        let call = json!({"index": 0, "id": id, "function": {"name": "f", "arguments": arguments}});
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": null}]})
    };
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    let stream = events(&[call("a", "{\"n\": 1}"), call("b", "{\"n\": 2}"), end]);
    let reply = read(&by_name("openai").provider(), &[stream.as_bytes()]).0.unwrap();
    let calls: Vec<_> =
        reply.message.tool_calls().map(|call| (call.id.as_str(), &call.arguments["n"])).collect();
    assert_eq!(calls, [("a", &json!(1)), ("b", &json!(2))]);
    assert_eq!(reply.finish, Finish::ToolCalls, "it waits for its tools, whatever it says");
}
