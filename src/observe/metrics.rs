//! Metrics: one recorder for the process, and handles that are looked up once.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::Method;
use metrics::{Counter, Histogram, counter, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Seconds, from a health check to a slow upload.
const LATENCIES: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Seconds, from a no-op to a build at its limit: for jobs, and for calls of models, which can take as long.
const JOB_DURATIONS: [f64; 12] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0];
const FOLD_EVERY: Duration = Duration::from_secs(5);

/// What `/metrics` shows. One recorder serves all apps of a process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// The process's recorder, installed by whoever comes first.
    pub fn install() -> anyhow::Result<Self> {
        static HANDLE: OnceLock<Metrics> = OnceLock::new();
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _alone = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = HANDLE.get() {
            return Ok(metrics.clone());
        }
        let all = Matcher::Suffix("_seconds".to_owned());
        let [jobs, calls] = ["codeyard_job", "codeyard_llm"].map(|start| Matcher::Prefix(start.to_owned()));
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(all, &LATENCIES)?
            .set_buckets_for_metric(jobs, &JOB_DURATIONS)?
            .set_buckets_for_metric(calls, &JOB_DURATIONS)?;
        let metrics = Self(builder.install_recorder()?);
        Ok(HANDLE.get_or_init(|| metrics).clone())
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was measured into the histograms every few seconds, as long as the runtime runs: what is not folded
    /// is kept value by value, and would grow until somebody reads the metrics.
    pub fn keep_folded(&self) {
        let handle = self.0.clone();
        tokio::spawn(async move {
            let mut beat = tokio::time::interval(FOLD_EVERY);
            loop {
                beat.tick().await;
                handle.run_upkeep();
            }
        });
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

const METHODS: [&str; 7] = ["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metrics of one route, looked up in the recorder once per method and class of answer and then kept.
#[derive(Debug)]
pub struct RouteMetrics {
    route: String,
    kept: [[OnceLock<Kept>; CLASSES.len()]; METHODS.len()],
}

#[derive(Debug)]
struct Kept {
    requests: Counter,
    seconds: Histogram,
}

impl RouteMetrics {
    /// For the route that is called so in the table.
    pub fn new(route: &str) -> Self {
        Self { route: route.to_owned(), kept: Default::default() }
    }

    /// Counts an answer.
    pub fn record(&self, method: &Method, status: u16, took: Duration) {
        let named = METHODS.iter().position(|name| *name == method.as_str());
        let method = named.unwrap_or(METHODS.len() - 1);
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        let kept = self.kept[method][class].get_or_init(|| {
            let labels = [
                ("route", self.route.clone()),
                ("method", METHODS[method].to_owned()),
                ("status", CLASSES[class].to_owned()),
            ];
            Kept {
                requests: counter!("codeyard_http_requests_total", &labels),
                seconds: histogram!("codeyard_http_request_duration_seconds", &labels),
            }
        });
        kept.requests.increment(1);
        kept.seconds.record(took.as_secs_f64());
    }
}
