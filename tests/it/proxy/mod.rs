//! Tests of `proxy`: what it lets through, what it does not, and what commands behind it can reach.

mod inside;
mod packages;
mod talking;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use codeyard::proxy::{Hosts, Policy, Proxy, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A policy that lets these hosts through, which all stand for this machine, where it may go.
fn policy<H: AsRef<str>>(hosts: &[H]) -> Policy {
    Policy {
        hosts: Hosts::parse(hosts).unwrap(),
        private_networks: vec!["127.0.0.0/8".parse().unwrap()],
        known: ["one.test", "two.test"].map(|name| (name.to_owned(), IpAddr::V4(Ipv4Addr::LOCALHOST))).into(),
        bytes: 1 << 30,
        connections: 16,
    }
}

/// The proxy at an address of this machine.
struct Served {
    proxy: Arc<Proxy>,
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    async fn with(policy: Policy) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let proxy = Proxy::new(policy);
        let task = tokio::spawn(Arc::clone(&proxy).serve(listener));
        Self { proxy, at, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// Sends this over a connection of its own, and reads to the end.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        String::from_utf8_lossy(&said).into_owned()
    }

    /// The one host that was counted.
    #[track_caller]
    fn traffic(&self) -> Traffic {
        let mut all = self.proxy.take_traffic();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }
}

/// A server that writes down what arrives, as it came, and answers each connection once it has read this much.
struct Upstream {
    port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Upstream {
    /// Answers whatever ends a head, or a body of a length that is told.
    async fn start(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), answer.clone());
                tokio::spawn(async move {
                    let mut piece = [0; 4096];
                    while let Ok(length @ 1..) = stream.read(&mut piece).await {
                        kept.lock().unwrap().extend_from_slice(&piece[..length]);
                        let _ = stream.write_all(&answer).await;
                    }
                });
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

/// A short answer that ends the connection.
fn fine() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nKeep-Alive: x\r\n\r\nfine".to_vec()
}
