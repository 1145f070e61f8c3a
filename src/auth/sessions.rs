//! Signing in, staying signed in, and signing out.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::attempts::Who;
use super::token::Claims;
use super::{Auth, Secret, accounts, password};
use crate::error::{Error, Result};
use crate::model::{Caller, Role, Scopes, UserId};
use crate::store::{RefreshRow, Rotation, UserRow};

/// A refresh token that was used less than this ago is refused, but not taken for stolen: a client whose two tabs
/// refresh at once must not be thrown out. Only one of the two gets tokens.
const GRACE: TimeDelta = TimeDelta::seconds(10);
const WRONG: Error = Error::Unauthenticated("the email address or the password is wrong");

/// What somebody signs in with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The address of the account.
    pub email: String,
    /// Its password.
    pub password: Secret,
}

/// An account that somebody makes for itself.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its address.
    pub email: String,
    /// What it is called.
    pub name: String,
    /// Its password.
    pub password: Secret,
}

/// What a login gives.
#[derive(Clone, Debug)]
pub struct Session {
    /// For requests; short-lived.
    pub access_token: Secret,
    /// When it stops to be good.
    pub expires_at: DateTime<Utc>,
    /// For the next session, once.
    pub refresh_token: Secret,
    /// Whose they are.
    pub user: UserRow,
}

impl Auth {
    /// Makes an account with role `user`, and signs it in.
    pub async fn register(&self, new: Registration, from: IpAddr) -> Result<Session> {
        if !self.0.config.registration {
            return Err(Error::Forbidden("only administrators make accounts here"));
        }
        self.0.attempts.take(&[Who::address(from)], self.0.clock.now())?;
        let Registration { email, name, password } = new;
        let user = accounts::NewUser { email, name, password, role: Role::User };
        let user = self.create_user(user).await?;
        self.begin_session(user).await
    }

    /// Signs somebody in. Whether the account exists shows neither in the answer nor in the time it takes.
    pub async fn login(&self, with: &Credentials, from: IpAddr) -> Result<Session> {
        let who = [Who::account(&with.email), Who::address(from)];
        self.0.attempts.take(&who, self.0.clock.now())?;
        let checked = self.check_password(with).await;
        if !matches!(checked, Err(Error::Unauthenticated(_))) {
            self.0.attempts.give_back(&who);
        }
        self.begin_session(checked?).await
    }

    async fn check_password(&self, with: &Credentials) -> Result<UserRow> {
        let user = match with.email.contains('\0') {
            true => None,
            false => self.0.store.find_user_by_email(&with.email).await?,
        };
        let hash = user.as_ref().map(|user| user.password_hash.as_str());
        let matches = self.0.passwords.matches(&with.password, hash).await?;
        user.filter(|user| matches && !user.disabled).ok_or(WRONG)
    }

    /// Exchanges a refresh token for a new session. Of several that use one token at once, exactly one gets a
    /// session; a token that is used again later was stolen at one end or the other, and its whole family ends.
    pub async fn refresh(&self, token: &Secret) -> Result<Session> {
        let (now, next) = (self.0.clock.now(), Secret::random()?);
        let rotation = self
            .0
            .store
            .rotate_refresh_token(&token.hash(), &next.hash(), now, self.refresh_until(now))
            .await?;
        match rotation {
            Rotation::Rotated(id) => {
                let user = self.0.store.find_user(id).await?.filter(|user| !user.disabled);
                let user = user.ok_or(Error::Unauthenticated("this account is disabled, or gone"))?;
                self.session(user, next)
            }
            Rotation::Reused { used_at, .. } if now - used_at < GRACE => {
                Err(Error::Unauthenticated("this refresh token was used a moment ago; use the newer one"))
            }
            Rotation::Reused { family_id, .. } => {
                tracing::warn!(%family_id, "a refresh token was used twice; its session ends");
                self.0.store.delete_refresh_family(family_id).await?;
                Err(Error::Unauthenticated("this refresh token was used before; sign in again"))
            }
            Rotation::Unknown => {
                Err(Error::Unauthenticated("this refresh token does not hold; sign in again"))
            }
        }
    }

    /// Ends the session of a refresh token. Ending it twice is the same as ending it once. Its access token is good
    /// until it expires, a few minutes later.
    pub async fn logout(&self, token: &Secret) -> Result<()> {
        self.0.store.delete_refresh_family_of(&token.hash()).await?;
        Ok(())
    }

    /// An access token for an account, made on the command line by whoever can reach the database.
    pub async fn token_for(&self, email: &str, good_for: TimeDelta) -> Result<Secret> {
        let user = self.0.store.find_user_by_email(email).await?.filter(|user| !user.disabled);
        let user = user.ok_or(Error::NotFound("account that is not disabled"))?;
        self.access_token(&user, self.0.clock.now() + good_for)
    }

    /// Replaces one's own password, and ends all sessions.
    pub async fn change_password(&self, id: UserId, old: &Secret, new: &Secret) -> Result<UserRow> {
        let user = self.user(id).await?;
        let who = [Who::account(&user.email)];
        self.0.attempts.take(&who, self.0.clock.now())?;
        if !self.0.passwords.matches(old, Some(&user.password_hash)).await? {
            return Err(Error::invalid("current_password", "this is not the current password"));
        }
        self.0.attempts.give_back(&who);
        password::check("password", new, &user.email)?;
        self.set_password(id, new).await
    }

    pub(super) async fn verify_token(&self, token: &str) -> Result<Caller> {
        let claims = self.0.signer.read(token, self.0.clock.now())?;
        let account = self.account(claims.sub).await?;
        if account.epoch != claims.epoch {
            return Err(Error::Unauthenticated("this session was ended; sign in again"));
        }
        Ok(Caller { user: claims.sub, role: account.role, scopes: Scopes::of(&claims.scopes) })
    }

    async fn begin_session(&self, user: UserRow) -> Result<Session> {
        let (now, refresh_token) = (self.0.clock.now(), Secret::random()?);
        let row = RefreshRow {
            hash: refresh_token.hash(),
            family_id: self.0.clock.new_id(),
            user_id: user.id,
            created_at: now,
            expires_at: self.refresh_until(now),
        };
        self.0.store.insert_refresh_token(&row).await?;
        self.session(user, refresh_token)
    }

    fn session(&self, user: UserRow, refresh_token: Secret) -> Result<Session> {
        let expires_at = self.0.clock.now() + TimeDelta::minutes(self.0.config.access_minutes.into());
        Ok(Session { access_token: self.access_token(&user, expires_at)?, expires_at, refresh_token, user })
    }

    fn access_token(&self, user: &UserRow, until: DateTime<Utc>) -> Result<Secret> {
        self.0.signer.sign(&Claims::new(user.id, user.role, user.epoch, self.0.clock.now(), until))
    }

    fn refresh_until(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + TimeDelta::days(self.0.config.refresh_days.into())
    }
}
