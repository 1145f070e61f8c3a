//! A network of the command's own, with one address in it that answers.
//!
//! The init opens a listener there and hands it out to the server before it becomes the command. What connects to it
//! is talked to by the server, from outside: the command gets neither the host's network nor a socket that leads to it,
//! and when the run is over there is nobody left to listen.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::TcpListener;

use super::command::Serve;

/// Where a command finds whoever serves it ([`super::Network::Served`]).
pub const SERVED_AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 3128);

/// How the init's listener comes to the server.
pub(super) struct Handover {
    ours: tokio::net::UnixStream,
    theirs: OwnedFd,
}

impl Handover {
    pub(super) fn new() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok(Self { ours: tokio::net::UnixStream::from_std(ours)?, theirs: theirs.into() })
    }

    /// The init's end, by its number: the process that becomes the init must keep it open.
    pub(super) fn theirs(&self) -> RawFd {
        self.theirs.as_raw_fd()
    }

    /// Serves whoever connects. Never ends by itself: the init's end stays open as long as this one.
    pub(super) async fn serve<T>(&self, serve: &Serve) -> T {
        match receive(&self.ours).await {
            Ok(listener) => serve.with(listener).await,
            Err(error) => tracing::warn!(%error, "a command's network has no way out"),
        }
        std::future::pending().await
    }
}

async fn receive(from: &tokio::net::UnixStream) -> io::Result<TcpListener> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut received = RecvAncillaryBuffer::new(&mut space);
    let read = || {
        let mut bytes = [IoSliceMut::new(&mut byte)];
        Ok(recvmsg(from, &mut bytes, &mut received, RecvFlags::CMSG_CLOEXEC)?)
    };
    from.async_io(Interest::READABLE, read).await?;
    let sent = received.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sent) => sent.next(),
        _ => None,
    });
    let sent = sent.ok_or_else(|| io::Error::other("the init sent no listener"))?;
    let listener = std::net::TcpListener::from(sent);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The init's part: opens the listener and sends it through that descriptor.
#[expect(unsafe_code, reason = "the descriptor was inherited, so only its number is known")]
pub(super) fn hand_over(to: RawFd) -> io::Result<()> {
    let listener = std::net::TcpListener::bind(SERVED_AT)?;
    // SAFETY: the server has left it open for this, and nobody closes it before this process restricts itself.
    let to = unsafe { BorrowedFd::borrow_raw(to) };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    let sent = [listener.as_fd()];
    message.push(SendAncillaryMessage::ScmRights(&sent));
    sendmsg(to, &[IoSlice::new(b"x")], &mut message, SendFlags::NOSIGNAL)?;
    Ok(())
}
