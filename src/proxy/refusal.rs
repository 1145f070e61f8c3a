//! Why the proxy does not do what it is asked, in the words of HTTP.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::ext::ReasonPhrase;
use hyper::{Response, StatusCode};

use super::exchange::Body;

/// Why somebody is not connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "this build may not reach `{target}`; it may reach: {granted}. Ask for more in the build's parameter `network`, \
         as far as the server grants it (sandbox.network)"
    )]
    NotGranted { target: String, granted: String },
    #[error("this host lies on a private network, where builds may not go (sandbox.private_networks)")]
    PrivateAddress,
    #[error("this build has sent and received as much as it may (sandbox.network_bytes)")]
    UsedUp,
    #[error("a tunnel carries TLS only, and only to the host that it was made for")]
    NotTls,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("nobody knows this host")]
    UnknownHost,
    #[error("this host does not accept a connection")]
    Unreachable,
    #[error("this host does not answer, or not in HTTP")]
    Silent,
}

impl Refusal {
    /// A word for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::NotGranted { .. } => "not_granted",
            Self::PrivateAddress => "private_address",
            Self::UsedUp => "bytes_used_up",
            Self::NotTls => "not_tls",
            Self::Malformed(_) => "malformed",
            Self::UnknownHost => "unknown_host",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
        }
    }

    /// The answer. Of one to `CONNECT` most clients show only the first line: it says the reason, too.
    pub(super) fn response(&self) -> Response<Body> {
        let (status, phrase): (_, &'static [u8]) = match self {
            Self::NotGranted { .. } => {
                (StatusCode::FORBIDDEN, b"Not granted by the network policy of this build")
            }
            Self::PrivateAddress => (StatusCode::FORBIDDEN, b"Refused by network policy: private address"),
            Self::UsedUp => (StatusCode::FORBIDDEN, b"Refused by network policy: all bytes are used up"),
            Self::NotTls => (StatusCode::FORBIDDEN, b"Refused by network policy: no TLS"),
            Self::Malformed(_) => (StatusCode::BAD_REQUEST, b"Bad Request"),
            Self::UnknownHost => (StatusCode::BAD_GATEWAY, b"Unknown host"),
            Self::Unreachable => (StatusCode::BAD_GATEWAY, b"Host unreachable"),
            Self::Silent => (StatusCode::BAD_GATEWAY, b"Host does not answer"),
        };
        let text = Full::new(Bytes::from(format!("codeyard: {self}\n"))).map_err(|never| match never {});
        let mut response = Response::new(text.boxed_unsync());
        *response.status_mut() = status;
        response.extensions_mut().insert(ReasonPhrase::from_static(phrase));
        response
    }
}
