//! Tickets: a browser cannot send headers when it opens a socket, and a token does not belong into a URL.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Auth, Secret, secret};
use crate::error::{Error, Result};
use crate::model::{Caller, Scopes};
use crate::store::TicketRow;

impl Auth {
    /// A ticket for one socket, on whichever replica, and the time it stops to be good.
    pub async fn issue_ticket(&self, to: &Caller) -> Result<(Secret, DateTime<Utc>)> {
        let account = self.account(to.user).await?;
        let expires_at = self.0.clock.now() + TimeDelta::seconds(self.0.config.ticket_seconds.into());
        let ticket = Secret::random()?;
        let row = TicketRow { user_id: to.user, scopes: to.scopes.bits(), epoch: account.epoch, expires_at };
        self.0.store.insert_ticket(&ticket.hash(), &row).await?;
        Ok((ticket, expires_at))
    }

    /// Who was given this ticket; it is good for this once.
    pub async fn redeem_ticket(&self, ticket: &str) -> Result<Caller> {
        const NO_TICKET: Error = Error::Unauthenticated("this ticket does not hold; get a new one");
        let row = self.0.store.take_ticket(&secret::hash(ticket)).await?.ok_or(NO_TICKET)?;
        let account = self.account(row.user_id).await?;
        if self.0.clock.now() >= row.expires_at || account.epoch != row.epoch {
            return Err(NO_TICKET);
        }
        Ok(Caller { user: row.user_id, role: account.role, scopes: Scopes::from_bits(row.scopes) })
    }
}
