//! One test binary: one link, one run.

#[cfg(test)]
mod auth;
mod cli;
mod http;
mod rules;
mod sandbox;
mod source;
#[cfg(test)]
mod support;
