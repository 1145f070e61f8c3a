//! A forgotten password: a mail with a token that is good once, and for a short time.

use std::net::IpAddr;
use std::time::Duration;

use chrono::TimeDelta;

use super::attempts::Who;
use super::token::ResetClaims;
use super::{Auth, Secret, password};
use crate::error::{Error, Result};

impl Auth {
    /// Mails a token to the account with this address, if there is one. Whether there is shows neither in the answer
    /// nor in the time it takes: the look and the mail come after it.
    pub fn forgot_password(&self, email: String, from: IpAddr) -> Result<()> {
        if self.0.mail.is_none() {
            return Err(Error::Unavailable {
                code: "NO_MAIL_CONFIGURED",
                message: "this server sends no mail; ask its administrator for a new password".to_owned(),
                retry_after: Duration::from_secs(3600),
            });
        }
        self.0.attempts.take(&[Who::forgetful(&email), Who::address(from)], self.0.clock.now())?;
        let auth = self.clone();
        tokio::spawn(async move {
            if let Err(error) = auth.mail_token(&email).await {
                tracing::warn!(%error, "a mail for a new password was not sent");
            }
        });
        Ok(())
    }

    /// Sets a new password for whoever holds a mailed token, and ends all sessions. That makes the token worthless.
    pub async fn reset_password(&self, token: &Secret, new: &Secret) -> Result<()> {
        let worthless =
            || Error::invalid("token", "does not hold, was used, or has expired; ask for a new one");
        let claims = self.0.signer.read_reset(token, self.0.clock.now()).ok_or_else(worthless)?;
        let user = self.0.store.find_user(claims.sub).await?;
        let user = user.filter(|user| !user.disabled && user.epoch == claims.epoch).ok_or_else(worthless)?;
        password::check("password", new, &user.email)?;
        self.set_password(user.id, new).await?;
        Ok(())
    }

    async fn mail_token(&self, email: &str) -> anyhow::Result<()> {
        let user = match email.contains('\0') {
            true => None,
            false => self.0.store.find_user_by_email(email).await?,
        };
        let (Some(user), Some(mail)) = (user.filter(|user| !user.disabled), &self.0.mail) else {
            return Ok(());
        };
        let minutes = self.0.config.reset_minutes;
        let until = self.0.clock.now() + TimeDelta::minutes(minutes.into());
        let token = self.0.signer.sign_reset(&ResetClaims::new(user.id, user.epoch, until))?;
        let way = match self.0.config.reset_url.as_str() {
            "" => format!(
                "Send this token with the new password to POST /api/v1/auth/password/reset:\n\n{}",
                token.expose()
            ),
            url => format!("Follow this link:\n\n{}", url.replace("{token}", token.expose())),
        };
        let text = format!(
            "Somebody, probably you, asked for a new password for the account {} at Codeyard.\n{way}\n\n\
             It is good for {minutes} minutes, and once. If it was not you, do nothing: your password stays.\n",
            user.email
        );
        mail.send(&user.email, "A new password for Codeyard", text).await?;
        Ok(())
    }
}
