//! The harness: a whole Codeyard in the test's process, and the words that tests speak to it.

#![expect(dead_code, reason = "some words wait for the tests that will speak them")]

pub(crate) mod postgres;
pub(crate) mod replay;
pub(crate) mod stage;
pub(crate) mod tls;

use std::borrow::Borrow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use codeyard::app::App;
use codeyard::auth::{NewUser, Secret};
use codeyard::clock::Clock;
use codeyard::config::Config;
use codeyard::http;
use codeyard::kinds::Registry;
use codeyard::model::{Caller, Event, Job, JobId, Role, Scopes, Status, UserId};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt;

use postgres::TestDatabase;
use stage::Stage;

/// A running Codeyard, on a database of its own.
pub(crate) struct TestApp {
    /// Its parts.
    pub(crate) app: App,
    router: Router,
    /// Declared after what uses them, so that they are dropped last.
    database: Option<TestDatabase>,
    data_dir: tempfile::TempDir,
}

impl TestApp {
    /// On SQLite, with the default settings.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// On SQLite, with these settings (by path, as in `config/default.toml`).
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        Self::start_on(None, settings).await
    }

    /// One on every database there is: for tests of what touches the store.
    pub(crate) async fn on_each_database() -> Vec<Self> {
        Self::on_each_database_with(&[]).await
    }

    /// One on every database there is, with these settings.
    pub(crate) async fn on_each_database_with(settings: &[(&str, &str)]) -> Vec<Self> {
        let mut apps = vec![Self::with(settings).await];
        if let Some(database) = TestDatabase::create().await {
            apps.push(Self::start_on(Some(database), settings).await);
        }
        apps
    }

    /// One on every database there is, with scripted builds.
    pub(crate) async fn on_each_stage(settings: &[(&str, &str)]) -> Vec<(Self, Stage)> {
        let stage = Stage::new();
        let mut apps = vec![(Self::start_with(None, settings, stage.registry()).await, stage)];
        if let Some(database) = TestDatabase::create().await {
            let stage = Stage::new();
            apps.push((Self::start_with(Some(database), settings, stage.registry()).await, stage));
        }
        apps
    }

    /// On SQLite, with scripted builds.
    pub(crate) async fn on_stage(stage: &Stage, settings: &[(&str, &str)]) -> Self {
        Self::start_with(None, settings, stage.registry()).await
    }

    /// On this database, with scripted builds.
    pub(crate) async fn on_stage_in(
        database: TestDatabase,
        stage: &Stage,
        settings: &[(&str, &str)],
    ) -> Self {
        Self::start_with(Some(database), settings, stage.registry()).await
    }

    /// On SQLite, with kinds of the test's own.
    pub(crate) async fn with_kinds(settings: &[(&str, &str)], kinds: Registry) -> Self {
        Self::start_with(None, settings, kinds).await
    }

    async fn start_on(database: Option<TestDatabase>, settings: &[(&str, &str)]) -> Self {
        Self::start_with(database, settings, codeyard::kinds::all()).await
    }

    async fn start_with(database: Option<TestDatabase>, settings: &[(&str, &str)], kinds: Registry) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let mut flags = vec![
            ("data_dir".to_owned(), data_dir.path().display().to_string()),
            ("sandbox.program".to_owned(), env!("CARGO_BIN_EXE_codeyard").to_owned()),
            // Tests move the clock by days; that must not look like the death of the process.
            ("engine.lease_seconds".to_owned(), "100000000".to_owned()),
        ];
        flags.extend(database.iter().map(|database| ("database_url".to_owned(), database.url())));
        flags.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let app =
            App::start_with(Config::load(None, [], flags).unwrap(), Clock::seeded(1), kinds).await.unwrap();
        let router = http::router(&app);
        Self { app, router, database, data_dir }
    }

    /// `postgresql` or `sqlite`: for messages.
    pub(crate) fn database_name(&self) -> &'static str {
        self.app.store.name()
    }

    /// The database, where it is PostgreSQL.
    pub(crate) fn postgres(&self) -> Option<&TestDatabase> {
        self.database.as_ref()
    }

    /// Where it keeps its files.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.data_dir.path()
    }

    /// Submits a scripted build of nobody's.
    pub(crate) async fn play(&self, script: &Value) -> JobId {
        self.app.jobs.submit(stage::scripted(None, script)).await.unwrap().id
    }

    /// Somebody who may do everything, without an account.
    pub(crate) fn root(&self) -> Caller {
        Caller { user: UserId(self.app.clock.new_id()), role: Role::Admin, scopes: Scopes::ALL }
    }

    /// Waits until a job is in this state; fails when it ends in another.
    pub(crate) async fn until(&self, job: JobId, status: Status) -> Job {
        let (mut seen, mut watch) = self.app.jobs.watch(job, 0, &self.root()).await.unwrap();
        while seen.status != status {
            assert!(!seen.status.is_final(), "{job} is {:?}, not {status:?}: {seen:?}", seen.status);
            watch.next().await.unwrap();
            seen = self.app.jobs.check(job, &self.root()).await.unwrap();
        }
        seen
    }

    /// Waits until a job's log has an event of this name.
    pub(crate) async fn until_event(&self, job: JobId, name: &str) -> Event {
        let (_, mut watch) = self.app.jobs.watch(job, 0, &self.root()).await.unwrap();
        loop {
            let lines = watch.next().await.unwrap();
            if let Some(line) = lines.iter().find(|line| line.event.name == name) {
                return line.event.clone();
            }
        }
    }

    /// Waits until a job's log has another event of this name, besides the first so many.
    pub(crate) async fn until_event_after(&self, job: JobId, name: &str, count: usize) {
        let (_, mut watch) = self.app.jobs.watch(job, 0, &self.root()).await.unwrap();
        let mut seen = 0;
        while seen <= count {
            let lines = watch.next().await.unwrap();
            seen += lines.iter().filter(|line| line.event.name == name).count();
        }
    }

    /// The whole log of a job, checked to have no holes.
    pub(crate) async fn log(&self, job: JobId) -> Vec<Event> {
        let events = self.app.store.events_after(job, 0, 100_000).await.unwrap();
        let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
        assert_eq!(numbers, (1..).take(events.len()).collect::<Vec<_>>(), "the log of {job} has holes");
        let bounds = self.app.store.log_bounds(job).await.unwrap().unwrap();
        assert_eq!(bounds.last_seq, numbers.last().copied().unwrap_or_default());
        events
    }

    /// The names of the events in a job's log.
    pub(crate) async fn event_names(&self, job: JobId) -> Vec<String> {
        self.log(job).await.into_iter().map(|event| event.name).collect()
    }

    /// Moves the clock, and lets the engine look at it.
    pub(crate) fn advance(&self, by: Duration) {
        self.app.clock.advance(by);
        self.app.jobs.work().nudge();
    }

    /// Makes an account through the front door and signs it in.
    pub(crate) async fn sign_up(&self, email: &str) -> SignedIn {
        let asked = json!({"email": email, "password": PASSWORD});
        SignedIn::from(self.post("/api/v1/auth/register", asked).await.expect(201))
    }

    /// Makes an administrator and signs it in.
    pub(crate) async fn admin(&self) -> SignedIn {
        let (email, password) = ("root@example.com", PASSWORD);
        let new = NewUser {
            email: email.to_owned(),
            name: String::new(),
            password: Secret::new(password),
            role: Role::Admin,
        };
        self.app.auth.create_user(new).await.unwrap();
        self.sign_in(email, password).await.into()
    }

    /// Signs in; returns the answer.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) -> Value {
        self.post("/api/v1/auth/login", json!({"email": email, "password": password})).await.expect(200)
    }

    /// Starts a GET; await it for the answer.
    pub(crate) fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    /// Starts a POST with a JSON body; await it for the answer.
    pub(crate) fn post(&self, path: &str, body: impl Borrow<Value>) -> Ask {
        self.ask(Method::POST, path).json(body.borrow())
    }

    /// Starts a PATCH with a JSON body; await it for the answer.
    pub(crate) fn patch(&self, path: &str, body: impl Borrow<Value>) -> Ask {
        self.ask(Method::PATCH, path).json(body.borrow())
    }

    /// Starts a DELETE; await it for the answer.
    pub(crate) fn delete(&self, path: &str) -> Ask {
        self.ask(Method::DELETE, path)
    }

    /// Starts any request; await it for the answer.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        Ask { router: self.router.clone(), request, from: SocketAddr::from(([127, 0, 0, 1], 4000)) }
    }

    /// Listens on a free port until the test ends, for what needs a real connection.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = self.app.clone();
        tokio::spawn(async move { http::serve(&app, listener, std::future::pending()).await });
        address
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.app.doors.in_flight(), 0, "a request was left in flight");
        }
    }
}

/// The password of everybody here.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// Somebody with a session.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    pub(crate) id: UserId,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl From<Value> for SignedIn {
    fn from(session: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            id: text(&session["user"]["id"]).parse().unwrap(),
            access: text(&session["access_token"]),
            refresh: text(&session["refresh_token"]),
        }
    }
}

/// A request that is sent when it is awaited.
pub(crate) struct Ask {
    router: Router,
    request: Request<Body>,
    from: SocketAddr,
}

impl Ask {
    /// Signed in with a token or API key.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request
            .headers_mut()
            .insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// With a JSON body.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// With any body.
    pub(crate) fn body(self, kind: &str, body: impl Into<Body>) -> Self {
        let mut with_kind = self.header("content-type", kind);
        *with_kind.request.body_mut() = body.into();
        with_kind
    }

    /// From another address.
    pub(crate) fn from(mut self, address: &str) -> Self {
        self.from.set_ip(address.parse().unwrap());
        self
    }
}

impl IntoFuture for Ask {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            let asked = format!("{} {}", self.request.method(), self.request.uri());
            self.request.extensions_mut().insert(ConnectInfo(self.from));
            let (parts, body) = self.router.oneshot(self.request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Answer { asked, status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    asked: String,
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// What was asked: method and address.
    pub(crate) fn asked(&self) -> &str {
        &self.asked
    }

    /// Checks the status; returns the body as JSON (null if there is none).
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        let text = self.text();
        assert_eq!(self.status, status, "{}: {text}", self.asked);
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) }
    }

    /// Checks that it went well; returns the body.
    #[track_caller]
    pub(crate) fn good<T: DeserializeOwned>(self) -> T {
        let text = self.text();
        assert!((200..300).contains(&self.status), "{}: {} {text}", self.asked, self.status);
        serde_json::from_str(&text).expect(&text)
    }

    /// Checks the status and that the body is the contract's error; returns its code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16) -> String {
        let id = self.header("x-request-id").to_owned();
        let body = self.expect(status);
        let error = &body["error"];
        assert_eq!(error["request_id"], id.as_str(), "{body}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        error["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header; empty if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
