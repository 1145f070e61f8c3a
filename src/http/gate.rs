//! The gate that every request passes: its id and span, load shedding, who sent it, limits, time-outs, panics,
//! and on the way out the error's body, the headers, one line in the log and the metrics. One layer instead of ten,
//! because each of ten would clone the handler and box its future.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use ipnet::IpNet;
use tower::{Layer, Service, ServiceExt};
use tracing::Instrument;

use super::error::Problem;
use super::headers::{Cors, SecurityHeaders};
use super::identity::{Passage, credential};
use super::negotiate::Wanted;
use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::observe::{RouteMetrics, join_trace};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How a route is treated at the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A question and its answer.
    Plain,
    /// Takes large bodies, and the time they need.
    Upload,
    /// Its answer takes as long as it takes: an event stream, a socket, a long poll, a download.
    Stream,
    /// Asked by machines, all the time and above all under load: neither shed nor limited, and logged at debug.
    Probe,
}

/// What the gate needs to know of a route.
#[derive(Debug)]
pub(super) struct Route {
    kind: Kind,
    path: String,
    metrics: RouteMetrics,
}

/// What the gate remembers between requests.
#[derive(Debug)]
pub struct Doors {
    ids: RequestIds,
    in_flight: AtomicUsize,
    trusted: Vec<IpNet>,
    cors: Cors,
    security: SecurityHeaders,
}

impl Doors {
    /// From the settings; says which of them cannot be meant.
    pub fn new(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let server = &config.server;
        Ok(Self {
            ids: RequestIds::new(clock),
            in_flight: AtomicUsize::new(0),
            trusted: server.trusted_proxies.iter().map(|text| network(text)).collect::<Result<_, _>>()?,
            cors: Cors::new(&server.cors_origins)?,
            security: SecurityHeaders::new(server.behind_tls),
        })
    }

    /// Requests that wait for their answer right now.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The address a request comes from: the peer, or, if that is a trusted proxy, the last address in
    /// X-Forwarded-For that is not one.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let trusts = |address: &IpAddr| self.trusted.iter().any(|network| network.contains(address));
        if self.trusted.is_empty() || !trusts(&peer) {
            return peer;
        }
        let hops = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<IpAddr> = hops.flat_map(|value| value.split(',')).map_while(address).collect();
        hops.iter().rev().find(|hop| !trusts(hop)).or(hops.first()).copied().unwrap_or(peer)
    }
}

/// Puts the gate in front of a route.
#[derive(Clone)]
pub(super) struct Gate {
    app: App,
    route: Arc<Route>,
}

impl Gate {
    pub(super) fn new(app: &App, kind: Kind, path: &str) -> Self {
        let (path, metrics) = (path.to_owned(), RouteMetrics::new(path));
        Self { app: app.clone(), route: Arc::new(Route { kind, path, metrics }) }
    }
}

impl<S> Layer<S> for Gate {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { gate: self.clone(), inner }
    }
}

/// A route behind the gate.
#[derive(Clone)]
pub(super) struct Guarded<S> {
    gate: Gate,
    inner: S,
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Error = Infallible> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (gate, inner) = (self.gate.clone(), self.inner.clone());
        Box::pin(gate.pass(inner, request).map(Ok))
    }
}

impl Gate {
    async fn pass<S>(self, inner: S, request: Request) -> Response
    where
        S: Service<Request, Error = Infallible>,
        S::Response: IntoResponse,
    {
        let started = Instant::now();
        let request_id = self.app.doors.ids.of(request.headers());
        let method = request.method().clone();
        let span = self.route.span(&request_id, &method);
        join_trace(&span, request.headers());
        async {
            let origin = self.app.doors.cors.origin(request.headers());
            let mut log = LogLine { request_id, caller: None };
            let mut response = match self.app.doors.cors.preflight(&request) {
                Some(answer) => answer,
                None => self.admit(inner, request, &mut log).await,
            };
            let problem = match response.extensions_mut().remove::<Problem>() {
                None if Problem::is_foreign(&response) => Some(Problem::of_foreign(&mut response).await),
                ours => ours,
            };
            if let Some(problem) = problem {
                let id = log.request_id.to_str().unwrap_or_default();
                problem.log(id, &self.route.path);
                problem.fill(&mut response, id);
            }
            self.app.doors.security.add_to(response.headers_mut());
            self.app.doors.cors.add_to(response.headers_mut(), origin);
            self.route.record(&method, &response, started.elapsed(), &log);
            response.headers_mut().insert(REQUEST_ID, log.request_id);
            response
        }
        .instrument(span)
        .await
    }

    async fn admit<S>(&self, inner: S, mut request: Request, log: &mut LogLine) -> Response
    where
        S: Service<Request, Error = Infallible>,
        S::Response: IntoResponse,
    {
        let Some(_place) = Place::take(&self.app.doors.in_flight, self.most_in_flight()) else {
            return overloaded().into_response();
        };
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip().to_canonical());
        let passage = Arc::new(self.identify(request.headers(), peer, log.request_id.clone()).await);
        log.caller = Some(Arc::clone(&passage));
        let standing = match self.route.kind {
            Kind::Probe => Ok(None),
            _ => self.app.limits.request(&passage),
        };
        let standing = match standing {
            Ok(standing) => standing,
            Err((wait, standing)) => {
                let mut response = Error::TooMany { retry_after: wait }.into_response();
                standing.add_to(response.headers_mut());
                return response;
            }
        };
        request.extensions_mut().insert(passage);
        self.limit_body(&mut request);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let wanted = reads.then(|| Wanted::of(request.headers()));
        let mut response = self.run(inner, request).await;
        if let Some(wanted) = wanted {
            response = wanted.check(response).unwrap_or_else(IntoResponse::into_response);
        }
        if let Some(standing) = standing {
            standing.add_to(response.headers_mut());
        }
        response
    }

    async fn identify(&self, headers: &HeaderMap, peer: IpAddr, request_id: HeaderValue) -> Passage {
        let address = self.app.doors.client(peer, headers);
        let identity = match credential(headers) {
            Some(credential) => Some(self.app.auth.verify(credential).await.map_err(Problem::from)),
            None => None,
        };
        let known = OnceLock::new();
        if let Some(Ok(caller)) = &identity {
            // Just made, so nobody can have set it.
            let _ = known.set(caller.user);
        }
        Passage { request_id, address, identity, known }
    }

    async fn run<S>(&self, inner: S, request: Request) -> Response
    where
        S: Service<Request, Error = Infallible>,
        S::Response: IntoResponse,
    {
        let answer = AssertUnwindSafe(inner.oneshot(request)).catch_unwind();
        let answer = match self.time_limit() {
            Some(limit) => match tokio::time::timeout(limit, answer).await {
                Ok(answer) => answer,
                Err(_) => return too_slow().into_response(),
            },
            None => answer.await,
        };
        match answer {
            Ok(Ok(response)) => response.into_response(),
            Ok(Err(never)) => match never {},
            Err(panic) => {
                let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
                Error::Internal(anyhow::anyhow!("the handler panicked: {said}")).into_response()
            }
        }
    }

    fn most_in_flight(&self) -> usize {
        if self.route.kind == Kind::Probe { usize::MAX } else { self.app.config.server.max_in_flight }
    }

    fn time_limit(&self) -> Option<Duration> {
        let limit = Duration::from_secs(self.app.config.server.request_timeout_seconds);
        match self.route.kind {
            Kind::Plain => Some(limit),
            Kind::Upload => Some(limit * 10),
            Kind::Stream | Kind::Probe => None,
        }
    }

    /// For the extractors of axum that read a body themselves, such as multipart.
    fn limit_body(&self, request: &mut Request) {
        let server = &self.app.config.server;
        match (self.route.kind, request.method()) {
            (_, &Method::GET | &Method::HEAD | &Method::DELETE) => {}
            (Kind::Upload, _) => DefaultBodyLimit::max(server.upload_limit_bytes).apply(request),
            _ => DefaultBodyLimit::max(server.body_limit_bytes).apply(request),
        }
    }
}

impl Route {
    fn span(&self, request_id: &HeaderValue, method: &Method) -> tracing::Span {
        let (request_id, route) = (request_id.to_str().unwrap_or_default(), self.path.as_str());
        if self.kind == Kind::Probe {
            return tracing::debug_span!("request", request_id, %method, route);
        }
        // Filled in by whoever learns which job it is about.
        tracing::info_span!("request", request_id, %method, route, job_id = tracing::field::Empty)
    }

    /// One line a request. Never the path as it came, which may hold a token in its query.
    fn record(&self, method: &Method, response: &Response, took: Duration, log: &LogLine) {
        let status = response.status().as_u16();
        self.metrics.record(method, status, took);
        let latency_ms = took.as_secs_f64() * 1e3;
        let caller = log.caller.as_ref().and_then(|passage| passage.known.get());
        let caller = caller.map(tracing::field::display);
        if self.kind == Kind::Probe {
            tracing::debug!(status, latency_ms, caller, "answered");
        } else {
            tracing::info!(status, latency_ms, caller, "answered");
        }
    }
}

/// What the line in the log says besides the answer.
struct LogLine {
    request_id: HeaderValue,
    caller: Option<Arc<Passage>>,
}

/// One of the places for requests in flight, given back when it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(taken);
        (taken.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Names requests: a number after what sets this process apart from others. No lock and no clock, because there are
/// many.
#[derive(Debug)]
struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    fn new(clock: &Clock) -> Self {
        // The last bits of a UUIDv7 are random.
        let process = clock.new_id().as_u64_pair().1 & 0xffff_ffff_ffff;
        Self { process, next: AtomicU64::new(1) }
    }

    /// The client's own id, if it has a sane one, else a new one.
    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let sane = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=128).contains(&bytes.len())
                && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
        };
        if let Some(value) = headers.get(REQUEST_ID).filter(sane) {
            return value.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let text = format!("{:012x}-{number:x}", self.process);
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }
}

fn overloaded() -> Error {
    Error::Unavailable {
        code: "OVERLOADED",
        message: "more requests are in flight than this server takes on; try again shortly".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}

fn too_slow() -> Error {
    Error::Unavailable {
        code: "TIMEOUT",
        message: "the answer took too long and was given up".to_owned(),
        retry_after: Duration::from_secs(2),
    }
}

fn network(text: &str) -> anyhow::Result<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        anyhow::anyhow!(
            "server.trusted_proxies: {text:?} is neither an address nor a network such as 10.0.0.0/8"
        )
    })
}

/// An address in X-Forwarded-For, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let plain = text.trim_start_matches('[').trim_end_matches(']').parse();
    plain
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(trusted: &str) -> Doors {
        let flags = [("server.trusted_proxies".to_owned(), format!("[\"{trusted}\"]"))];
        let config = Config::load(None, [], flags).unwrap();
        Doors::new(&config, &Clock::seeded(1)).unwrap()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_for_what_it_saw() {
        let doors = doors("10.0.0.0/8");
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("1.1.1.1, 2.2.2.2:99, 10.0.0.7"));
        let seen = |peer: &str| doors.client(peer.parse().unwrap(), &headers).to_string();
        assert_eq!(seen("10.1.2.3"), "2.2.2.2");
        assert_eq!(seen("9.9.9.9"), "9.9.9.9");
    }

    #[test]
    fn an_id_from_outside_is_kept_only_if_it_is_harmless() {
        let ids = RequestIds::new(&Clock::seeded(1));
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("trace-1.2"));
        assert_eq!(ids.of(&headers), "trace-1.2");
        headers.insert(REQUEST_ID, HeaderValue::from_static("a b\"c"));
        assert_ne!(ids.of(&headers), "a b\"c");
        assert_ne!(ids.of(&headers), ids.of(&headers));
    }

    #[test]
    fn places_are_given_back_also_by_those_who_got_none() {
        let taken = AtomicUsize::new(0);
        let first = Place::take(&taken, 1);
        assert!(first.is_some() && Place::take(&taken, 1).is_none());
        drop(first);
        assert!(Place::take(&taken, 1).is_some());
        assert_eq!(taken.load(Ordering::Relaxed), 0);
    }

    /// What becomes of a request whose handler does this.
    async fn through<F, A>(kind: Kind, settings: &[(&str, &str)], handler: F) -> (u16, serde_json::Value)
    where
        F: Fn() -> A + Clone + Send + 'static,
        A: Future<Output = Response> + Send,
    {
        let dir = tempfile::tempdir().unwrap();
        let mut flags = vec![("data_dir".to_owned(), dir.path().display().to_string())];
        flags.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::load(None, [], flags).unwrap();
        let app = App::start(config, Clock::seeded(1)).await.unwrap();
        let inner = tower::service_fn(move |_: Request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(handler().await) }
        });
        let guarded = Gate::new(&app, kind, "/test").layer(inner);
        let answer = guarded.oneshot(Request::default()).await.unwrap();
        assert_eq!(app.doors.in_flight(), 0);
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        app.stop().await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_panic_is_that_requests_error_and_says_nothing_of_the_inside() {
        let falls = || async { std::panic::resume_unwind(Box::new("the secret inside")) };
        let (status, body) = through(Kind::Plain, &[], falls).await;
        assert_eq!((status, &body["error"]["code"]), (500, &"INTERNAL".into()));
        assert!(!body.to_string().contains("secret") && body["error"]["request_id"].is_string(), "{body}");
    }

    #[tokio::test]
    async fn a_question_has_a_time_limit_and_a_stream_has_none() {
        let slow = || async {
            tokio::task::yield_now().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
            Response::default()
        };
        let at_once = [("server.request_timeout_seconds", "0")];
        let (status, body) = through(Kind::Plain, &at_once, slow).await;
        assert_eq!((status, &body["error"]["code"]), (503, &"TIMEOUT".into()));
        assert_eq!(through(Kind::Stream, &at_once, slow).await.0, 200);
    }
}
