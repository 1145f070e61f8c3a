//! Providers over the network: sends a question, reads the answer as it comes, and gives up when nothing comes.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::limits::{Bucket, Limits};
use super::providers::Provider;
use super::wire::refusal::Hints;
use super::wire::{self, Reader};
use super::{Call, Delta, Error, Model, Reply};
use crate::clock::Clock;
use crate::config;
use crate::source::address::is_public;

const CONNECT: Duration = Duration::from_secs(10);
/// The most bytes of an error that are read, and of a whole answer.
const LARGEST_ERROR: usize = 64 << 10;
const LARGEST_ANSWER: usize = 32 << 20;

/// How providers are reached.
#[derive(Debug)]
pub(super) struct Net {
    clock: Clock,
    proxy: String,
    silence: Duration,
    /// Made when they are first needed: reading the system's certificates takes a while.
    trusted: OnceLock<Client>,
    guarded: OnceLock<Client>,
    allow_private: bool,
}

/// A provider, ready to be asked.
pub(super) struct Remote<'n> {
    pub(super) net: &'n Net,
    pub(super) provider: &'n Provider,
    pub(super) limits: &'n Limits,
    /// What is counted for the key with which it is asked.
    pub(super) bucket: &'n Bucket,
}

impl Net {
    pub(super) fn new(config: &config::Llm, clock: Clock) -> Self {
        Self {
            clock,
            proxy: config.proxy.clone(),
            silence: Duration::from_secs(config.silence_seconds),
            trusted: OnceLock::new(),
            guarded: OnceLock::new(),
            allow_private: config.allow_private_addresses,
        }
    }

    /// The models that an Ollama has, newest first, if one answers.
    pub(super) async fn ollama_models(&self, base_url: &str) -> Option<Vec<String>> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let ask = async {
            let client = self.client(None).ok()?;
            let answer =
                client.get(format!("{base_url}/api/tags")).send().await.ok()?.error_for_status().ok()?;
            let body = read_all(answer, LARGEST_ERROR * 16).await.ok()?;
            let body: serde_json::Value = serde_json::from_slice(&body).ok()?;
            let models = body["models"].as_array()?;
            Some(models.iter().filter_map(|model| Some(model["name"].as_str()?.to_owned())).collect())
        };
        tokio::time::timeout(PATIENCE, ask).await.ok().flatten()
    }

    /// For addresses of the settings, or for those that a user brought.
    fn client(&self, provider: Option<&Provider>) -> Result<&Client, String> {
        let guarded = provider.is_some_and(|provider| provider.owner.is_some()) && !self.allow_private;
        let kept = if guarded { &self.guarded } else { &self.trusted };
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        // Whoever is asked does not send us on: a key must not go where nobody meant it to go.
        let builder = Client::builder().no_proxy().redirect(Policy::none()).connect_timeout(CONNECT);
        let builder = if guarded {
            builder.dns_resolver(PublicOnly).https_only(true)
        } else if self.proxy.is_empty() {
            builder
        } else {
            builder.proxy(reqwest::Proxy::all(&self.proxy).map_err(|error| error.to_string())?)
        };
        let client = builder.build().map_err(|error| error.to_string())?;
        Ok(kept.get_or_init(|| client))
    }
}

/// Checks an address that a user brings. Names are looked up when they are needed, and looked at again then.
pub(super) fn check_address(base_url: &str, allow_private: bool) -> Result<String, &'static str> {
    let url = url::Url::parse(base_url).map_err(|_| "is no address, such as https://api.example.com/v1")?;
    let secure = url.scheme() == "https" || (allow_private && url.scheme() == "http");
    if !secure {
        return Err("must begin with https://");
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("must be without user, password, `?` and `#`");
    }
    let literal = match url.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        Some(url::Host::Domain(name)) => {
            let local = name == "localhost" || name.ends_with(".localhost");
            if local && !allow_private {
                return Err("is on a private network (llm.allow_private_addresses)");
            }
            None
        }
        None => return Err("names no host"),
    };
    if literal.is_some_and(|address| !allow_private && !is_public(address)) {
        return Err("is on a private network (llm.allow_private_addresses)");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Finds only addresses of the public internet: a name may mean another machine than it did when it was checked.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the host has no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

impl Model for Remote<'_> {
    fn ask<'a>(
        &'a self,
        call: &'a Call,
        on: &'a mut (dyn FnMut(Delta) + Send),
    ) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(self.ask_over_http(call, on))
    }
}

impl Remote<'_> {
    async fn ask_over_http(&self, call: &Call, on: &mut (dyn FnMut(Delta) + Send)) -> Result<Reply, Error> {
        let answer = self.send(call).await?;
        let hints = Hints::read(answer.headers(), self.net.clock.now());
        let status = answer.status().as_u16();
        if !answer.status().is_success() {
            let body = self.in_time(read_all(answer, LARGEST_ERROR)).await?.unwrap_or_default();
            return Err(wire::read_error(self.provider, status, &body, hints));
        }
        // Some servers answer in one piece also where pieces were asked for, above all when it is an error.
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let in_pieces = self.provider.stream && !kind.starts_with("application/json");
        if let Some(wait) = hints.used_up {
            self.limits.close(self.bucket, wait);
        }
        if in_pieces { self.read_pieces(answer, on).await } else { self.read_whole(answer, on).await }
    }

    async fn send(&self, call: &Call) -> Result<Response, Error> {
        let wire = wire::write(self.provider, call, self.provider.stream);
        let client = self.net.client(Some(self.provider)).map_err(|error| self.unreachable(error))?;
        let mut request = client.post(&wire.url).json(&wire.body);
        for (name, value) in &wire.headers {
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| Error::Auth {
                provider: self.provider.name.clone(),
                message: "the key has letters that cannot be sent".to_owned(),
            })?;
            value.set_sensitive(true);
            request = request.header(*name, value);
        }
        self.in_time(request.send()).await?.map_err(|error| self.unreachable(root_cause(error)))
    }

    async fn read_pieces(
        &self,
        mut answer: Response,
        on: &mut (dyn FnMut(Delta) + Send),
    ) -> Result<Reply, Error> {
        let mut reader = Reader::new(self.provider);
        // An error of the connection is the end; whether that is too early, the reader knows.
        while let Ok(Some(piece)) = self.in_time(answer.chunk()).await? {
            if reader.feed(&piece, on)? {
                break;
            }
        }
        reader.finish(on)
    }

    async fn read_whole(&self, answer: Response, on: &mut (dyn FnMut(Delta) + Send)) -> Result<Reply, Error> {
        let mut reader = Reader::new(self.provider);
        match self.in_time(read_all(answer, LARGEST_ANSWER)).await? {
            Ok(body) => reader.whole(&body, on)?,
            Err(ReadError::TooLarge) => {
                let message = format!("it is larger than {LARGEST_ANSWER} bytes");
                return Err(Error::Unreadable { provider: self.provider.name.clone(), message });
            }
            Err(ReadError::Cut) => return Err(Error::Cut { provider: self.provider.name.clone() }),
        }
        reader.finish(on)
    }

    /// Waits no longer than a provider may be silent.
    async fn in_time<T>(&self, wait: impl Future<Output = T>) -> Result<T, Error> {
        let timed = tokio::time::timeout(self.net.silence, wait).await;
        timed.map_err(|_| Error::Timeout { provider: self.provider.name.clone() })
    }

    fn unreachable(&self, message: String) -> Error {
        Error::Unreachable { provider: self.provider.name.clone(), message }
    }
}

/// Why a body was not read.
enum ReadError {
    TooLarge,
    Cut,
}

async fn read_all(mut answer: Response, most: usize) -> Result<Vec<u8>, ReadError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|_| ReadError::Cut)? {
        if body.len() + piece.len() > most {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// The innermost reason, without the address: that may be somebody's secret.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_means_this_machine_is_not_found() {
        let found = PublicOnly.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_err_and(|error| error.to_string().contains("no public address")));
    }

    #[test]
    fn a_user_cannot_send_the_server_into_its_own_network() {
        let allowed = |url: &str| check_address(url, false).is_ok();
        assert!(allowed("https://api.example.com/v1/") && allowed("https://8.8.8.8/v1"));
        for url in [
            "http://api.example.com",
            "https://127.0.0.1:11434",
            "https://[::1]/",
            "https://169.254.169.254/latest",
            "https://10.1.2.3",
            "https://localhost/v1",
            "https://0x7f000001/",
            "https://user:word@example.com",
            "https://example.com/?x",
            "file:///etc/passwd",
            "nonsense",
        ] {
            assert!(!allowed(url), "{url}");
        }
        assert_eq!(check_address("http://127.0.0.1:1/v1/", true).unwrap(), "http://127.0.0.1:1/v1");
    }
}
