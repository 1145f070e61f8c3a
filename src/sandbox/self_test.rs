//! Attacks the sandbox from within, at start, and says what held.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as LocalAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::probe::{Attempt, Neighbours, Target, WELCOME, process_namespace};
use super::{Command, Error, Finished, KilledBecause, Level, Limits, Network, Sandbox, Serve};

/// What the self-test found, level by level, the strongest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Report {
    /// The levels that were tried.
    pub tiers: Vec<TierReport>,
    /// What an operator should know besides.
    pub notes: Vec<String>,
}

/// What one level keeps out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TierReport {
    /// The level.
    pub level: Level,
    /// Whether every attack failed.
    pub holds: bool,
    /// The attacks.
    pub checks: Vec<Check>,
}

/// One attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// What was tried.
    pub name: String,
    /// Whether the sandbox held.
    pub held: bool,
    /// What the attacker saw.
    pub detail: String,
}

const SECRET: &[u8] = b"secret";
const WALL: Duration = Duration::from_millis(30);

impl Sandbox {
    /// Runs every attack at this sandbox's level.
    pub async fn self_test(&self) -> TierReport {
        let mut checks = match self.attack().await {
            Ok(checks) => checks,
            Err(error) => vec![check("works_at_all", false, error.to_string())],
        };
        // Where nothing runs, nothing lingers.
        if checks.iter().all(|check| check.held || check.name != "works_at_all") {
            let (outlast, outlive) = tokio::join!(self.outlast(), self.outlive());
            let failed = |name: &'static str| move |error: Error| check(name, false, error.to_string());
            checks.push(outlast.unwrap_or_else(failed("exceeds_time")));
            checks.push(outlive.unwrap_or_else(failed("daemon_survives")));
            if self.can_serve() {
                let escaped = self.escape().await;
                checks.extend(escaped.unwrap_or_else(|error| vec![failed("own_network_answers")(error)]));
            }
        }
        let holds = checks.iter().all(|check| check.held);
        TierReport { level: self.level(), holds, checks }
    }

    /// One process that tries all it can do alone.
    async fn attack(&self) -> Result<Vec<Check>, Error> {
        let failed = |error| Error::Io("prepare the self-test", error);
        let secret = tempfile::NamedTempFile::new_in(self.passage()).map_err(failed)?;
        open_to_all(secret.path()).map_err(failed)?;
        let (_tcp, _udp, address) = listen().map_err(failed)?;
        let target = Target {
            secret: secret.path().to_owned(),
            address,
            server: std::process::id().cast_signed(),
            namespace: process_namespace().unwrap_or_default(),
            processes: 600,
            bytes: 2 << 30,
        };
        let stdin = serde_json::to_vec(&target).map_err(|error| failed(error.into()))?;
        let limits = Limits {
            memory: Some(1 << 30),
            processes: Some(128),
            file_size: Some(1 << 20),
            wall: Duration::from_secs(10),
            ..Limits::default()
        };
        let workspace = self.workspace()?;
        let command = self.probe("attack", workspace.path()).limits(limits).stdin(stdin);
        let finished = self.run(&command, &CancellationToken::new()).await?;
        let mut checks = told(&finished)?;
        let wrote = std::fs::remove_file(target.written()).is_ok()
            || std::fs::read(&secret).ok().as_deref() != Some(SECRET);
        let detail =
            if wrote { "changed a file of the server" } else { "the server's files are as they were" };
        checks.push(check("writes_server_files", !wrote, detail.to_owned()));
        Ok(checks)
    }

    /// A process with a network of its own: whoever serves it must answer, and nobody else be in reach.
    async fn escape(&self) -> Result<Vec<Check>, Error> {
        let failed = |error| Error::Io("prepare the self-test", error);
        let (_tcp, udp, tcp) = listen().map_err(failed)?;
        udp.set_nonblocking(true).map_err(failed)?;
        let workspace = self.workspace()?;
        let local = format!("codeyard-probe{}", workspace.path().display());
        let name = LocalAddr::from_abstract_name(&local).map_err(failed)?;
        let _listener = UnixListener::bind_addr(&name).map_err(failed)?;
        let target = Neighbours { tcp, udp: udp.local_addr().map_err(failed)?, local };
        let stdin = serde_json::to_vec(&target).map_err(|error| failed(error.into()))?;
        let serve = Serve::new(|listener| {
            Box::pin(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let _ = stream.write_all(WELCOME).await;
                }
            })
        });
        let limits = Limits { wall: Duration::from_secs(10), ..Limits::default() };
        let command = self.probe("reach", workspace.path()).limits(limits).stdin(stdin);
        let command = command.network(Network::Served(serve));
        let mut checks = told(&self.run(&command, &CancellationToken::new()).await?)?;
        let silent = udp.recv(&mut [0]).is_err();
        let detail = if silent { "nothing arrived" } else { "a datagram arrived" };
        checks.push(check("own_network_sends_to_host", silent, detail.to_owned()));
        Ok(checks)
    }

    /// A process that never ends: its time must.
    async fn outlast(&self) -> Result<Check, Error> {
        let workspace = self.workspace()?;
        let limits = Limits { wall: WALL, ..Limits::default() };
        let command = self.probe("linger", workspace.path()).limits(limits);
        let finished = self.run(&command, &CancellationToken::new()).await?;
        let held = finished.killed_because == Some(KilledBecause::Wall);
        Ok(check("exceeds_time", held, format!("ended after {} ms", finished.wall.as_millis())))
    }

    /// A process that has left its session and its parent, with its output still open, when the run is stopped:
    /// the output must end.
    async fn outlive(&self) -> Result<Check, Error> {
        let workspace = self.workspace()?;
        let limits = Limits { wall: Duration::from_secs(10), ..Limits::default() };
        let command = self.probe("linger", workspace.path()).limits(limits);
        let stop = CancellationToken::new();
        let finished = self.run_seeing(&command, &stop, &|_, _| stop.cancel()).await?;
        let held = finished.killed_because == Some(KilledBecause::Stopped) && !finished.escaped;
        Ok(check("daemon_survives", held, "left its session and its parent".to_owned()))
    }

    fn probe(&self, verb: &str, folder: &Path) -> Command {
        Command::new(self.init_inside(), folder).args(["sandbox-init", "probe", verb])
    }
}

/// What the attacker said.
fn told(finished: &Finished) -> Result<Vec<Check>, Error> {
    let attempts: Vec<Attempt> = serde_json::from_slice(&finished.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&finished.stderr);
        Error::NotStarted(format!("the probe ended with {}: {said}", finished.status))
    })?;
    Ok(attempts.into_iter().map(|a| Check { name: a.name, held: a.held, detail: a.detail }).collect())
}

fn check(name: &str, held: bool, detail: String) -> Check {
    Check { name: name.to_owned(), held, detail }
}

fn listen() -> std::io::Result<(TcpListener, UdpSocket, SocketAddr)> {
    let tcp = TcpListener::bind("127.0.0.1:0")?;
    let address = tcp.local_addr()?;
    Ok((tcp, UdpSocket::bind("127.0.0.1:0")?, address))
}

/// Only the sandbox may be what keeps the attacker from it.
fn open_to_all(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, SECRET)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}
