//! Whom a build may reach: what it asks for, as far as this server grants it.

use std::sync::Arc;

use ipnet::IpNet;

use super::Parameters;
use crate::config::Config;
use crate::error::FieldError;
use crate::jobs::Failure;
use crate::proxy::{Hosts, Policy, Proxy};
use crate::sandbox::Sandbox;

/// What a server grants.
#[derive(Clone, Debug)]
pub struct Grants {
    /// Whom commands may be let to reach.
    commands: Hosts,
    /// Whose pages a model may be let to read.
    pages: Hosts,
    private_networks: Vec<IpNet>,
    bytes: u64,
    connections: usize,
}

impl Grants {
    /// What the settings say; an error names the setting.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let hosts = |setting: &str, words: &[String]| {
            Hosts::parse(words).map_err(|error| anyhow::anyhow!("{setting}: {error}"))
        };
        let chosen = &config.sandbox;
        let private = chosen.private_networks.iter().map(|text| {
            text.parse().map_err(|_| {
                anyhow::anyhow!("sandbox.private_networks: {text:?} is no network such as 10.1.0.0/16")
            })
        });
        anyhow::ensure!(chosen.network_connections > 0, "sandbox.network_connections must be at least 1");
        Ok(Self {
            commands: hosts("sandbox.network", &chosen.network)?,
            pages: hosts("agent.page_hosts", &config.agent.page_hosts)?,
            private_networks: private.collect::<Result<_, _>>()?,
            bytes: chosen.network_bytes,
            connections: chosen.network_connections,
        })
    }

    /// What of these parameters cannot be granted, field by field. `sandbox` is known or not.
    pub(super) fn check(&self, asked: &Parameters, sandbox: Option<&Sandbox>) -> Vec<FieldError> {
        let own = [
            ("network", &asked.network, &self.commands, "sandbox.network"),
            ("page_hosts", &asked.page_hosts, &self.pages, "agent.page_hosts"),
        ];
        let mut wrong: Vec<FieldError> = own
            .into_iter()
            .filter_map(|(field, words, grants, setting)| {
                let message = match Hosts::parse(words) {
                    _ if words.len() > 50 => "must have at most 50 entries".to_owned(),
                    Err(error) => error.to_string(),
                    Ok(hosts) => {
                        let beyond = grants.beyond(&hosts)?.escape_debug();
                        format!("`{beyond}` is not granted here; this server grants: {grants} ({setting})")
                    }
                };
                Some(FieldError { field: format!("parameters.{field}"), message })
            })
            .collect();
        if !asked.network.is_empty() && sandbox.is_some_and(|sandbox| !sandbox.can_serve()) {
            let message = Sandbox::CANNOT_SERVE.to_owned();
            wrong.push(FieldError { field: "parameters.network".to_owned(), message });
        }
        wrong
    }

    /// The way out of a build's commands, if it asks for one. What was granted when it was submitted may not be any more.
    pub(super) fn proxy(&self, asked: &Parameters, sandbox: &Sandbox) -> Result<Option<Arc<Proxy>>, Failure> {
        if let Some(wrong) = self.check(asked, Some(sandbox)).into_iter().next() {
            return Err(Failure::fatal("NETWORK_REFUSED", format!("{}: {}", wrong.field, wrong.message)));
        }
        let policy = Policy {
            hosts: hosts(&asked.network),
            private_networks: self.private_networks.clone(),
            known: Vec::new(),
            bytes: self.bytes,
            connections: self.connections,
        };
        Ok((!asked.network.is_empty()).then(|| Proxy::new(policy)))
    }
}

/// Hosts that were checked; without them, none.
pub(super) fn hosts(words: &[String]) -> Hosts {
    Hosts::parse(words).unwrap_or_default()
}
