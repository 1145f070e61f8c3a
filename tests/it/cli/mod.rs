//! The command line, as a real process.

mod accounts;
mod analyze;
mod build;
mod demo;
mod doctor;
mod judging;
mod mending;
mod plain;
mod program;
mod serve;
