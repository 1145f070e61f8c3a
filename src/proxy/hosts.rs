//! Patterns of hosts, by name, and the presets among them.

use std::fmt;

use url::Host;

/// Registries of packages, by the name to ask for them by: the hosts that downloading takes, and none that takes
/// uploads where the two can be told apart. Go's module proxy may send to a store that everybody can write to
/// (`storage.googleapis.com`), which is therefore left out: such modules fail.
const PRESETS: [(&str, &[&str]); 5] = [
    ("pypi", &["pypi.org", "files.pythonhosted.org"]),
    ("npm", &["registry.npmjs.org"]),
    ("crates", &["index.crates.io", "static.crates.io"]),
    ("go", &["proxy.golang.org", "sum.golang.org"]),
    ("maven", &["repo.maven.apache.org", "repo1.maven.org"]),
];
/// All of them.
const REGISTRIES: &str = "registries";
/// The ports of a pattern that names none.
const PORTS: [u16; 2] = [80, 443];

/// Hosts that are let through: `example.org`, `*.example.org` (all below it, not itself), `*` (all), each with a port
/// other than 80 and 443 if it has one (`nexus:8081`), or presets (`pypi`, `npm`, `crates`, `go`, `maven`, and
/// `registries`, which is all of these).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts(Vec<Entry>);

/// A word that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a host (example.org, *.example.org, nexus:8081) nor one of {presets}", presets = presets())]
pub struct BadHost(String);

/// Somebody to connect to. The name is in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    word: String,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Any,
    Below(String),
    Exactly(String),
}

impl Hosts {
    /// Reads words as they stand in the configuration or a request.
    pub fn parse<W: AsRef<str>>(words: &[W]) -> Result<Self, BadHost> {
        words.iter().map(|word| Entry::parse(word.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this host may be reached at this port. Names are compared as they are: a different way of writing an
    /// address is another name.
    #[must_use]
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let ports = |pattern: &Pattern| pattern.port.map_or(PORTS.contains(&port), |only| only == port);
        self.patterns().any(|pattern| ports(pattern) && pattern.name.matches(host))
    }

    /// The first word that asks for more than this has.
    #[must_use]
    pub fn beyond<'a>(&self, asked: &'a Self) -> Option<&'a str> {
        let has = |asked: &Pattern| self.patterns().any(|own| own.covers(asked));
        asked.0.iter().find(|entry| !entry.patterns.iter().all(has)).map(|entry| entry.word.as_str())
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter().flat_map(|entry| &entry.patterns)
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|entry| entry.word.as_str()).collect();
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

impl Entry {
    fn parse(word: &str) -> Result<Self, BadHost> {
        let preset = |name: &str| word == name || word == REGISTRIES;
        let hosts = PRESETS.iter().filter(|(name, _)| preset(name)).flat_map(|(_, hosts)| *hosts);
        let mut patterns: Vec<Pattern> =
            hosts.map(|host| Pattern { name: Name::Exactly((*host).to_owned()), port: None }).collect();
        if patterns.is_empty() {
            patterns.push(Pattern::parse(word).ok_or_else(|| BadHost(word.chars().take(100).collect()))?);
        }
        Ok(Self { word: word.to_owned(), patterns })
    }
}

impl Pattern {
    fn parse(word: &str) -> Option<Self> {
        let (name, port) = match word.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, Some(port.parse().ok().filter(|port| *port > 0)?))
            }
            _ => (word, None),
        };
        let name = match name.strip_prefix("*.") {
            _ if name == "*" => Name::Any,
            // Nothing lies below an address.
            Some(above) => match Host::parse(&canonical(above)?).ok()? {
                Host::Domain(above) => Name::Below(above),
                Host::Ipv4(_) | Host::Ipv6(_) => return None,
            },
            None => Name::Exactly(canonical(name)?),
        };
        Some(Self { name, port })
    }

    fn covers(&self, asked: &Self) -> bool {
        let names = match &asked.name {
            Name::Any => self.name == Name::Any,
            Name::Below(above) => self.name == asked.name || self.name.matches(above),
            Name::Exactly(name) => self.name.matches(name),
        };
        let ports = match (self.port, asked.port) {
            (None, Some(port)) => PORTS.contains(&port),
            (own, asked) => own == asked,
        };
        names && ports && !matches!((&self.name, &asked.name), (Name::Exactly(_), Name::Below(_)))
    }
}

impl Name {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Below(above) => host.strip_suffix(above.as_str()).is_some_and(|rest| rest.ends_with('.')),
            Self::Exactly(name) => name == host,
        }
    }
}

impl Target {
    /// The host and port of a URL's authority; none if it is not exactly these.
    pub(super) fn parse(authority: &str, usual_port: Option<u16>) -> Option<Self> {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (authority, None),
        };
        Some(Self { host: canonical(host)?, port: port.or(usual_port).filter(|port| *port > 0)? })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A name in small letters, an address in the one way of writing it.
fn canonical(name: &str) -> Option<String> {
    let plain = name.len() <= 253 && !name.contains(['*', '@', '/', '%']);
    Host::parse(name).ok().filter(|_| plain).map(|host| host.to_string())
}

fn presets() -> String {
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
    format!("{}, {REGISTRIES}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(words: &[&str]) -> Hosts {
        Hosts::parse(words).unwrap()
    }

    #[test]
    fn a_pattern_lets_through_what_it_names_and_nothing_like_it() {
        let all = hosts(&["example.org", "*.example.net", "Nexus:8081", "pypi", "[::1]:80"]);
        for (host, port, allowed) in [
            ("example.org", 443, true),
            ("example.org", 80, true),
            ("example.org", 22, false),
            ("www.example.org", 443, false),
            ("notexample.org", 443, false),
            ("example.org.evil.test", 443, false),
            ("a.b.example.net", 443, true),
            ("example.net", 443, false),
            ("evilexample.net", 443, false),
            ("nexus", 8081, true),
            ("nexus", 443, false),
            ("files.pythonhosted.org", 443, true),
            ("upload.pypi.org", 443, false),
            ("registry.npmjs.org", 443, false),
            ("[::1]", 80, true),
            ("127.0.0.1", 80, false),
        ] {
            assert_eq!(all.allows(host, port), allowed, "{host}:{port}");
        }
        assert!(hosts(&["registries"]).allows("registry.npmjs.org", 443));
        assert!(hosts(&["*"]).allows("anything.test", 443) && !hosts(&["*"]).allows("anything.test", 25));
        assert!(!hosts(&[]).allows("example.org", 443));
    }

    #[test]
    fn nobody_gets_more_than_the_server_may_grant() {
        let own = hosts(&["registries", "*.corp.test", "one.test", "nexus:8081"]);
        for (asked, beyond) in [
            ("pypi", None),
            ("registries", None),
            ("pypi.org", None),
            ("pypi.org:443", None),
            ("pypi.org:8443", Some("pypi.org:8443")),
            ("a.corp.test", None),
            ("*.a.corp.test", None),
            ("*.corp.test", None),
            ("corp.test", Some("corp.test")),
            ("*.one.test", Some("*.one.test")),
            ("*", Some("*")),
            ("nexus:8081", None),
            ("nexus", Some("nexus")),
        ] {
            assert_eq!(own.beyond(&hosts(&[asked])), beyond, "{asked}");
        }
        assert_eq!(hosts(&["*"]).beyond(&hosts(&["*.corp.test", "pypi", "*"])), None);
        assert_eq!(hosts(&[]).beyond(&hosts(&[])), None);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for word in [
            "",
            "a b",
            "*.*",
            "a.*.org",
            "*example.org",
            "host:0",
            "host:x",
            "http://a.org",
            "a/b",
            "u@h",
            "*.1.2.3.4",
        ] {
            let error = Hosts::parse(&[word]).unwrap_err().to_string();
            assert!(error.contains("registries"), "{word}: {error}");
        }
    }

    #[test]
    fn every_way_to_write_an_address_is_the_same_address() {
        for written in ["127.0.0.1:80", "0x7f.1:80", "2130706433:80", "0177.0.0.1:80"] {
            assert_eq!(Target::parse(written, None).unwrap().to_string(), "127.0.0.1:80", "{written}");
        }
        assert_eq!(Target::parse("PyPI.org", Some(80)).unwrap().to_string(), "pypi.org:80");
        for bad in
            ["pypi.org", "u:p@pypi.org:80", "pypi.org:", "pypi.org:0", ":80", "a b:80", "pypi.org%00.evil:80"]
        {
            assert_eq!(Target::parse(bad, None), None, "{bad}");
        }
    }
}
