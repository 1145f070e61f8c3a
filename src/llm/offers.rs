//! Which models can be asked: by whom, with whose key, and which one when nobody says.

use std::sync::{Arc, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::prices::{Price, Prices};
use super::providers::{Provider, TABLE};
use super::remote::Net;
use super::{Error, Llm, Model, Target, remote};
use crate::clock::Clock;
use crate::config::{self, Hidden};
use crate::error;
use crate::model::UserId;
use crate::store::LlmKeyRow;

/// How long it is believed that Ollama is there, or is not.
const FRESH: TimeDelta = TimeDelta::seconds(30);
/// The most providers that one user may bring keys for, and the longest key.
const LONGEST_KEY: usize = 4096;

/// What was found at Ollama's address, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    at: Option<DateTime<Utc>>,
    models: Option<Vec<String>>,
}

/// A provider as it looks to somebody.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The provider.
    pub provider: Provider,
    /// Whether it can be asked now.
    pub usable: bool,
    /// Since when it is asked with a key of that somebody's.
    pub own_key_since: Option<DateTime<Utc>>,
    /// Its models with their prices, where these are known.
    pub models: Vec<(String, Option<Price>)>,
}

/// Who answers, and how to reach it; a model that was added is asked itself.
pub(super) struct Asked {
    pub(super) provider: Provider,
    pub(super) added: Option<Arc<dyn Model>>,
}

impl Llm {
    /// All providers as they look to a user, or to the server itself: first those of the table, then those of the
    /// settings.
    pub async fn offers(&self, user: Option<UserId>) -> error::Result<Vec<Offer>> {
        let keys = self.keys_of(user).await?;
        let mut offers = Vec::new();
        for name in self.names() {
            let Asked { mut provider, added } = self.asked(&name, &keys);
            let mut usable = added.is_some() || provider.is_usable();
            if is_ollama(&provider) && added.is_none() {
                let found = if self.config.find_ollama { self.ollama(&provider).await } else { None };
                usable = found.is_some();
                if provider.models.is_empty() {
                    provider.models = found.unwrap_or_default();
                }
            }
            let models =
                provider.models.iter().map(|model| (model.clone(), self.price(&provider, model))).collect();
            let own = keys.iter().find(|key| key.provider == name).map(|key| key.created_at);
            offers.push(Offer { provider, usable, own_key_since: own, models });
        }
        Ok(offers)
    }

    /// The names of the providers that these settings make usable, before there is a server; an error where the prices
    /// cannot be read.
    pub async fn survey(config: &config::Llm) -> anyhow::Result<Vec<String>> {
        Prices::load(&config.prices_file)?;
        let all = || config.providers.iter().map(|(name, settings)| Provider::of(name, settings));
        let mut usable: Vec<String> = all()
            .filter(|provider| !is_ollama(provider) && provider.is_usable())
            .map(|provider| provider.name)
            .collect();
        let ollama = all().find(|provider| is_ollama(provider) && config.find_ollama);
        if let Some(ollama) = ollama
            && let Some(models) = Net::new(config, Clock::system()).ollama_models(&ollama.base_url).await
        {
            usable.push(format!("ollama with {} models", models.len()));
        }
        Ok(usable)
    }

    /// Who is asked when nobody says: the provider of the settings, or the first that can be used, with its first
    /// model. `None`: there is no model at all.
    pub async fn default_target(&self, user: Option<UserId>) -> error::Result<Option<Target>> {
        self.somebody(user, None).await
    }

    /// Who is asked when only the model is named: whoever offers it or has a price for it, or else the default.
    async fn somebody(&self, user: Option<UserId>, model: Option<&str>) -> error::Result<Option<Target>> {
        let offers = self.offers(user).await?;
        let usable = || offers.iter().filter(|offer| offer.usable && !offer.models.is_empty());
        let knows = |offer: &&Offer, model: &str| {
            let offered = offer.models.iter().any(|(name, _)| name == model);
            offered || self.prices.of(&offer.provider.name, model).is_some()
        };
        let whose = model.and_then(|model| usable().find(|offer| knows(offer, model)));
        let named = || usable().find(|offer| offer.provider.name == self.config.provider);
        Ok(whose.or_else(named).or_else(|| usable().next()).map(|offer| Target {
            provider: Some(offer.provider.name.clone()),
            model: model.map(str::to_owned).or_else(|| offer.models.first().map(|(model, _)| model.clone())),
        }))
    }

    /// Who is meant, and which of its models.
    pub(super) async fn resolve(
        &self,
        user: Option<UserId>,
        target: &Target,
    ) -> Result<(Asked, String), Error> {
        let store = |error: error::Error| Error::Store(error.to_string());
        let target = match &target.provider {
            Some(_) => target.clone(),
            None => self.somebody(user, target.model.as_deref()).await.map_err(store)?.ok_or_else(|| {
                Error::NotConfigured(
                    "no model can be asked: give a provider of [llm.providers] a key, or start Ollama"
                        .to_owned(),
                )
            })?,
        };
        let name = target.provider.unwrap_or_default();
        if !self.names().contains(&name) {
            return Err(Error::NotConfigured(format!("there is no provider {name:?} in [llm.providers]")));
        }
        let asked = self.asked(&name, &self.keys_of(user).await.map_err(store)?);
        if asked.added.is_none() && !asked.provider.is_usable() {
            let title = asked.provider.title();
            return Err(Error::NotConfigured(format!(
                "there is no key for {title}: see [llm.providers.{name}]"
            )));
        }
        let mut model = target.model.or_else(|| asked.provider.models.first().cloned());
        if model.is_none() && is_ollama(&asked.provider) {
            model = self.ollama(&asked.provider).await.and_then(|models| models.into_iter().next());
        }
        let model = model.ok_or_else(|| {
            Error::NotConfigured(format!("no model of {name} is named, and it offers none"))
        })?;
        let plain = |c: char| c.is_ascii_graphic();
        if model.is_empty() || model.len() > 200 || !model.chars().all(plain) {
            return Err(Error::Invalid { message: "no model has such a name".to_owned() });
        }
        Ok((asked, model))
    }

    /// What a model costs, if that is known.
    pub(super) fn price(&self, provider: &Provider, model: &str) -> Option<Price> {
        if provider.free {
            return Some(Price::free());
        }
        self.prices.of(&provider.name, model)
    }

    /// Keeps a user's key, and an address if its is another one than the server's.
    pub async fn put_key(
        &self,
        user: UserId,
        name: &str,
        key: &Hidden,
        base_url: Option<&str>,
    ) -> error::Result<()> {
        let Some(settings) = self.config.providers.get(name) else {
            return Err(error::Error::NotFound("provider"));
        };
        let sendable = key.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.expose().len() > LONGEST_KEY || !sendable {
            return Err(error::Error::invalid("key", "must be letters, digits and signs, without spaces"));
        }
        let base_url = match base_url {
            Some(url) => remote::check_address(url, self.config.allow_private_addresses)
                .map_err(|why| error::Error::invalid("base_url", why))?,
            None if settings.base_url.is_empty() => {
                return Err(error::Error::invalid("base_url", "is needed: the settings name none"));
            }
            None => String::new(),
        };
        let (nonce, sealed) = self.vault().await?.seal(user, name, &base_url, key)?;
        let (provider, created_at) = (name.to_owned(), self.clock.now());
        let row = LlmKeyRow { user_id: user, provider, base_url, nonce, sealed, created_at };
        Ok(self.store.put_llm_key(&row).await?)
    }

    /// Forgets a user's key.
    pub async fn forget_key(&self, user: UserId, name: &str) -> error::Result<()> {
        let gone = self.store.delete_llm_key(user, name).await?;
        if gone { Ok(()) } else { Err(error::Error::NotFound("key")) }
    }

    async fn keys_of(&self, user: Option<UserId>) -> error::Result<Vec<LlmKeyRow>> {
        match user {
            Some(user) => {
                let keys = self.store.llm_keys(user).await?;
                if !keys.is_empty() {
                    self.vault().await?;
                }
                Ok(keys)
            }
            None => Ok(Vec::new()),
        }
    }

    /// Whether there is a provider of this name, whether it can be asked or not.
    pub fn knows(&self, provider: &str) -> bool {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        self.config.providers.contains_key(provider) || added.contains_key(provider)
    }

    /// The providers' names in the order in which they are tried: the table's, the settings', and Ollama last.
    fn names(&self) -> Vec<String> {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<String> = self.config.providers.keys().cloned().collect();
        names.extend(added.keys().filter(|name| !self.config.providers.contains_key(*name)).cloned());
        let rank =
            |name: &String| TABLE.iter().position(|row| row.name == name.as_str()).unwrap_or(TABLE.len());
        names.sort_by_key(|name| (!added.contains_key(name), name == OLLAMA, rank(name)));
        names
    }

    fn asked(&self, name: &str, keys: &[LlmKeyRow]) -> Asked {
        let added = self.added.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let settings = self.config.providers.get(name);
        let mut provider = match settings {
            Some(settings) => Provider::of(name, settings),
            None => Provider::of(name, &config::LlmProvider::default()),
        };
        if added.is_some() && provider.models.is_empty() {
            provider.models.push("default".to_owned());
        }
        if let Some(row) = keys.iter().find(|row| row.provider == name) {
            // A key that does not open any more is as good as none; the server's is not taken in its place.
            provider.key = self.vault.get().and_then(|vault| vault.unseal(row));
            provider.owner = Some(row.user_id);
            if !row.base_url.is_empty() {
                provider.base_url.clone_from(&row.base_url);
            }
        }
        Asked { provider, added }
    }

    /// The models that Ollama has, if it is there; asked again only after a while.
    async fn ollama(&self, provider: &Provider) -> Option<Vec<String>> {
        let mut found = self.ollama.lock().await;
        let now = self.clock.now();
        if found.at.is_none_or(|at| at + FRESH < now) {
            *found = Found { at: Some(now), models: self.net.ollama_models(&provider.base_url).await };
        }
        found.models.clone()
    }
}

const OLLAMA: &str = "ollama";

fn is_ollama(provider: &Provider) -> bool {
    provider.name == OLLAMA
}
