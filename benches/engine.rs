//! The engine without its doors.

use std::sync::Arc;
use std::time::{Duration, Instant};

use codeyard::artifacts::Artifacts;
use codeyard::clock::Clock;
use codeyard::config::Config;
use codeyard::hub::Hub;
use codeyard::jobs::{Jobs, NewRequest, Outcome, Policy};
use codeyard::kinds::{Env, Registry};
use codeyard::llm::Llm;
use codeyard::store::Store;
use codeyard::worker::{Parts, Worker};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::server::Server;
use crate::{Place, client};

const NOOP: Policy =
    Policy { kind: "noop", queue: "builds", max_attempts: 3, prepares: false, soft_timeout: None };
const SUBMITTERS: usize = 64;

struct Engine {
    config: Arc<Config>,
    clock: Clock,
    store: Store,
    jobs: Jobs,
}

impl Engine {
    async fn open(config: Config) -> Self {
        let (config, clock) = (Arc::new(config), Clock::system());
        let store = Store::open(&config).unwrap();
        store.migrate().await.unwrap();
        let jobs = Jobs::start(Arc::clone(&config), clock.clone(), store.clone(), Hub::default());
        Self { config, clock, store, jobs }
    }

    async fn work(&self, registry: Registry) -> Worker {
        let llm = Llm::new(&self.config.llm, self.clock.clone(), self.store.clone()).unwrap();
        let artifacts = Artifacts::open(&self.config, self.store.clone()).unwrap();
        let env =
            Env::new(Arc::clone(&self.config), self.store.clone(), Vec::new(), Arc::new(llm), artifacts);
        let env = Arc::new(env);
        let (config, clock) = (Arc::clone(&self.config), self.clock.clone());
        let (store, jobs) = (self.store.clone(), self.jobs.clone());
        Worker::start(Parts { config, clock, store, jobs, registry, env }, "bench".to_owned()).await.unwrap()
    }

    async fn submit(&self) {
        let nothing = RawValue::from_string("{}".to_owned()).unwrap();
        self.jobs.submit(NewRequest::new(NOOP, None, nothing)).await.unwrap();
    }
}

/// No-op jobs, submitted beforehand, until the last is completed on disk with its events.
pub(crate) async fn burn(place: &Place) -> String {
    const JOBS: usize = 60_000;
    let engine = Arc::new(Engine::open(place.config(&[("queues.builds.slots", "1000")])).await);
    let begun = Instant::now();
    let submitters = (0..SUBMITTERS).map(|_| {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            for _ in 0..JOBS / SUBMITTERS {
                engine.submit().await;
            }
        })
    });
    for submitter in submitters.collect::<Vec<_>>() {
        submitter.await.unwrap();
    }
    let jobs = JOBS / SUBMITTERS * SUBMITTERS;
    let submitted = jobs as f64 / begun.elapsed().as_secs_f64();
    engine.store.analyze().await.unwrap();

    let (done, mut runs) = mpsc::unbounded_channel();
    let registry = Registry::default().with_start(NOOP, move |_, _, _| {
        done.send(()).unwrap();
        Box::pin(async { Ok(Outcome::Done(None)) })
    });
    let begun = Instant::now();
    let worker = engine.work(registry).await;
    for _ in 0..jobs {
        runs.recv().await.unwrap();
    }
    // Draining waits for the last completion to be on disk.
    worker.drain().await;
    let burnt = jobs as f64 / begun.elapsed().as_secs_f64();
    format!("{burnt:.0} /s (submitted at {submitted:.0} /s)")
}

/// From before the submit to the first line of the job, at 100 submits a second.
pub(crate) async fn pickup(place: &Place) -> String {
    const JOBS: u32 = 1_000;
    let engine = Arc::new(Engine::open(place.config(&[("queues.builds.slots", "16")])).await);
    let (started, mut starts) = mpsc::unbounded_channel();
    let registry = Registry::default().with_start(NOOP, move |_, _, _| {
        started.send(Instant::now()).unwrap();
        Box::pin(async { Ok(Outcome::Done(None)) })
    });
    let worker = engine.work(registry).await;
    let mut every = tokio::time::interval(Duration::from_millis(10));
    let mut waits = Vec::new();
    for _ in 0..JOBS {
        every.tick().await;
        let before = Instant::now();
        engine.submit().await;
        waits.push(starts.recv().await.unwrap() - before);
    }
    worker.drain().await;
    client::percentiles(&mut waits)
}

/// From the death of a process to the next start of its job elsewhere; on SQLite, after its own restart.
pub(crate) async fn rescue(place: &Place) -> String {
    let mut first = Server::start(place, &[]).await;
    let job = first.submit_job("forever").await;
    first.until_event(&job, "started", 1).await;
    let second = if place.name == "PostgreSQL" { Some(Server::start(place, &[]).await) } else { None };
    first.kill();
    let died = Instant::now();
    let second = match second {
        Some(second) => second,
        None => Server::start(place, &[]).await,
    };
    second.until_event(&job, "started", 2).await;
    format!("{:.1} s", died.elapsed().as_secs_f64())
}
