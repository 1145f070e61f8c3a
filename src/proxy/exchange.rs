//! One connection of a command's to the proxy: requests are read, checked, and asked anew of whom they name.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::hosts::Target;
use super::meter::Way;
use super::refusal::Refusal;
use super::{Proxy, tunnel};

/// How long a command may take to send the head of a request, and a server that of its answer.
const HEAD: Duration = Duration::from_secs(60);
/// The longest head.
const MOST_HEAD: usize = 64 << 10;
/// What is counted for requests that name nobody.
const NOBODY: &str = "nobody";

/// What is sent back.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// One connection of a command's.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) proxy: Arc<Proxy>,
    /// Cancelled when the command has ended.
    pub(super) ends: CancellationToken,
    /// Its place among those that may be open at once, which a tunnel keeps.
    pub(super) slot: Arc<OwnedSemaphorePermit>,
}

impl Line {
    pub(super) async fn serve(self, stream: TcpStream) {
        let answer = hyper::service::service_fn(move |request| {
            let line = self.clone();
            async move { Ok::<_, Infallible>(line.answer(request).await) }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD);
        // An error is the command's: it has gone away, or does not speak HTTP.
        let _ = http.serve_connection(TokioIo::new(stream), answer).with_upgrades().await;
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let (proxy, asked) = (Arc::clone(&self.proxy), target_of(&request));
        let name = asked.as_ref().map_or_else(|_| NOBODY.to_owned(), Target::to_string);
        let answered = match asked {
            Ok(target) if request.method() == Method::CONNECT => self.open(target, request).await,
            Ok(target) => self.forward(target, request).await,
            Err(refusal) => Err(refusal),
        };
        answered.unwrap_or_else(|refusal| {
            proxy.meter.refused(&name, &refusal);
            refusal.response()
        })
    }

    /// Connects, and lets the two talk.
    async fn open(self, target: Target, mut request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let server = self.proxy.connect(&target).await?;
        self.proxy.meter.passed(&target.to_string());
        let upgraded = hyper::upgrade::on(&mut request);
        let ends = self.ends.clone();
        let talk = async move {
            if let Ok(client) = upgraded.await {
                tunnel::run(&self, &target, TokioIo::new(client), server).await;
            }
        };
        tokio::spawn(async move { ends.run_until_cancelled(talk).await });
        Ok(Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync()))
    }

    /// Asks for it ourselves, over a connection that serves this one request: what arrives there is what was checked
    /// here, whatever else the command has sent.
    async fn forward(self, target: Target, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let server = self.proxy.connect(&target).await?;
        self.proxy.meter.passed(&target.to_string());
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = path.parse::<Uri>().map_err(|_| Refusal::Malformed("this is no path"))?;
        head.version = Version::HTTP_11;
        let host = if target.port == 80 { target.host.clone() } else { target.to_string() };
        let host = HeaderValue::from_str(&host).map_err(|_| Refusal::Malformed("this is no host"))?;
        keep_end_to_end(&mut head.headers);
        // Its length is that of the body as it was read.
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.insert(header::HOST, host);
        let asked = Request::from_parts(head, self.metered(&target, Way::Out, body));
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(server)).await.map_err(|_| Refusal::Silent)?;
        let (ends, slot) = (self.ends.clone(), Arc::clone(&self.slot));
        tokio::spawn(async move {
            let _slot = slot;
            ends.run_until_cancelled(connection).await
        });
        let answer = tokio::time::timeout(HEAD, sender.send_request(asked)).await;
        let answer = answer.ok().and_then(Result::ok).filter(|answer| !answer.status().is_informational());
        let (mut head, body) = answer.ok_or(Refusal::Silent)?.into_parts();
        keep_end_to_end(&mut head.headers);
        Ok(Response::from_parts(head, self.metered(&target, Way::In, body).boxed_unsync()))
    }

    fn metered(&self, target: &Target, way: Way, body: Incoming) -> Metered {
        Metered { body, proxy: Arc::clone(&self.proxy), target: target.to_string(), way }
    }
}

/// Whom a request is for: what its first line says, and nothing else does.
fn target_of(request: &Request<Incoming>) -> Result<Target, Refusal> {
    let uri = request.uri();
    let usual_port = match (request.method(), uri.scheme_str()) {
        (&Method::CONNECT, _) => None,
        (_, Some("http")) => Some(80),
        (_, Some(_)) => {
            return Err(Refusal::Malformed("other than by http, hosts are reached through CONNECT"));
        }
        (_, None) => return Err(Refusal::Malformed("this is a proxy: ask for a whole address, or CONNECT")),
    };
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    Target::parse(authority, usual_port).ok_or(Refusal::Malformed("this is no host with a port"))
}

/// Leaves only what is meant for the other end (RFC 9110, 7.6.1).
fn keep_end_to_end(headers: &mut HeaderMap) {
    const HOP_BY_HOP: [HeaderName; 8] = [
        header::CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ];
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("proxy-connection");
}

/// A body that is counted, and ends when there is nothing left to spend.
struct Metered {
    body: Incoming,
    proxy: Arc<Proxy>,
    target: String,
    way: Way,
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let counted = frame.map_err(Self::Error::from).and_then(|frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.proxy.meter.spend(&self.target, self.way, bytes)?;
            Ok(frame)
        });
        Poll::Ready(Some(counted))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
