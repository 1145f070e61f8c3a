//! Keys that users bring: encrypted where they are kept, and never shown again.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hmac::{Hmac, Mac};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::Sha256;

use crate::config::Hidden;
use crate::error::{Error, Result};
use crate::model::UserId;
use crate::store::{LlmKeyRow, Store};

/// Encrypts and decrypts: AES-256-GCM with a key that is derived from the installation's secret, a new random nonce
/// each time, and the row's user, provider and address as associated data, so that no row opens in another's place.
#[derive(Clone)]
pub(super) struct Vault(Aes256Gcm);

impl Vault {
    /// With the secret of the settings, or the one in the database, which whoever starts first makes for all replicas.
    pub(super) async fn open(secret: &Hidden, store: &Store) -> Result<Self> {
        const NAME: &str = "llm_key_secret";
        let kept;
        let secret = if secret.is_empty() {
            kept = match store.setting(NAME).await? {
                Some(kept) => kept,
                None => store.settle(NAME, &hex::encode(random::<32>()?)).await?,
            };
            kept.as_str()
        } else {
            secret.expose()
        };
        let mut derive = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
            .map_err(|error| Error::Internal(error.into()))?;
        derive.update(b"codeyard: keys of model providers, 1");
        let key: [u8; 32] = derive.finalize().into_bytes().into();
        Ok(Self(Aes256Gcm::new(&Key::<Aes256Gcm>::from(key))))
    }

    /// Encrypts a key for its row.
    pub(super) fn seal(
        &self,
        user: UserId,
        provider: &str,
        base_url: &str,
        key: &Hidden,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let nonce = random::<12>()?;
        let about = about(user, provider, base_url);
        let payload = Payload { msg: key.expose().as_bytes(), aad: about.as_bytes() };
        let sealed =
            self.0.encrypt(&Nonce::from(nonce), payload).map_err(|_| broken("a key cannot be encrypted"))?;
        Ok((nonce.to_vec(), sealed))
    }

    /// Decrypts the key of a row. `None`: it was encrypted with another secret, or somebody has changed it.
    pub(super) fn unseal(&self, row: &LlmKeyRow) -> Option<Hidden> {
        let nonce: [u8; 12] = row.nonce.as_slice().try_into().ok()?;
        let about = about(row.user_id, &row.provider, &row.base_url);
        let payload = Payload { msg: &row.sealed, aad: about.as_bytes() };
        let key = self.0.decrypt(&Nonce::from(nonce), payload).ok()?;
        Some(Hidden::new(std::str::from_utf8(&key).ok()?))
    }
}

fn about(user: UserId, provider: &str, base_url: &str) -> String {
    format!("{user}\n{provider}\n{base_url}")
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).map_err(|error| Error::Internal(error.into()))?;
    Ok(bytes)
}

fn broken(what: &'static str) -> Error {
    Error::Internal(anyhow::anyhow!(what))
}
