//! A git server on this machine: git's own `http-backend` behind a few lines of CGI, and what a hostile one does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::tls::acceptor;

/// How a server answers.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// As git's own.
    Honest,
    /// Only below names that end in `.git`; others are redirected there.
    RedirectsToSuffix,
    /// To this address, whatever is asked.
    Redirects(String),
    /// With the files themselves, without the protocol.
    Dumb,
    /// With this status.
    Status(u16),
    /// Never.
    Silent,
}

#[derive(Clone)]
struct Server {
    root: Arc<PathBuf>,
    manner: Manner,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A running server with one repository, `project.git`.
pub(super) struct GitServer {
    folder: TempDir,
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    pub(super) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self::with(manner, port, listener)
    }

    /// The same behind TLS, for the host `git.example.test`; also the certificate to trust.
    pub(super) async fn start_tls(manner: Manner) -> (Self, PathBuf) {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = tcp.local_addr().unwrap().port();
        let certificates = tempfile::tempdir().unwrap();
        let listener = TlsListener { tcp, acceptor: acceptor("git.example.test", certificates.path()) };
        let server = Self::with(manner, port, listener);
        let certificate = server.folder.path().join("certificate.pem");
        std::fs::copy(certificates.path().join("certificate.pem"), &certificate).unwrap();
        (server, certificate)
    }

    fn with<L>(manner: Manner, port: u16, listener: L) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        std::fs::create_dir(&work).unwrap();
        let asked = Arc::default();
        let server = Server { root: Arc::new(folder.path().into()), manner, asked: Arc::clone(&asked) };
        let router = Router::new().fallback(answer).with_state(server);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let this = Self { folder, port, asked };
        this.git("work", &["init", "--quiet", "--initial-branch=main", "."]);
        this
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/project.git", self.port)
    }

    /// Where files are written before they are committed.
    pub(super) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(super) fn write(&self, path: &str, content: &[u8]) {
        let file = self.work().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, content).unwrap();
    }

    /// Commits everything and publishes it; the commit's id.
    pub(super) fn publish(&self) -> String {
        self.git("work", &["add", "--all"]);
        self.git("work", &["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.serve()
    }

    /// Publishes what is committed.
    pub(super) fn serve(&self) -> String {
        let _ = std::fs::remove_dir_all(self.folder.path().join("project.git"));
        self.git(".", &["clone", "--quiet", "--bare", "work", "project.git"]);
        self.git("project.git", &["update-server-info"]);
        self.git("work", &["rev-parse", "HEAD"])
    }

    /// What was asked for so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn git(&self, folder: &str, args: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(self.folder.path().join(folder))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            // Who does not trust us hangs up.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Makes a certificate for `git.example.test`, which signs itself.
async fn answer(State(server): State<Server>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    server.asked.lock().unwrap().push(request.uri().to_string());
    match &server.manner {
        Manner::Redirects(to) => (StatusCode::FOUND, [(header::LOCATION, to.clone())]).into_response(),
        Manner::Status(status) => StatusCode::from_u16(*status).unwrap().into_response(),
        Manner::Silent => std::future::pending().await,
        Manner::RedirectsToSuffix if !path.contains(".git") => {
            let to = request.uri().to_string().replacen("/project", "/project.git", 1);
            (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response()
        }
        Manner::Dumb => match std::fs::read(server.root.join(path.trim_start_matches('/'))) {
            Ok(bytes) => bytes.into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        },
        Manner::Honest | Manner::RedirectsToSuffix => backend(&server.root, request).await,
    }
}

/// Runs `git http-backend` for one request.
async fn backend(root: &Path, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let header =
        |name: HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let body = to_bytes(body, 1 << 26).await.unwrap();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
        .env("REQUEST_METHOD", head.method.as_str())
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or(""))
        .env("CONTENT_TYPE", header(header::CONTENT_TYPE))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header(header::CONTENT_ENCODING))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&body).await.unwrap();
    let output = child.wait_with_output().await.unwrap().stdout;
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..split]).unwrap().split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[split + 4..].to_vec())).unwrap()
}
