//! Codeyard: a self-hosted job server for code.
//!
//! # The rooms, and who may look into which
//! Everyone may read [`model`], [`config`], [`clock`] and [`error`]. Besides:
//!
//! | room | holds | may use |
//! |---|---|---|
//! | `store` | SQL and nothing else | – |
//! | `hub` | who waits for which job; a wake-up, never the truth | – |
//! | `analysis` | pure: source files in, report out | – |
//! | `cache` | keeps reports on files that have not changed, on disk | `analysis` |
//! | `export` | one file per format that a report is written in | `analysis` |
//! | `observe` | logs, metrics, traces | – |
//! | `sandbox` | runs a command with nothing it does not need | – |
//! | `source` | gets code onto disk safely | `sandbox` |
//! | `proxy` | lets commands reach named hosts and no others | `sandbox`, `source` |
//! | `llm` | asks models: one form for every provider, with prices, budgets and limits | `store`, `source` |
//! | `scaffold` | projects from a catalogue, without any model | – |
//! | `agent` | makes a project: workspace, history, tests, and the workflow with a model | `jobs`, `llm`, `sandbox`, `analysis`, `source`, `proxy` |
//! | `mail` | sends mail | – |
//! | `auth` | passwords, tokens, keys, tickets, roles | `store`, `mail` |
//! | `artifacts` | bytes that jobs leave behind | `store` |
//! | `jobs` | the verbs; the only writer of jobs, the only publisher of events | `store`, `hub` |
//! | `kinds` | what a job can be, one folder each | `jobs`, `store`, `analysis`, `cache`, `source`, `sandbox`, `llm`, `agent`, `artifacts`, `scaffold`, `export`, `proxy` |
//! | `worker` | slots, leases, the run as a pipe, rescue, drain | `jobs`, `kinds`, `store` |
//! | `http` | parse, call one verb, shape the answer | `app`, `agent`, `analysis`, `artifacts`, `auth`, `export`, `hub`, `jobs`, `kinds`, `llm`, `observe`, `source`, `store`, `worker` |
//! | `app` | wiring | all |
//! | `cli` | the command line | all |
//!
//! Kinds reach the engine through `jobs::Context` alone, and `store` only where a kind is about the tables themselves
//! (maintenance). `http` reads from `store` and writes through the verbs.
//!
//! `tests/it/tidy.rs` keeps this table true.

pub mod agent;
pub mod analysis;
pub mod app;
pub mod artifacts;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod export;
pub mod http;
pub mod hub;
pub mod jobs;
pub mod kinds;
pub mod llm;
pub mod mail;
pub mod model;
pub mod observe;
pub mod proxy;
pub mod sandbox;
pub mod scaffold;
pub mod source;
pub mod store;
pub mod worker;
