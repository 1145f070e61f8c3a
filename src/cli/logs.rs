//! Where the log of a command goes.

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use super::Surroundings;
use crate::config::{Config, LogFormat};

/// Writes the log to standard error from now on, as `[log]` says.
pub(super) fn start(config: &Config, around: &Surroundings) -> anyhow::Result<()> {
    let stderr = std::io::stderr();
    let text = match config.log.format {
        LogFormat::Auto => stderr.is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let filter = EnvFilter::try_new(&config.log.filter).context("configuration: log.filter")?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if text {
        log.with_ansi(around.paints(&stderr)).try_init()
    } else {
        log.json().flatten_event(true).try_init()
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
