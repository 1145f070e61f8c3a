//! API keys: for machines, shown once, limited in what they may do and for how long.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::secret::{self, random_bytes};
use super::{Auth, Secret};
use crate::error::{Error, Result};
use crate::model::{Caller, Scope, Scopes, UserId};
use crate::store::{KeyHash, KeyRow};

/// How every key begins, so that it is told from a token, and found by scanners where it should not be.
pub const KEY_PREFIX: &str = "cy_";
/// `last_used_at` is written no more often than this.
const COARSE: TimeDelta = TimeDelta::minutes(10);
const LONGEST: TimeDelta = TimeDelta::days(36_525);
const MOST_KEYS: i64 = 100;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What its owner calls it.
    pub name: String,
    /// What it is limited to.
    pub scopes: Vec<Scope>,
    /// It is good until then.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Auth {
    /// Makes a key. It can do no more than whoever makes it.
    pub async fn create_key(&self, new: NewKey, by: &Caller) -> Result<(KeyRow, Secret)> {
        let now = self.0.clock.now();
        self.check_key(&new, by, now).await?;
        let prefix = format!("{KEY_PREFIX}{}", hex::encode(random_bytes::<4>()?));
        let key = Secret::new(format!("{prefix}_{}", Secret::random()?.expose()));
        let row = KeyRow {
            id: self.0.clock.new_id(),
            user_id: by.user,
            name: new.name,
            prefix,
            hash: KeyHash(key.hash()),
            scopes: Scopes::of(&new.scopes).bits(),
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        self.0.store.insert_api_key(&row).await?;
        Ok((row, key))
    }

    /// One's keys, newest first.
    pub async fn keys(&self, user: UserId) -> Result<Vec<KeyRow>> {
        Ok(self.0.store.list_api_keys(user).await?)
    }

    /// Takes one of one's keys back: at once here, within seconds on other replicas.
    pub async fn revoke_key(&self, id: Uuid, user: UserId) -> Result<()> {
        let revoked = self.0.store.revoke_api_key(id, user, self.0.clock.now()).await?;
        let key = revoked.ok_or(Error::NotFound("API key"))?;
        self.0.known.forget_key(&key.hash.0);
        Ok(())
    }

    pub(super) async fn verify_key(&self, text: &str) -> Result<Caller> {
        const NO_KEY: Error = Error::Unauthenticated("this API key does not hold");
        let now = self.0.clock.now();
        let (key, asked) = self.key(secret::hash(text)).await?.ok_or(NO_KEY)?;
        if key.revoked_at.is_some() || key.expires_at.is_some_and(|until| now >= until) {
            return Err(NO_KEY);
        }
        let account = self.account(key.user_id).await?;
        if asked && key.last_used_at.is_none_or(|used| now - used >= COARSE) {
            self.0.store.touch_api_key(key.id, now).await?;
        }
        Ok(Caller { user: key.user_id, role: account.role, scopes: Scopes::from_bits(key.scopes) })
    }

    async fn check_key(&self, new: &NewKey, by: &Caller, now: DateTime<Utc>) -> Result<()> {
        if new.name.trim().is_empty()
            || new.name.chars().count() > 100
            || new.name.chars().any(char::is_control)
        {
            return Err(Error::invalid("name", "a key's name has 1 to 100 characters, and no line breaks"));
        }
        if new.scopes.is_empty() {
            return Err(Error::invalid("scopes", "a key without scopes can do nothing; name at least one"));
        }
        if new.scopes.iter().any(|scope| !by.scopes.has(*scope)) {
            return Err(Error::Forbidden("a key cannot make a key that may do more than itself"));
        }
        if new.scopes.contains(&Scope::Admin) && !by.is_admin() {
            return Err(Error::Forbidden("only an administrator makes keys with the scope admin"));
        }
        if new.expires_at.is_some_and(|until| until <= now) {
            return Err(Error::invalid("expires_at", "this time has passed"));
        }
        if new.expires_at.is_some_and(|until| until > now + LONGEST) {
            return Err(Error::invalid("expires_at", "at most a hundred years from now"));
        }
        if self.0.store.count_api_keys(by.user).await? >= MOST_KEYS {
            return Err(Error::conflict("TOO_MANY_KEYS", "there are 100 keys already; revoke some first"));
        }
        Ok(())
    }
}
