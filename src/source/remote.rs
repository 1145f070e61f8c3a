//! What somebody calls a repository or a page: an address, and a reference, checked before anybody goes there.

use std::net::IpAddr;

use url::{Host, Url};

use super::address::Unresolved;
use super::{Error, Limits, address, path};

/// What an address is the address of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    /// Of a repository, for git.
    Repository,
    /// Of a page, which may have a query.
    Page,
}

/// An address that may be asked.
#[derive(Debug)]
pub(super) struct Remote {
    url: Url,
    host: Host<String>,
    port: u16,
}

impl Remote {
    /// Checks all that can be checked without the network.
    pub(super) fn parse(raw: &str, limits: &Limits) -> Result<Self, Error> {
        Self::parse_as(Sort::Repository, raw, limits)
    }

    /// The same for what the address is said to be of.
    pub(super) fn parse_as(sort: Sort, raw: &str, limits: &Limits) -> Result<Self, Error> {
        let of = if sort == Sort::Page { "page" } else { "repository" };
        let invalid = |why: &str| Error::Invalid(format!("the {of}'s address {why}"));
        if raw.len() > 2048 || raw.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(invalid("is too long or contains spaces or control characters"));
        }
        let url = Url::parse(raw).map_err(|error| {
            // `git@host:path` is no URL; whoever writes it means ssh.
            let ssh = raw.contains('@') && raw.contains(':');
            if ssh { ssh_refused() } else { invalid(&format!("cannot be read: {error}")) }
        })?;
        check_scheme(url.scheme(), limits)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("contains credentials; they would end up in logs"));
        }
        if sort == Sort::Repository && (url.query().is_some() || url.fragment().is_some()) {
            return Err(invalid("contains `?` or `#`"));
        }
        let host = url.host().map(|host| host.to_owned()).ok_or_else(|| invalid("names no host"))?;
        let port = url.port_or_known_default().ok_or_else(|| invalid("names no port"))?;
        let remote = Self { url, host, port };
        if let Some(address) = remote.literal() {
            allow(address, limits)?;
        }
        Ok(remote)
    }

    /// Finds the addresses of the host, all of which must be allowed, and returns one: git is given this one
    /// and cannot ask again, or the name could mean another machine by then.
    pub(super) async fn resolve(&self, limits: &Limits) -> Result<IpAddr, Error> {
        let host = self.host();
        let allows = |address| allow(address, limits).is_ok();
        let addresses = address::resolve(&host, self.port, &limits.hosts, allows).await;
        match addresses.as_deref() {
            Ok([first, ..]) => Ok(*first),
            Ok([]) | Err(Unresolved::Unknown) => Err(unknown_host(&host)),
            Err(Unresolved::Closed) => Err(private()),
        }
    }

    /// The port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Its host, a name or an address.
    pub(super) fn host(&self) -> String {
        self.host.to_string()
    }

    /// The address as git gets it.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The same repository by the name that some servers insist on.
    pub(super) fn with_suffix(&self) -> Option<Self> {
        let path = self.url.path().trim_end_matches('/');
        if path.ends_with(".git") {
            return None;
        }
        let mut url = self.url.clone();
        url.set_path(&format!("{path}.git"));
        Some(Self { url, host: self.host.clone(), port: self.port })
    }

    /// How curl is told to which address the name belongs.
    pub(super) fn pin(&self, address: IpAddr) -> String {
        let address = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        format!("{}:{}:{address}", self.host, self.port)
    }

    fn literal(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some((*address).into()),
            Host::Ipv6(address) => Some((*address).into()),
        }
    }
}

/// Checks a branch, tag or commit: git's own rules for names, and nothing that could be an option, a range, or
/// a refspec.
pub(super) fn check_reference(reference: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_alphanumeric() || "._/+-#@=,".contains(c);
    let good = (1..=255).contains(&reference.len())
        && reference.chars().all(plain)
        && !reference.starts_with(['-', '/', '.'])
        && !reference.ends_with(['/', '.'])
        && !["..", "//", "/.", "@{"].iter().any(|bad| reference.contains(bad))
        && !reference.split('/').any(|part| part.ends_with(".lock"))
        && reference != "@";
    if good {
        return Ok(());
    }
    let shown = path::printable(reference);
    Err(Error::Invalid(format!("`{shown}` cannot be the name of a branch, a tag or a commit")))
}

fn check_scheme(scheme: &str, limits: &Limits) -> Result<(), Error> {
    match scheme {
        "https" => Ok(()),
        "http" if limits.allow_private_addresses => Ok(()),
        "http" => Err(Error::Forbidden(
            "code and pages are fetched by https only (http: intake.allow_private_addresses)".to_owned(),
        )),
        "ssh" | "git+ssh" | "ssh+git" => Err(ssh_refused()),
        other => Err(Error::Forbidden(format!(
            "code and pages are fetched by https, not by `{}`",
            path::printable(other)
        ))),
    }
}

fn ssh_refused() -> Error {
    Error::Forbidden(
        "repositories are fetched by https; ssh needs a key, and this server has none".to_owned(),
    )
}

fn allow(address: IpAddr, limits: &Limits) -> Result<(), Error> {
    if limits.allow_private_addresses || address::is_public(address) {
        return Ok(());
    }
    Err(private())
}

/// The address itself is not told: a name of an inner network is not to be resolved through us.
fn private() -> Error {
    Error::Forbidden(
        "the host is on a private network, where this server does not go \
         (intake.allow_private_addresses)"
            .to_owned(),
    )
}

fn unknown_host(host: &str) -> Error {
    Error::Remote { message: format!("the host `{host}` is not known"), transient: true }
}
