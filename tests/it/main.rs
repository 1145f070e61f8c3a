//! One test binary: one link, one run.

mod engine;
mod http;
mod rules;
mod sandbox;
mod source;
#[cfg(test)]
mod support;
