//! One test binary: one link, one run.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod auth;
#[cfg(test)]
mod builds;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod http;
#[cfg(test)]
mod llm;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod proxy;
mod rules;
mod sandbox;
mod source;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
