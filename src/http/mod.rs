//! The doors: a handler parses, calls one verb and shapes the answer; the gate in front of them does the rest.

mod analyses;
mod api_keys;
mod auth;
mod builds;
mod docs;
mod error;
mod events;
mod exports;
mod extract;
mod frame;
mod gate;
mod headers;
mod health;
mod identity;
mod jobs;
mod life;
mod limits;
mod listing;
mod metrics;
mod negotiate;
mod openapi;
mod router;
mod serve;
mod sockets;
mod submit;
mod users;

pub use error::{ErrorBody, ErrorDetail, Problem};
pub use extract::{Json, Path, Query, parse_json, read_body};
pub use gate::Doors;
pub use health::Pulse;
pub use identity::{Admin, Client, Passage, Reader, SOCKET_PROTOCOL, SocketCaller, SocketRefused};
pub use limits::{Limits, Submit};
pub use openapi::document;
pub use router::router;
pub use serve::serve;
pub use sockets::OpenSockets;
