//! What the engine and its doors reach, printed as one table with the settings.

use std::sync::Arc;
use std::time::Instant;

use codeyard::clock::Clock;
use codeyard::config::Config;
use codeyard::hub::Hub;
use codeyard::jobs::{Jobs, NewRequest, Outcome, Policy};
use codeyard::kinds::Registry;
use codeyard::store::Store;
use codeyard::worker::Worker;
use serde_json::value::RawValue;

const NOOP: Policy =
    Policy { kind: "noop", queue: "bench", max_attempts: 3, prepares: false, soft_timeout: None };

fn main() {
    tracing_subscriber::fmt().with_env_filter("warn").init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let url = std::env::args().nth(1).filter(|a| a.starts_with("postgres")).unwrap_or_default();
        let n: usize = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(50_000);
        let slots = std::env::args().nth(3).unwrap_or("1000".into());
        let lanes = std::env::args().nth(4).unwrap_or("2".into());
        std::fs::create_dir_all(dir.path()).unwrap();
        let file = dir.path().join("c.toml");
        std::fs::write(&file, format!("[queues.bench]\nslots = {slots}\nconcurrency=0\nper_user=0\n"))
            .unwrap();
        let config = Arc::new(
            Config::load(
                Some(&file),
                [],
                [
                    ("data_dir".to_owned(), dir.path().display().to_string()),
                    ("database_url".to_owned(), url),
                    ("engine.lanes".to_owned(), lanes),
                ],
            )
            .unwrap(),
        );
        let clock = Clock::system();
        let store = Store::open(&config).unwrap();
        store.migrate().await.unwrap();
        let jobs = Jobs::start(config.clone(), clock.clone(), store.clone(), Hub::default());
        let (done, mut count) = tokio::sync::mpsc::unbounded_channel();
        let registry = Registry::default().with_start(NOOP, move |_, _, _| {
            let _ = done.send(());
            Box::pin(async { Ok(Outcome::Done(None)) })
        });
        let t = Instant::now();
        let mut tasks = Vec::new();
        for _ in 0..64 {
            let jobs = jobs.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..n / 64 {
                    jobs.submit(NewRequest::new(NOOP, None, RawValue::from_string("{}".into()).unwrap()))
                        .await
                        .unwrap();
                }
            }));
        }
        for t in tasks {
            t.await.unwrap();
        }
        let n = n / 64 * 64;
        println!("submit {:.0}/s", n as f64 / t.elapsed().as_secs_f64());
        let t = Instant::now();
        let worker =
            Worker::start(config.clone(), clock, store.clone(), jobs.clone(), registry, "bench".into())
                .await
                .unwrap();
        for _ in 0..n {
            count.recv().await.unwrap();
        }
        println!("started all {:.0}/s", n as f64 / t.elapsed().as_secs_f64());
        worker.drain().await;
        println!("burn {:.0}/s", n as f64 / t.elapsed().as_secs_f64());
        let open: i64 = store.queued_in("bench").await.unwrap();
        println!("left {open}");
        // latency
    });
}
