//! A provider of models that says what the test has written down: an HTTP server on loopback, one answer after the
//! other, cut where the test wants it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The server. It ends with the test.
#[derive(Clone)]
pub(crate) struct Replay {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: VecDeque<Scripted>,
    /// What is said when no answer is left.
    otherwise: Option<Scripted>,
    /// What finds the answer by the question, where the order of questions is not known, and what lets each through.
    finds: Option<(Find, Arc<Semaphore>)>,
    asked: Vec<Asked>,
}

/// Finds the answer to the body of a question.
type Find = fn(&Value) -> Scripted;

/// An answer as it goes over the wire.
#[derive(Clone)]
pub(crate) struct Scripted {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection breaks after so many bytes of the body.
    cut: Option<usize>,
    /// The rest of the body behind the cut comes only when this has a permit.
    gate: Option<Arc<Semaphore>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method and path.
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Value,
}

impl Scripted {
    /// A whole answer.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    /// An answer in pieces.
    pub(crate) fn stream(body: &str) -> Self {
        Self::text(200, "text/event-stream", body)
    }

    /// Any answer.
    pub(crate) fn text(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec(), cut: None, gate: None }
    }

    /// Words of a model in OpenAI's dialect, in pieces.
    pub(crate) fn words(text: &str) -> Self {
        Self::turn(text, &[])
    }

    /// A turn of a model in OpenAI's dialect, in pieces: words, and tools with their arguments.
    pub(crate) fn turn(text: &str, calls: &[(&str, Value)]) -> Self {
        let chunk = |delta: Value, finish: Value| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        let mut events = vec![chunk(json!({"role": "assistant", "content": text}), Value::Null)];
        for (index, (name, arguments)) in calls.iter().enumerate() {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            let call = json!({"index": index, "id": format!("call_{index}"), "type": "function", "function": function});
            events.push(chunk(json!({"tool_calls": [call]}), Value::Null));
        }
        let finish = if calls.is_empty() { "stop" } else { "tool_calls" };
        events.push(chunk(json!({}), finish.into()));
        events.push(json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}));
        let mut body: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
        body.push_str("data: [DONE]\n\n");
        Self::stream(&body)
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Breaking off after so many bytes.
    pub(crate) fn cut(self, after: usize) -> Self {
        Self { cut: Some(after), ..self }
    }

    /// Pausing after so many bytes until `gate` has a permit.
    pub(crate) fn paused(self, after: usize, gate: &Arc<Semaphore>) -> Self {
        Self { cut: Some(after), gate: Some(Arc::clone(gate)), ..self }
    }
}

impl Replay {
    /// Listens on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let replay = Self { address, state };
        let server = replay.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let server = server.clone();
                // Whoever hangs up does not want to know the rest.
                tokio::spawn(async move { server.serve(socket).await });
            }
        });
        replay
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.address
    }

    /// Adds an answer behind those that wait.
    pub(crate) fn then(&self, answer: Scripted) -> &Self {
        self.state.lock().unwrap().answers.push_back(answer);
        self
    }

    /// What to say when nothing else is left.
    pub(crate) fn otherwise(&self, answer: Scripted) -> &Self {
        self.state.lock().unwrap().otherwise = Some(answer);
        self
    }

    /// Answers by what is asked, from now on, each time that `gate` has a permit.
    pub(crate) fn find(&self, answer: Find, gate: &Arc<Semaphore>) -> &Self {
        self.state.lock().unwrap().finds = Some((answer, Arc::clone(gate)));
        self
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    async fn serve(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let asked = read_request(&mut socket).await?;
        let (answer, gate) = {
            let mut state = self.state.lock().unwrap();
            let found = state.finds.as_ref().map(|(find, gate)| (find(&asked.body), Arc::clone(gate)));
            state.asked.push(asked);
            let (found, gate) = found.unzip();
            let next = found.or_else(|| state.answers.pop_front()).or_else(|| state.otherwise.clone());
            let none = || Scripted::json(500, &json!({"error": {"message": "no answer is left"}}));
            (next.unwrap_or_else(none), gate)
        };
        if let Some(gate) = gate {
            tokio::select! {
                permit = gate.acquire() => permit.unwrap().forget(),
                // Whoever asked is gone; the permit is for somebody else.
                _ = socket.read_u8() => return Ok(()),
            }
        }
        let mut head = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", answer.status);
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
        socket.write_all(head.as_bytes()).await?;
        let (now, later) =
            answer.body.split_at(answer.cut.unwrap_or(answer.body.len()).min(answer.body.len()));
        socket.write_all(now).await?;
        socket.flush().await?;
        if let Some(gate) = answer.gate {
            gate.acquire().await.unwrap().forget();
            socket.write_all(later).await?;
        }
        socket.shutdown().await
    }
}

impl Asked {
    /// A header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

async fn read_request(socket: &mut TcpStream) -> std::io::Result<Asked> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).await?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).await?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Ok(Asked { line, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}
