//! Making and changing accounts.

use super::{Auth, Secret, password};
use crate::error::{Error, Result};
use crate::model::{Role, UserId};
use crate::store::{Updated, UserChange, UserRow};

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its address.
    pub email: String,
    /// What it is called; empty: as the address before the @.
    pub name: String,
    /// Its password.
    pub password: Secret,
    /// What it may do.
    pub role: Role,
}

/// What an administrator changes of an account; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct UserPatch {
    /// What it is called.
    pub name: Option<String>,
    /// What it may do.
    pub role: Option<Role>,
    /// Whether it may do nothing at all for now.
    pub disabled: Option<bool>,
    /// Its password.
    pub password: Option<Secret>,
}

/// The account that is made when there is none.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    /// Its address.
    pub email: String,
    /// Its password, shown this once.
    pub password: Secret,
}

impl Auth {
    /// Makes `admin@localhost` with a random password if there is no account at all. Of several replicas that start
    /// at once, one gets the answer.
    pub async fn first_admin(&self) -> Result<Option<FirstAdmin>> {
        if self.0.store.has_users().await? {
            return Ok(None);
        }
        let admin = FirstAdmin { email: "admin@localhost".to_owned(), password: Secret::random()? };
        let new = NewUser {
            email: admin.email.clone(),
            name: "Administrator".to_owned(),
            password: admin.password.clone(),
            role: Role::Admin,
        };
        let user = self.row(new).await?;
        Ok(self.0.store.insert_first_user(&user).await?.then_some(admin))
    }

    /// Makes an account.
    pub async fn create_user(&self, new: NewUser) -> Result<UserRow> {
        check_email(&new.email)?;
        check_name(&new.name)?;
        password::check("password", &new.password, &new.email)?;
        let user = self.row(new).await?;
        if !self.0.store.insert_user(&user).await? {
            return Err(Error::conflict("EMAIL_TAKEN", "there is an account with this email address"));
        }
        Ok(user)
    }

    /// An account.
    pub async fn user(&self, id: UserId) -> Result<UserRow> {
        self.0.store.find_user(id).await?.ok_or(Error::NotFound("account"))
    }

    /// An account by its address.
    pub async fn user_by_email(&self, email: &str) -> Result<UserRow> {
        self.0.store.find_user_by_email(email).await?.ok_or(Error::NotFound("account"))
    }

    /// A page of accounts, oldest first, and how many there are.
    pub async fn users(&self, limit: u32, offset: u64) -> Result<(Vec<UserRow>, i64)> {
        Ok(self.0.store.list_users(limit, offset).await?)
    }

    /// Changes what one is called.
    pub async fn rename_user(&self, id: UserId, name: String) -> Result<UserRow> {
        self.change_user(id, UserPatch { name: Some(name), ..UserPatch::default() }).await
    }

    /// Changes an account. A new password and being disabled end all its sessions; being disabled stops its keys, too.
    /// The last administrator stays one.
    pub async fn change_user(&self, id: UserId, patch: UserPatch) -> Result<UserRow> {
        let user = self.user(id).await?;
        if let Some(name) = &patch.name {
            check_name(name)?;
        }
        if let Some(new) = &patch.password {
            password::check("password", new, &user.email)?;
        }
        let password_hash = match &patch.password {
            Some(new) => Some(self.0.passwords.hash(new).await?),
            None => None,
        };
        let ends_sessions = password_hash.is_some() || patch.disabled == Some(true);
        let UserPatch { name, role, disabled, .. } = patch;
        self.apply(id, UserChange { name, password_hash, role, disabled, ends_sessions }).await
    }

    pub(super) async fn set_password(&self, id: UserId, new: &Secret) -> Result<UserRow> {
        let password_hash = Some(self.0.passwords.hash(new).await?);
        self.apply(id, UserChange { password_hash, ends_sessions: true, ..UserChange::default() }).await
    }

    async fn apply(&self, id: UserId, change: UserChange) -> Result<UserRow> {
        let updated = self.0.store.update_user(id, &change).await?;
        self.0.known.forget_account(id);
        match updated {
            Updated::Done(user) => Ok(user),
            Updated::NoSuch => Err(Error::NotFound("account")),
            Updated::LastAdmin => Err(Error::conflict("LAST_ADMIN", "this is the last administrator")),
        }
    }

    async fn row(&self, new: NewUser) -> Result<UserRow> {
        let called = match new.name.trim() {
            "" => new.email.split('@').next().unwrap_or_default(),
            name => name,
        };
        Ok(UserRow {
            id: UserId(self.0.clock.new_id()),
            name: called.to_owned(),
            password_hash: self.0.passwords.hash(&new.password).await?,
            role: new.role,
            disabled: false,
            epoch: 0,
            created_at: self.0.clock.now(),
            email: new.email,
        })
    }
}

/// Refuses what cannot be an address. Whether it is one, only a letter to it would tell.
fn check_email(email: &str) -> Result<()> {
    let parts = email.rsplit_once('@');
    let fits = parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !fits || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Error::invalid("email", "this is not an email address"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<()> {
    if name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(Error::invalid("name", "a name has at most 100 characters, and no line breaks"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_two_halves_and_no_spaces() {
        for good in ["ada@example.com", "admin@localhost", "a+b@c.d", "ü@exämple.org"] {
            assert!(check_email(good).is_ok(), "{good}");
        }
        for bad in ["", "ada", "@example.com", "ada@", "a da@example.com", "ada@example.com\n", "a@b\0"] {
            assert!(check_email(bad).is_err(), "{bad:?}");
        }
        assert!(check_email(&format!("{}@example.com", "a".repeat(250))).is_err());
    }
}
