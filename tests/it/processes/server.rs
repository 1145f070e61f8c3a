//! One process of Codeyard: started with these settings, asked to stop or killed, its log kept for the failure.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::{PATIENCE, within};

/// Lines of its log that are shown when the test fails.
const LAST_WORDS: usize = 40;

/// Settings for tests in which processes die often: leases of two seconds instead of nine.
pub(super) const SHORT_LEASES: [(&str, &str); 4] = [
    ("CODEYARD_ENGINE_LEASE_SECONDS", "2"),
    ("CODEYARD_ENGINE_HEARTBEAT_SECONDS", "1"),
    ("CODEYARD_ENGINE_RESCUE_SECONDS", "1"),
    ("CODEYARD_ENGINE_POLL_SECONDS", "1"),
];

/// How to start a process.
#[derive(Clone)]
pub(super) struct Recipe {
    variables: Vec<(String, String)>,
    /// What the binary is started through: a program and its arguments, which in the end executes it.
    through: Vec<String>,
}

/// A process that answers.
pub(super) struct Server {
    child: Child,
    url: String,
    log: Log,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Recipe {
    /// On a free port, without limits on how often anybody may ask.
    pub(super) fn new(settings: &[(&str, &str)]) -> Self {
        let all = [
            ("CODEYARD_SERVER_LISTEN", "127.0.0.1:0"),
            ("CODEYARD_LIMITS_REQUESTS_PER_MINUTE", "0"),
            ("CODEYARD_LIMITS_ANALYSES_PER_MINUTE", "0"),
            ("CODEYARD_LOG_FORMAT", "json"),
        ];
        Self { variables: Vec::new(), through: Vec::new() }.with(&all).with(settings)
    }

    /// On the embedded database in this directory.
    pub(super) fn embedded(data_dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::new(&[("CODEYARD_DATA_DIR", data_dir.to_str().unwrap())]).with(settings)
    }

    /// On a PostgreSQL that others may share.
    pub(super) fn shared(database_url: &str, settings: &[(&str, &str)]) -> Self {
        Self::new(&[("CODEYARD_DATABASE_URL", database_url)]).with(settings)
    }

    /// With these settings besides.
    pub(super) fn with(mut self, settings: &[(&str, &str)]) -> Self {
        let owned = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.variables.extend(owned);
        self
    }

    /// Started through a program, such as a shell that changes something for it first.
    pub(super) fn through(mut self, program: &[&str]) -> Self {
        self.through = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts it and waits until it listens.
    pub(super) async fn start(&self) -> Server {
        match self.try_start().await {
            Ok(server) => server,
            Err((status, said)) => panic!("the server ended with {status}: {said}"),
        }
    }

    /// Starts it; if it ends instead of listening, says how, and what it said.
    pub(super) async fn try_start(&self) -> Result<Server, (ExitStatus, String)> {
        let mut child = self.command().spawn().unwrap();
        let (log, (listens, address)) = (Log::default(), oneshot::channel());
        let errors = log.keep(child.stderr.take().unwrap(), None);
        log.keep(child.stdout.take().unwrap(), Some(listens));
        match within(PATIENCE, "the server listens", address).await {
            Ok(url) => Ok(Server { child, url, log }),
            Err(_) => {
                let status = within(PATIENCE, "the process ends", child.wait()).await.unwrap();
                errors.await.unwrap();
                Err((status, log.last_words()))
            }
        }
    }

    fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_codeyard");
        let words: Vec<_> = self.through.iter().map(String::as_str).chain([binary, "serve"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().envs(self.variables.iter().cloned());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Server {
    /// Where it answers: `http://127.0.0.1:…`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// Kills it, as a crash or the kernel's out-of-memory killer would, and waits until it is gone.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal by name.
    pub(super) async fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().await.unwrap();
        assert!(status.success(), "kill -s {name}: {status}");
    }

    /// Waits until it has ended.
    pub(super) async fn ended(mut self, limit: Duration) -> ExitStatus {
        within(limit, "the process ends", self.child.wait()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the last words of {}:\n{}", self.url, self.log.last_words());
        }
    }
}

impl Log {
    /// Keeps the newest lines until the stream ends; tells the address when a line has it.
    fn keep(
        &self,
        stream: impl AsyncRead + Unpin + Send + 'static,
        mut listens: Option<oneshot::Sender<String>>,
    ) -> tokio::task::JoinHandle<()> {
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let address = line.split_once(" listens on ").and_then(|(_, rest)| rest.split(' ').next());
                if let (Some(url), Some(listens)) = (address, listens.take_if(|_| address.is_some())) {
                    let _ = listens.send(url.to_owned());
                }
                let mut kept = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LAST_WORDS {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        })
    }

    fn last_words(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}
