//! Lets commands reach named hosts and no others.
//!
//! An HTTP proxy of ours stands at the only address in a command's own network. It looks names up itself, goes to
//! public addresses only, counts what passes, and ends with the command. `CONNECT` carries nothing but TLS, and only to
//! the host it names: what a server is asked for inside cannot be seen, but whom it is asked as can.

mod exchange;
mod hosts;
mod meter;
mod refusal;
mod tunnel;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sandbox::{Command, Network, SERVED_AT, Serve};
use crate::source::address::{self, Unresolved};
use exchange::Line;
use hosts::Target;
pub use hosts::{BadHost, Hosts};
use meter::Meter;
pub use meter::Traffic;
use refusal::Refusal;

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long to wait after the system could not give us a connection: it has no descriptors left, say.
const BREATH: Duration = Duration::from_millis(100);

/// Who may be reached, and how much.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The hosts.
    pub hosts: Hosts,
    /// Networks that may be gone to although they are not public: where an inner registry stands, say.
    pub private_networks: Vec<IpNet>,
    /// Names that the name service is not asked for.
    pub known: Vec<(String, IpAddr)>,
    /// Bytes sent and received, all connections together.
    pub bytes: u64,
    /// Connections at once; more wait.
    pub connections: usize,
}

/// The proxy of one build: what its commands use counts together.
#[derive(Debug)]
pub struct Proxy {
    policy: Policy,
    meter: Meter,
}

impl Proxy {
    /// One that keeps this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Arc<Self> {
        let meter = Meter::new(policy.bytes);
        Arc::new(Self { policy, meter })
    }

    /// The hosts that it lets through to.
    #[must_use]
    pub fn hosts(&self) -> &Hosts {
        &self.policy.hosts
    }

    /// The command with this as its only way out, and told so in the variables that tools know.
    #[must_use]
    pub fn give_to(self: &Arc<Self>, command: Command) -> Command {
        let proxy = Arc::clone(self);
        let serve = Serve::new(move |listener| Box::pin(Arc::clone(&proxy).serve(listener)));
        let at = format!("http://{SERVED_AT}");
        let java = ["http", "https"].map(|scheme| {
            let (ip, port) = (SERVED_AT.ip(), SERVED_AT.port());
            format!("-D{scheme}.proxyHost={ip} -D{scheme}.proxyPort={port}")
        });
        let command = VARIABLES.iter().fold(command, |command, name| command.env(name, &at));
        let command =
            NO_PROXY.iter().fold(command, |command, name| command.env(name, "127.0.0.1,localhost,::1"));
        let command = JAVA.iter().fold(command, |command, name| command.env(name, java.join(" ")));
        command.env("NODE_USE_ENV_PROXY", "1").network(Network::Served(serve))
    }

    /// What has passed and what was refused since this was asked last, by host.
    pub fn take_traffic(&self) -> Vec<Traffic> {
        self.meter.take()
    }

    /// Answers whoever connects, until the future is dropped; then all connections end.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(self.policy.connections));
        let ends = CancellationToken::new();
        let _end_tunnels = ends.clone().drop_guard();
        let mut lines = JoinSet::new();
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let line = Line { proxy: Arc::clone(&self), ends: ends.clone(), slot: Arc::new(slot) };
                    lines.spawn(line.serve(stream));
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            }
            while lines.try_join_next().is_some() {}
        }
    }

    /// Connects to a host that is allowed, at an address that is.
    async fn connect(&self, target: &Target) -> Result<TcpStream, Refusal> {
        if !self.policy.hosts.allows(&target.host, target.port) {
            return Err(Refusal::NotGranted {
                target: target.to_string(),
                granted: self.policy.hosts.to_string(),
            });
        }
        if self.meter.is_used_up() {
            return Err(Refusal::UsedUp);
        }
        let private = &self.policy.private_networks;
        let allows =
            |address| address::is_public(address) || private.iter().any(|network| network.contains(&address));
        let found = address::resolve(&target.host, target.port, &self.policy.known, allows).await;
        let addresses = found.map_err(|error| match error {
            Unresolved::Unknown => Refusal::UnknownHost,
            Unresolved::Closed => Refusal::PrivateAddress,
        })?;
        for address in addresses {
            let connecting = TcpStream::connect((address, target.port));
            if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT, connecting).await {
                return Ok(stream);
            }
        }
        Err(Refusal::Unreachable)
    }
}

/// What tools look at. Some know only the small letters, some only the capitals.
const VARIABLES: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "PIP_PROXY",
    "CARGO_HTTP_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const JAVA: [&str; 2] = ["MAVEN_OPTS", "GRADLE_OPTS"];
