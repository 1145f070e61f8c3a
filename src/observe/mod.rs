//! What the server says of itself: logs, metrics and traces.

mod json;
mod metrics;
mod traces;

use std::io::{IsTerminal, Write};
use std::sync::Once;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use self::metrics::{Metrics, RouteMetrics};
pub use self::traces::join_trace;
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use json::JsonLines;

/// Lines that may wait to be written; beyond that, new ones are dropped rather than requests held up.
const WAITING_LINES: usize = 65_536;

/// Keeps logs and traces flowing; dropped, it writes what is left.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    _writer: WorkerGuard,
}

impl Telemetry {
    /// Begins to log to standard error, and to send traces if there is somewhere to. Once a process.
    pub fn start(config: &Config, clock: &Clock) -> anyhow::Result<Self> {
        let to = std::io::stderr();
        let is_terminal = to.is_terminal();
        let (subscriber, telemetry) = Self::to_writer(config, clock, Box::new(to), is_terminal)?;
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(telemetry)
    }

    /// The same, to any writer and without making it the process's: for tests.
    pub fn to_writer(
        config: &Config,
        clock: &Clock,
        to: Box<dyn Write + Send>,
        is_terminal: bool,
    ) -> anyhow::Result<(impl Subscriber + Send + Sync + use<>, Self)> {
        let filter = EnvFilter::try_new(&config.log.filter)
            .with_context(|| format!("log.filter {:?} does not read", config.log.filter))?;
        let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).finish(to);
        let as_text = match config.log.format {
            LogFormat::Auto => is_terminal,
            LogFormat::Text => true,
            LogFormat::Json => false,
        };
        let lines: Box<dyn Layer<Registry> + Send + Sync> = if as_text {
            Box::new(tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(is_terminal))
        } else {
            Box::new(JsonLines::new(writer, clock.clone()))
        };
        let traces = match config.telemetry.otlp_endpoint.as_str() {
            "" => None,
            endpoint => Some(traces::provider(endpoint)?),
        };
        let spans = traces.as_ref().map(|traces| {
            tracing_opentelemetry::layer().with_tracer(traces.tracer("codeyard")).with_location(false)
        });
        let layers = Registry::default().with(lines.and_then(spans).with_filter(filter));
        Ok((layers, Self { traces, _writer: guard }))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = self.traces.take() {
            // The exporter's thread waits for our runtime, which must not wait for it: so from yet another thread.
            let ended = std::thread::spawn(move || traces.shutdown()).join();
            if !matches!(ended, Ok(Ok(()))) {
                tracing::debug!("the last spans were not sent");
            }
        }
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").field("traces", &self.traces.is_some()).finish_non_exhaustive()
    }
}

/// Chooses ring for all TLS of this process, once, before the first connection.
pub fn use_ring() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        // Somebody who chose before us chose the same: it is the only one compiled in.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
