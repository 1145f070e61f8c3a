//! What was seen in the database a moment ago: a request needs no query for it, and a change takes effect within
//! the time given here on every replica (at once on the one that made it).

use chrono::{DateTime, TimeDelta, Utc};
use moka::sync::Cache;

use super::Auth;
use crate::error::{Error, Result};
use crate::model::{Role, UserId};
use crate::store::{KeyRow, SecretHash};

/// How long a look at the database counts.
const FRESH: TimeDelta = TimeDelta::seconds(15);
const MOST: u64 = 50_000;

/// What was seen of accounts and keys.
#[derive(Debug)]
pub(super) struct Known {
    accounts: Cache<UserId, (Account, DateTime<Utc>)>,
    keys: Cache<SecretHash, (KeyRow, DateTime<Utc>)>,
}

/// What a request needs to know of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) role: Role,
    pub(super) epoch: i32,
}

impl Default for Known {
    fn default() -> Self {
        Self { accounts: Cache::new(MOST), keys: Cache::new(MOST) }
    }
}

impl Known {
    pub(super) fn forget_account(&self, id: UserId) {
        self.accounts.invalidate(&id);
    }

    pub(super) fn forget_key(&self, hash: &SecretHash) {
        self.keys.invalidate(hash);
    }
}

impl Auth {
    /// An account that may do something.
    pub(super) async fn account(&self, id: UserId) -> Result<Account> {
        let (known, now) = (&self.0.known.accounts, self.0.clock.now());
        if let Some((account, seen_at)) = known.get(&id)
            && now - seen_at < FRESH
        {
            return Ok(account);
        }
        let Some(user) = self.0.store.find_user(id).await?.filter(|user| !user.disabled) else {
            known.invalidate(&id);
            return Err(Error::Unauthenticated("this account is disabled, or gone"));
        };
        let account = Account { role: user.role, epoch: user.epoch };
        known.insert(id, (account, now));
        Ok(account)
    }

    /// A key, good or not, if there is one with this hash; the flag says that the database was asked just now.
    pub(super) async fn key(&self, hash: SecretHash) -> Result<Option<(KeyRow, bool)>> {
        let (known, now) = (&self.0.known.keys, self.0.clock.now());
        if let Some((key, seen_at)) = known.get(&hash)
            && now - seen_at < FRESH
        {
            return Ok(Some((key, false)));
        }
        let Some(key) = self.0.store.find_api_key(&hash).await? else {
            known.invalidate(&hash);
            return Ok(None);
        };
        known.insert(hash, (key.clone(), now));
        Ok(Some((key, true)))
    }
}
