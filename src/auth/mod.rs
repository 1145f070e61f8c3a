//! Passwords, tokens, keys, tickets and roles: who is calling, and how it proves it.

mod accounts;
mod attempts;
mod keys;
mod known;
mod password;
mod resets;
mod secret;
mod sessions;
mod tickets;
mod token;

use std::path::Path;
use std::sync::Arc;

pub use accounts::{FirstAdmin, NewUser, UserPatch};
pub use attempts::network_of;
pub use keys::{KEY_PREFIX, NewKey};
pub use secret::Secret;
pub use sessions::{Credentials, Registration, Session};

use crate::clock::Clock;
use crate::config;
use crate::error::Result;
use crate::mail::Mailer;
use crate::model::Caller;
use crate::store::Store;
use attempts::Attempts;
use known::Known;
use password::Passwords;
use token::Signer;

/// Who may do what. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    store: Store,
    clock: Clock,
    config: config::Auth,
    signer: Signer,
    passwords: Passwords,
    attempts: Attempts,
    known: Known,
    mail: Option<Mailer>,
}

impl Auth {
    /// Reads what tokens are signed with: a key file, a secret from the settings, or the one in the database, which
    /// whoever starts first makes for all replicas.
    pub async fn open(
        config: &config::Auth,
        store: Store,
        clock: Clock,
        mail: Option<Mailer>,
    ) -> anyhow::Result<Self> {
        let signer = match signer(config)? {
            Some(signer) => signer,
            None => {
                let kept = match store.setting("jwt_secret").await? {
                    Some(kept) => kept,
                    None => store.settle("jwt_secret", Secret::random()?.expose()).await?,
                };
                Signer::with_secret(&Secret::new(kept))?
            }
        };
        Ok(Self(Arc::new(Parts {
            passwords: Passwords::new(config.hashing_slots),
            attempts: Attempts::new(config.login_attempts_per_minute),
            known: Known::default(),
            mail,
            config: config.clone(),
            store,
            clock,
            signer,
        })))
    }

    /// Who holds this access token or API key. Needs no query while the account and key were looked at lately.
    pub async fn verify(&self, credential: &str) -> Result<Caller> {
        if credential.starts_with(KEY_PREFIX) {
            self.verify_key(credential).await
        } else {
            self.verify_token(credential).await
        }
    }
}

/// The algorithm that the settings ask tokens to be signed with; `None`: with the secret in the database. Fails where a
/// start would.
pub fn signs_with(config: &config::Auth) -> anyhow::Result<Option<String>> {
    Ok(signer(config)?.map(|signer| signer.algorithm()))
}

/// What tokens are signed with, if the settings say it.
fn signer(config: &config::Auth) -> anyhow::Result<Option<Signer>> {
    if !config.jwt_key_file.is_empty() {
        return Signer::with_key_file(Path::new(&config.jwt_key_file)).map(Some);
    }
    let secret = Some(&config.jwt_secret).filter(|secret| !secret.is_empty());
    secret.map(|secret| Signer::with_secret(&Secret::new(secret))).transpose()
}
