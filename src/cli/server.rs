//! A server from its first moment to its last: `serve` and `demo` run the same one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::runtime::OpenFiles;
use crate::app::App;
use crate::auth::FirstAdmin;
use crate::clock::Clock;
use crate::config::Config;
use crate::http;

/// How long sockets may take to read that the server closes, and the database to close.
const LAST_WORDS: Duration = Duration::from_secs(2);
const CLOSING: Duration = Duration::from_secs(5);
/// Ended by Ctrl-C, as shells count it.
const INTERRUPTED: i32 = 130;

/// A server that answers.
pub(super) struct Server {
    pub(super) site: Arc<Site>,
    signals: Signals,
    stop: CancellationToken,
    serving: JoinHandle<io::Result<()>>,
}

/// What there is to know of a server while it runs.
pub(super) struct Site {
    pub(super) app: App,
    /// Where it listens.
    address: SocketAddr,
    /// How to sign in, on the very first start.
    pub(super) first_admin: Option<FirstAdmin>,
}

impl Server {
    /// Listens, starts the parts, and answers.
    pub(super) async fn start(config: Config, clock: Clock) -> anyhow::Result<Self> {
        if let Err(error) = OpenFiles::raise() {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
        // Before anything is touched: an address that is taken should be all that is said.
        let listener = listen(config.server.listen).await?;
        let address = listener.local_addr()?;
        let signals = Signals::new()?;
        let app = App::start(config, clock).await?;
        let first_admin = app.auth.first_admin().await?;
        app.warm_up();
        let stop = CancellationToken::new();
        let serving = {
            let (app, stop) = (app.clone(), stop.clone());
            tokio::spawn(async move { http::serve(&app, listener, stop.cancelled_owned()).await })
        };
        Ok(Self { site: Arc::new(Site { app, address, first_admin }), signals, stop, serving })
    }

    /// Waits until somebody asks it to stop; an error if it stops by itself.
    pub(super) async fn until_asked(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            name = self.signals.next() => {
                tracing::info!(signal = name, "stopping");
                Ok(())
            }
            ended = &mut self.serving => {
                ended.context("the server's task failed")?.context("the server cannot listen any more")?;
                anyhow::bail!("the server stopped listening")
            }
        }
    }

    /// Ends well: takes no more connections, lets requests and jobs finish within the grace time, tells sockets,
    /// gives back what is left. A second signal ends the process at once.
    pub(super) async fn stop(mut self) {
        let app = &self.site.app;
        self.stop.cancel();
        let second = async {
            let name = self.signals.next().await;
            tracing::warn!(
                signal = name,
                "ending at once; unfinished jobs run again when their lease is over"
            );
            std::process::exit(INTERRUPTED);
        };
        let grace = Duration::from_secs(app.config.engine.drain_grace_seconds);
        let finish = async {
            // A client that does not take its answer must not keep us.
            let answered = async {
                if !self.serving.is_finished()
                    && tokio::time::timeout(grace, &mut self.serving).await.is_err()
                {
                    tracing::warn!(requests = app.doors.in_flight(), "requests did not finish");
                    self.serving.abort();
                }
            };
            tokio::join!(app.drain(), answered);
            let _ = tokio::time::timeout(LAST_WORDS, sockets_closed(app)).await;
            if tokio::time::timeout(CLOSING, app.store.close()).await.is_err() {
                tracing::warn!("the database did not close in time");
            }
        };
        tokio::select! { () = finish => (), () = second => () }
        tracing::info!("stopped");
    }
}

impl Site {
    /// Where clients on this machine find it.
    pub(super) fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback = |v4| if v4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(loopback(address.is_ipv4()));
        }
        format!("http://{address}")
    }
}

/// Binds the address; the error says which setting to change.
async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (server.listen)"))
}

/// Returns when every socket has been told and is gone. Nobody counts down aloud, so this looks now and then.
async fn sockets_closed(app: &App) {
    while app.sockets.count() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The signals that ask a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The name of the next one.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
