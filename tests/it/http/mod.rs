//! Tests of `http`.

mod analyses;
mod builds;
mod events;
mod gate;
mod health;
mod identity;
mod sockets;
