//! A thousand subscribers of one job, and some that never read.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Socket, is_end, next_frame};
use super::{PATIENCE, eventually, holds, within};
use crate::support::TestApp;
use crate::support::stage::Stage;

const SUBSCRIBERS: usize = 1000;
/// Each is an event of progress and a line of the log.
const LINES: i64 = 50;
const KIB: u64 = 1024;

/// A server in this process, so that its jobs can be scripted, behind a real port.
struct Theatre {
    app: TestApp,
    address: SocketAddr,
    token: String,
    /// Declared last: the jobs play on it.
    _stage: Stage,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_see_every_event_in_order() {
    raise_open_files();
    let theatre = Theatre::open().await;
    let job = theatre.announce(&json!({"play": "chat", "times": LINES})).await;
    let mut subscribers: Vec<JoinHandle<Vec<i64>>> = Vec::new();
    for _ in 0..SUBSCRIBERS {
        let mut socket = theatre.subscribe(&job).await;
        assert_eq!(next_frame(&mut socket).await.unwrap()["type"], "connected");
        subscribers.push(tokio::spawn(numbers(socket)));
    }
    assert_eq!(theatre.app.app.sockets.count(), SUBSCRIBERS);

    let begun = Instant::now();
    theatre.begin().await;

    // Queued, started, the lines, completed.
    let all: Vec<_> = (1..=2 * LINES + 3).collect();
    for subscriber in subscribers {
        assert_eq!(within(PATIENCE, "a subscriber sees the end", subscriber).await.unwrap(), all);
    }
    eprintln!("{} deliveries in {:?}", SUBSCRIBERS * all.len(), begun.elapsed());
    theatre.until_sockets(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_cut_off_and_cost_the_others_nothing() {
    const DEAF: u64 = 60;
    // More than the buffers of a connection take: the kernel's on this side, four MiB, are the largest.
    const LONG: i64 = 120;
    let theatre = Theatre::open().await;
    let size = 64 * KIB;
    let all = LONG.unsigned_abs() * size;
    let job = theatre.announce(&json!({"play": "chat", "times": LONG, "size": size})).await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        deaf.push(theatre.deaf(&job).await);
    }
    let mut socket = theatre.subscribe(&job).await;
    next_frame(&mut socket).await.unwrap();
    let listening = tokio::spawn(numbers(socket));
    let before = memory();

    let begun = Instant::now();
    theatre.begin().await;

    // Far less than the server's patience with the others.
    let seen = within(Duration::from_secs(8), "the one that reads sees the end", listening).await.unwrap();
    let took = begun.elapsed();
    assert_eq!(seen, (1..=2 * LONG + 3).collect::<Vec<_>>());
    let grown = memory().saturating_sub(before);
    eprintln!("seen after {took:?}; {} MiB more", grown / KIB / KIB);
    assert!(grown < DEAF * all / 3, "{} MiB for {DEAF} clients that do not read", grown / KIB / KIB);
    theatre.until_sockets(0).await;
    for connection in deaf {
        assert_cut_off(connection, all).await;
    }
}

impl Theatre {
    async fn open() -> Self {
        let stage = Stage::new();
        let app = TestApp::on_stage(&stage, &[("limits.requests_per_minute", "0")]).await;
        let (address, token) = (app.listen().await, app.admin().await.access);
        Self { app, address, token, _stage: stage }
    }

    /// Submits a scripted job that does not begin yet.
    async fn announce(&self, script: &Value) -> String {
        self.app.app.jobs.set_paused("builds", true).await.unwrap();
        self.app.play(script).await.to_string()
    }

    /// Lets it begin.
    async fn begin(&self) {
        self.app.app.jobs.set_paused("builds", false).await.unwrap();
    }

    async fn subscribe(&self, job: &str) -> Socket {
        let url = format!("ws://{}{}", self.address, self.path(job));
        within(PATIENCE, "a socket opens", tokio_tungstenite::connect_async(url)).await.unwrap().0
    }

    /// Opens a socket by hand, and reads nothing more once it is open.
    async fn deaf(&self, job: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.path(job),
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        within(PATIENCE, "a socket opens", stream.read_exact(&mut head)).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        stream
    }

    fn path(&self, job: &str) -> String {
        format!("/ws/jobs/{job}?token={}", self.token)
    }

    async fn until_sockets(&self, wanted: usize) {
        let look = async || {
            let open = self.app.app.sockets.count();
            holds(open == wanted, open)
        };
        eventually(Duration::from_secs(30), "the sockets are closed", look).await;
    }
}

/// The numbers of all events until the job ends; after that the server must close with 1000.
async fn numbers(mut socket: Socket) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(frame) = next_frame(&mut socket).await {
        numbers.push(frame["seq"].as_i64().unwrap());
        if is_end(&frame) {
            let last = within(PATIENCE, "the socket is closed", futures::StreamExt::next(&mut socket)).await;
            let Some(Ok(Message::Close(Some(close)))) = last else { panic!("closed with {last:?}") };
            assert_eq!(u16::from(close.code), 1000);
            break;
        }
    }
    numbers
}

/// What was still in the buffers ends before all was sent, with 1013 or without a word.
async fn assert_cut_off(mut connection: TcpStream, all: u64) {
    let mut rest = Vec::new();
    let _ = within(PATIENCE, "the connection ends", connection.read_to_end(&mut rest)).await;
    assert!((rest.len() as u64) < all, "all {} bytes were sent to somebody who did not read", rest.len());
}

/// Resident memory of this process, which is the server's too.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * KIB
}

/// Two thousand ends of sockets are two thousand files.
fn raise_open_files() {
    let raised =
        Command::new("prlimit").args(["--pid", &std::process::id().to_string(), "--nofile=4096:"]).status();
    assert!(raised.is_ok_and(|status| status.success()), "the limit of open files cannot be raised");
}
