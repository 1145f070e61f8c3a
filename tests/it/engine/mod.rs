//! The engine's promises, on every database.

mod claims;
mod control;
mod idle;
mod keeping;
mod lost_answers;
mod machine;
mod plans;
mod retention;
mod runs;
