//! One test binary: one link, one run.

mod rules;
mod sandbox;
mod source;
