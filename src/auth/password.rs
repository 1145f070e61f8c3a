//! Passwords: hashed with Argon2id, off the async threads, a few at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::secret::{Secret, random_bytes};
use crate::error::{Error, Result};

/// How many may wait for each slot: about a third of a second's worth.
const WAITING_PER_SLOT: usize = 16;
/// What an account that does not exist is compared with, so that it takes as long as one that does.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The slots in which passwords are hashed.
#[derive(Debug)]
pub(super) struct Passwords {
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl Passwords {
    pub(super) fn new(slots: usize) -> Self {
        let slots_and_queue = slots * WAITING_PER_SLOT;
        Self {
            slots: Arc::new(Semaphore::new(slots)),
            waiting: AtomicUsize::new(0),
            most_waiting: slots_and_queue,
        }
    }

    /// The hash to keep, as a PHC string.
    pub(super) async fn hash(&self, password: &Secret) -> Result<String> {
        let salt = random_bytes::<16>()?;
        let password = password.clone();
        let hashed = move || -> Result<PasswordHash, argon2::password_hash::Error> {
            Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &salt)
        };
        let hashed = self.in_a_slot(hashed).await?;
        Ok(hashed
            .map_err(|error| Error::Internal(anyhow::anyhow!("hashing a password: {error}")))?
            .to_string())
    }

    /// Whether the password belongs to the hash. Takes as long when there is no hash.
    pub(super) async fn matches(&self, password: &Secret, hash: Option<&str>) -> Result<bool> {
        let exists = hash.is_some();
        let (password, hash) = (password.clone(), hash.unwrap_or(NOBODY).to_owned());
        let compared = move || {
            let hash = PasswordHash::new(&hash)?;
            Ok::<_, argon2::password_hash::phc::Error>(
                Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok(),
            )
        };
        let same = self.in_a_slot(compared).await?;
        let same =
            same.map_err(|error| Error::Internal(anyhow::anyhow!("a password hash does not read: {error}")))?;
        Ok(same && exists)
    }

    async fn in_a_slot<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let waiting = Waiting(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.most_waiting {
            return Err(busy());
        }
        let slot =
            Arc::clone(&self.slots).acquire_owned().await.map_err(|error| Error::Internal(error.into()))?;
        drop(waiting);
        // The slot goes along: a caller that gives up does not make room before the work is done.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(slot);
            result
        });
        done.await.map_err(|error| Error::Internal(error.into()))
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Refuses a password that is too short, absurdly long, or the address itself.
pub(super) fn check(field: &str, password: &Secret, email: &str) -> Result<()> {
    let length = password.expose().chars().count();
    if !(10..=256).contains(&length) {
        return Err(Error::invalid(field, "a password has 10 to 256 characters"));
    }
    if password.expose().to_lowercase() == email.to_lowercase() {
        return Err(Error::invalid(field, "the password must not be the email address"));
    }
    Ok(())
}

fn busy() -> Error {
    Error::Unavailable {
        code: "SIGN_IN_BUSY",
        message: "too many people sign in right now; try again shortly".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_hash_and_nobodys_matches_nothing() {
        let passwords = Passwords::new(2);
        let (right, wrong) = (Secret::new("correct horse battery"), Secret::new("correct horse batteri"));
        let hash = passwords.hash(&right).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.matches(&right, Some(&hash)).await.unwrap());
        assert!(!passwords.matches(&wrong, Some(&hash)).await.unwrap());
        assert!(!passwords.matches(&right, None).await.unwrap());
    }

    #[tokio::test]
    async fn those_who_would_wait_too_long_are_told_at_once() {
        let passwords = Passwords::new(1);
        let held = Arc::clone(&passwords.slots).acquire_owned().await.unwrap();
        let secret = Secret::new("whatever it may be");
        let mut waiters = Vec::new();
        for _ in 0..WAITING_PER_SLOT {
            let mut waiter = Box::pin(passwords.hash(&secret));
            assert!(futures::poll!(waiter.as_mut()).is_pending());
            waiters.push(waiter);
        }
        assert!(matches!(passwords.hash(&secret).await, Err(Error::Unavailable { .. })));
        drop((waiters, held));
        assert!(passwords.hash(&secret).await.is_ok());
    }

    #[test]
    fn a_short_password_and_the_address_are_refused() {
        let check = |text: &str| check("password", &Secret::new(text), "Ada@example.com").is_ok();
        assert!(check("ten chars!") && check(&"ü".repeat(256)));
        assert!(!check("nine char") && !check(&"x".repeat(257)) && !check("ada@EXAMPLE.com"));
    }
}
