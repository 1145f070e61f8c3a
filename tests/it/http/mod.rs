//! Tests of `http`.

mod gate;
mod health;
mod identity;
