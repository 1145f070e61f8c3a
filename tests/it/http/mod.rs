//! Tests of `http`.

pub(crate) mod analyses;
mod builds;
mod events;
mod gate;
mod health;
mod identity;
mod sockets;
