//! Passwords, tokens, keys, tickets and roles.

use crate::clock::Clock;
use crate::config;
use crate::error::{Error, Result};
use crate::model::Caller;
use crate::store::Store;

/// Who may do what. Cheap to clone; clones are the same.
#[derive(Clone, Debug)]
pub struct Auth;

impl Auth {
    /// Reads or makes what tokens are signed with.
    pub async fn open(_: &config::Auth, _: Store, _: Clock) -> anyhow::Result<Self> {
        Ok(Self)
    }

    /// Who holds this token or API key.
    pub async fn verify(&self, _: &str) -> Result<Caller> {
        Err(Error::Unauthenticated("this token does not hold"))
    }

    /// Who was given this ticket; it is good for this once.
    pub async fn redeem_ticket(&self, _: &str) -> Result<Caller> {
        Err(Error::Unauthenticated("this ticket does not hold"))
    }
}
