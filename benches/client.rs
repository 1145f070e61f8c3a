//! A client that costs little: HTTP/1.1 over connections that are kept, a few bytes looked at.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer: its status and body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(8192) }
    }

    pub(crate) async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.unwrap();
        self.buffer.clear();
        loop {
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the server hung up");
            let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            let whole = end + 4 + length.unwrap_or(0_usize);
            if self.buffer.len() >= whole {
                let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
                return Answer { status, body: self.buffer[end + 4..whole].to_vec() };
            }
        }
    }
}

/// A request as bytes.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: codeyard\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Sends the same request over `connections` connections for `time`; says how many a second, and how long they took.
pub(crate) async fn load(address: SocketAddr, connections: usize, time: Duration, request: &[u8]) -> String {
    let until = Instant::now() + time;
    let clients: Vec<_> =
        (0..connections).map(|_| tokio::spawn(one(address, until, request.to_vec()))).collect();
    let mut waits = Vec::new();
    for client in clients {
        waits.extend(client.await.unwrap());
    }
    format!("{:.0} /s, {}", waits.len() as f64 / time.as_secs_f64(), percentiles(&mut waits))
}

async fn one(address: SocketAddr, until: Instant, request: Vec<u8>) -> Vec<Duration> {
    let mut connection = Connection::open(address).await;
    let mut waits = Vec::new();
    while Instant::now() < until {
        let before = Instant::now();
        let answer = connection.ask(&request).await;
        assert!((200..300).contains(&answer.status), "{}", String::from_utf8_lossy(&answer.body));
        waits.push(before.elapsed());
    }
    waits
}

/// The median and the 99th percentile.
pub(crate) fn percentiles(waits: &mut [Duration]) -> String {
    waits.sort_unstable();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99))
}
