//! One test binary: one link, one run.

mod http;
mod rules;
mod sandbox;
mod source;
#[cfg(test)]
mod support;
