//! The program under test: run to its end, or watched line by line while it runs.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longer than anything here may take; a test that meets it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// `codeyard` with these arguments, in an environment with nothing of ours in it.
pub(crate) fn codeyard(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codeyard"));
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs it to its end.
pub(crate) async fn run(arguments: &[&str]) -> Ended {
    ended(&mut codeyard(arguments)).await
}

/// Runs a command to its end.
pub(crate) async fn ended(command: &mut Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
    Ended::from(output)
}

/// Runs it to its end, with this on its standard input.
pub(crate) async fn told(arguments: &[&str], input: &str) -> Ended {
    let mut command = codeyard(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it does not end");
    Ended::from(output.unwrap())
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ended {
    /// Checks the exit code; returns what it printed.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Checks that it refused to work; returns why.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_eq!(self.code, Some(2), "{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }
}

/// One that runs.
pub(crate) struct Program {
    child: Child,
    lines: UnboundedReceiver<String>,
    said: Vec<String>,
}

impl Program {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = unbounded_channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Self { child, lines, said: Vec::new() }
    }

    /// A server on a free port, with its data in `dir`; returns its address, too.
    pub(crate) async fn serve(dir: &Path) -> (Self, String) {
        Self::serve_with(dir, &[]).await
    }

    /// As [`Program::serve`], with these variables in its environment.
    pub(crate) async fn serve_with(dir: &Path, variables: &[(&str, &str)]) -> (Self, String) {
        let dir = dir.display().to_string();
        let mut command = codeyard(&["serve", "--listen", "127.0.0.1:0", "--data-dir", &dir]);
        let mut server = Self::start(command.envs(variables.iter().copied()));
        let url = server.url().await;
        (server, url)
    }

    /// The address it says it listens on.
    pub(crate) async fn url(&mut self) -> String {
        let line = self.line_with("listens on").await;
        line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
    }

    /// The next line, on its standard output or error, that holds this.
    pub(crate) async fn line_with(&mut self, part: &str) -> String {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.lines.recv()).await.ok().flatten();
            assert!(next.is_some(), "no line with {part:?} came: {:#?}", self.said);
            let line = next.unwrap_or_default();
            self.said.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().expect("it has ended").to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; returns everything it said.
    pub(crate) async fn ends_with(mut self, code: i32) -> String {
        let ended =
            tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        while let Some(line) = self.lines.recv().await {
            self.said.push(line);
        }
        let said = self.said.join("\n");
        assert_eq!(ended.code(), Some(code), "{said}");
        said
    }
}

/// Sends line after line to where both streams meet.
fn forward(stream: impl AsyncRead + Send + Unpin + 'static, to: UnboundedSender<String>) {
    let mut lines = BufReader::new(stream).lines();
    tokio::spawn(async move {
        while let Some(line) = lines.next_line().await.unwrap() {
            let _ = to.send(line);
        }
    });
}
