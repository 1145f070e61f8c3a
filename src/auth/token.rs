//! Access tokens: short-lived JWTs, signed and read with one algorithm and no other.

use std::path::Path;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::error::{Error, Result};
use crate::model::{Role, Scope, UserId};

const ISSUER: &str = "codeyard";
const RESET_ISSUER: &str = "codeyard password reset";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: UserId,
    /// For whoever looks into the token; what counts is the account's role at the time of the request.
    pub(super) role: Role,
    pub(super) scopes: Vec<Scope>,
    /// Which of the account's sessions count.
    pub(super) epoch: i32,
    pub(super) iat: i64,
    pub(super) exp: i64,
}

impl Claims {
    pub(super) fn new(
        sub: UserId,
        role: Role,
        epoch: i32,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Self {
        let scopes = crate::model::Scopes::ALL.list();
        let (iat, exp) = (from.timestamp(), until.timestamp());
        Self { iss: ISSUER.to_owned(), sub, role, scopes, epoch, iat, exp }
    }
}

/// What a token for a new password says. Its issuer sets it apart: neither passes for the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ResetClaims {
    iss: String,
    pub(super) sub: UserId,
    /// Which of the account's sessions counted when it was made: the new password makes it another one.
    pub(super) epoch: i32,
    exp: i64,
}

impl ResetClaims {
    pub(super) fn new(sub: UserId, epoch: i32, until: DateTime<Utc>) -> Self {
        Self { iss: RESET_ISSUER.to_owned(), sub, epoch, exp: until.timestamp() }
    }
}

/// Signs and reads tokens.
pub(super) struct Signer {
    header: Header,
    signs: EncodingKey,
    reads: DecodingKey,
    validation: Validation,
}

impl Signer {
    /// With a shared secret: HS256.
    pub(super) fn with_secret(secret: &Secret) -> anyhow::Result<Self> {
        let bytes = secret.expose().as_bytes();
        if bytes.len() < 32 {
            bail!("the secret for tokens (auth.jwt_secret) has {} bytes; it needs at least 32", bytes.len());
        }
        let (signs, reads) = (EncodingKey::from_secret(bytes), DecodingKey::from_secret(bytes));
        Ok(Self::new(Algorithm::HS256, signs, reads))
    }

    /// With the private key in a PEM file: RS256 for RSA, EdDSA for Ed25519.
    pub(super) fn with_key_file(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| format!("auth.jwt_key_file {}", path.display()))?;
        let key = match (EncodingKey::from_ed_pem(&pem), EncodingKey::from_rsa_pem(&pem)) {
            (Ok(key), _) => Some((Algorithm::EdDSA, key)),
            (_, Ok(key)) => Some((Algorithm::RS256, key)),
            _ => None,
        };
        let Some((algorithm, signs)) = key else {
            bail!("auth.jwt_key_file {}: not a PEM file with an RSA or Ed25519 private key", path.display());
        };
        let public = Jwk::from_encoding_key(&signs, algorithm).and_then(|jwk| DecodingKey::from_jwk(&jwk));
        let reads = public.with_context(|| {
            format!("auth.jwt_key_file {}: the key does not give its public half", path.display())
        })?;
        Ok(Self::new(algorithm, signs, reads))
    }

    fn new(algorithm: Algorithm, signs: EncodingKey, reads: DecodingKey) -> Self {
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // The expiry is compared below, with the clock that tests can move.
        validation.validate_exp = false;
        validation.validate_aud = false;
        Self { header: Header::new(algorithm), signs, reads, validation }
    }

    /// What JWTs call the algorithm.
    pub(super) fn algorithm(&self) -> String {
        format!("{:?}", self.header.alg)
    }

    /// The token that says this.
    pub(super) fn sign(&self, claims: &Claims) -> Result<Secret> {
        self.encode(claims)
    }

    /// The token for a new password that says this.
    pub(super) fn sign_reset(&self, claims: &ResetClaims) -> Result<Secret> {
        self.encode(claims)
    }

    /// What a token for a new password says, if it is ours and still good.
    pub(super) fn read_reset(&self, token: &Secret, now: DateTime<Utc>) -> Option<ResetClaims> {
        let mut validation = self.validation.clone();
        validation.set_issuer(&[RESET_ISSUER]);
        let read = jsonwebtoken::decode::<ResetClaims>(token.expose(), &self.reads, &validation);
        read.ok().map(|read| read.claims).filter(|claims| now.timestamp() < claims.exp)
    }

    fn encode(&self, claims: &impl Serialize) -> Result<Secret> {
        let token = jsonwebtoken::encode(&self.header, claims, &self.signs);
        token.map(Secret::new).map_err(|error| Error::Internal(error.into()))
    }

    /// What a token says, if it is ours and still good.
    pub(super) fn read(&self, token: &str, now: DateTime<Utc>) -> Result<Claims> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.reads, &self.validation)
            .map_err(|_| Error::Unauthenticated("this token does not hold"))?
            .claims;
        if now.timestamp() >= claims.exp {
            return Err(Error::Unauthenticated("this token has expired; refresh it, or sign in again"));
        }
        Ok(claims)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.header.alg).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::TimeDelta;

    use super::*;
    use crate::clock::Clock;

    fn claims(clock: &Clock) -> Claims {
        let now = clock.now();
        Claims::new(UserId(clock.new_id()), Role::User, 3, now, now + TimeDelta::minutes(15))
    }

    fn signer() -> Signer {
        Signer::with_secret(&Secret::new("x".repeat(32))).unwrap()
    }

    #[test]
    fn a_token_is_read_until_it_expires_and_not_by_another_secret() {
        let (signer, clock) = (signer(), Clock::seeded(1));
        let claims = claims(&clock);
        let token = signer.sign(&claims).unwrap();
        assert_eq!(signer.read(token.expose(), clock.now()).unwrap(), claims);
        assert!(signer.read(token.expose(), clock.now() + TimeDelta::minutes(15)).is_err());
        let other = Signer::with_secret(&Secret::new("y".repeat(32))).unwrap();
        assert!(other.read(token.expose(), clock.now()).is_err());
    }

    #[test]
    fn a_token_that_names_another_algorithm_is_none() {
        let (signer, clock) = (signer(), Clock::seeded(1));
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims(&clock)).unwrap());
        let header = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"none"}"#);
        assert!(signer.read(&format!("{header}.{body}."), clock.now()).is_err());
        let longer = Header::new(Algorithm::HS512);
        let token = jsonwebtoken::encode(&longer, &claims(&clock), &signer.signs).unwrap();
        assert!(signer.read(&token, clock.now()).is_err());
    }

    #[test]
    fn a_short_secret_is_refused_in_words() {
        let refused = Signer::with_secret(&Secret::new("x".repeat(31))).unwrap_err();
        assert!(refused.to_string().contains("at least 32"), "{refused}");
    }
}
