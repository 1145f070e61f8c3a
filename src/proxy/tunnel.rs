//! Two ends of a tunnel that carries TLS to the host it was made for.
//!
//! Whoever serves many hosts at one address asks the client which it means, in the first message, in the clear. A
//! tunnel to a host that is allowed would otherwise lead to every other one behind the same address.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::exchange::Line;
use super::hosts::Target;
use super::meter::Way;
use super::refusal::Refusal;

/// How long the first message may take, and how long both may be silent.
const HELLO: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(120);
/// The longest first message.
const MOST_HELLO: usize = 64 << 10;

/// Lets the two talk until one of them has gone, or has said enough.
pub(super) async fn run(
    line: &Line,
    target: &Target,
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut server: TcpStream,
) {
    let name = target.to_string();
    let meter = &line.proxy.meter;
    let Ok(Ok(hello)) = tokio::time::timeout(HELLO, hello(&mut client, &target.host)).await else {
        meter.refused(&name, &Refusal::NotTls);
        return;
    };
    if meter.spend(&name, Way::Out, hello.len()).is_err() || server.write_all(&hello).await.is_err() {
        return;
    }
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = server.split();
    let talks = AtomicBool::new(true);
    let spend = |way, bytes| {
        talks.store(true, Ordering::Relaxed);
        meter.spend(&name, way, bytes).map_err(io::Error::other)
    };
    let talk = async {
        // How it ends is between the two.
        let _ = tokio::try_join!(
            pass(from_client, to_server, |bytes| spend(Way::Out, bytes)),
            pass(from_server, to_client, |bytes| spend(Way::In, bytes)),
        );
    };
    let silence = async {
        while talks.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(IDLE).await;
        }
    };
    tokio::select! {
        () = talk => {}
        () = silence => {}
    }
}

/// Reads the first message, which must be one of TLS that names this host (or none, where that is an address).
async fn hello(client: &mut (impl AsyncRead + Unpin), host: &str) -> io::Result<Vec<u8>> {
    let mut acceptor = Acceptor::default();
    let mut hello = Vec::new();
    let mut piece = [0; 4096];
    while hello.len() < MOST_HELLO {
        let length = client.read(&mut piece).await?;
        let mut rest = &piece[..length];
        hello.extend_from_slice(rest);
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let means = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                let is_address = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
                let fits = means.map_or(is_address, |name| name == host);
                return if fits { Ok(hello) } else { Err(io::Error::other("it is meant for another host")) };
            }
            Ok(None) if length > 0 => {}
            Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err((error, _)) => return Err(io::Error::other(error)),
        }
    }
    Err(io::Error::other("it is too long"))
}

/// Passes on what comes, one way.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    spend: impl Fn(usize) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = vec![0; 16 << 10];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        spend(length)?;
        to.write_all(&piece[..length]).await?;
    }
}
