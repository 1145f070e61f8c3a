//! Accounts: users, refresh tokens, API keys, socket tickets, and the few settings that replicas share.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Store;
use super::db::{Tx, with_db, with_tx};
use crate::model::{Role, UserId};

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// An account.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct UserRow {
    /// Its id.
    pub id: UserId,
    /// Its address, as it was written.
    pub email: String,
    /// What it is called.
    pub name: String,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may do nothing at all for now.
    pub disabled: bool,
    /// Which of its sessions count: those that name this number.
    pub epoch: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// What is to become of an account; what is `None` stays.
#[derive(Clone, Default)]
pub struct UserChange {
    /// What it is called.
    pub name: Option<String>,
    /// Argon2id, as a PHC string.
    pub password_hash: Option<String>,
    /// What it may do.
    pub role: Option<Role>,
    /// Whether it may do nothing at all for now.
    pub disabled: Option<bool>,
    /// Ends all its sessions and tickets; API keys stay.
    pub ends_sessions: bool,
}

/// What became of a change.
#[derive(Debug)]
pub enum Updated {
    /// The account, changed.
    Done(UserRow),
    /// There is none such.
    NoSuch,
    /// It is the only administrator, and remains one.
    LastAdmin,
}

/// A refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshRow {
    /// Of the token.
    pub hash: SecretHash,
    /// The login it goes back to.
    pub family_id: Uuid,
    /// Whose.
    pub user_id: UserId,
    /// When it was given out.
    pub created_at: DateTime<Utc>,
    /// It is good until then.
    pub expires_at: DateTime<Utc>,
}

/// What came of using a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It was good, and is used now; the next one is in its place.
    Rotated(UserId),
    /// It had been used before.
    Reused {
        /// Whose family it is.
        family_id: Uuid,
        /// When it was used.
        used_at: DateTime<Utc>,
    },
    /// There is none such, or it has expired.
    Unknown,
}

/// An API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeyRow {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// How it begins, to tell it from others.
    pub prefix: String,
    /// Of the whole key.
    #[sqlx(try_from = "Vec<u8>")]
    pub hash: KeyHash,
    /// What it is limited to, as [`crate::model::Scopes::bits`].
    pub scopes: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// It is good until then.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was used, give or take a few minutes.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A [`SecretHash`] that comes out of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub SecretHash);

impl TryFrom<Vec<u8>> for KeyHash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        SecretHash::try_from(bytes.as_slice()).map(Self)
    }
}

/// A ticket for one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TicketRow {
    /// Whose.
    pub user_id: UserId,
    /// What it is limited to, as [`crate::model::Scopes::bits`].
    pub scopes: i32,
    /// The account's epoch when it was given out.
    pub epoch: i32,
    /// It is good until then.
    pub expires_at: DateTime<Utc>,
}

const USER: &str = "id, email, name, password_hash, role, disabled, epoch, created_at";
const KEY: &str = "id, user_id, name, prefix, hash, scopes, created_at, expires_at, last_used_at, revoked_at";

impl Store {
    /// Makes an account; false: the address has one already.
    pub async fn insert_user(&self, user: &UserRow) -> sqlx::Result<bool> {
        self.insert_user_if(user, "true").await
    }

    /// Makes the very first account; false: there is one already.
    pub async fn insert_first_user(&self, user: &UserRow) -> sqlx::Result<bool> {
        self.insert_user_if(user, "not exists (select 1 from users)").await
    }

    async fn insert_user_if(&self, user: &UserRow, condition: &str) -> sqlx::Result<bool> {
        let sql = format!(
            "insert into users (email_key, {USER}) select $1, $2, $3, $4, $5, $6, $7, $8, $9 where {condition}
             on conflict do nothing"
        );
        with_db!(&self.write, pool => sqlx::query::<DB>(sqlx::AssertSqlSafe(sql))
            .bind(email_key(&user.email)).bind(user.id).bind(&user.email).bind(&user.name).bind(&user.password_hash)
            .bind(user.role).bind(user.disabled).bind(user.epoch).bind(user.created_at)
            .execute(pool).await.map(|done| done.rows_affected() > 0))
    }

    /// Whether there is any account.
    pub async fn has_users(&self) -> sqlx::Result<bool> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, bool>("select exists (select 1 from users)")
            .fetch_one(pool).await)
    }

    /// An account by its id.
    pub async fn find_user(&self, id: UserId) -> sqlx::Result<Option<UserRow>> {
        let sql = format!("select {USER} from users where id = $1");
        with_db!(&self.read, pool => sqlx::query_as::<DB, UserRow>(sqlx::AssertSqlSafe(sql))
            .bind(id).fetch_optional(pool).await)
    }

    /// An account by its address, however that is written.
    pub async fn find_user_by_email(&self, email: &str) -> sqlx::Result<Option<UserRow>> {
        let sql = format!("select {USER} from users where email_key = $1");
        with_db!(&self.read, pool => sqlx::query_as::<DB, UserRow>(sqlx::AssertSqlSafe(sql))
            .bind(email_key(email)).fetch_optional(pool).await)
    }

    /// A page of accounts, oldest first, and how many there are.
    pub async fn list_users(&self, limit: u32, offset: u64) -> sqlx::Result<(Vec<UserRow>, i64)> {
        let sql = format!("select {USER} from users order by id limit $1 offset $2");
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        with_db!(&self.read, pool => {
            let users = sqlx::query_as::<DB, UserRow>(sqlx::AssertSqlSafe(sql))
                .bind(i64::from(limit)).bind(offset).fetch_all(pool).await?;
            let total = sqlx::query_scalar::<DB, i64>("select count(*) from users").fetch_one(pool).await?;
            Ok((users, total))
        })
    }

    /// Changes an account, unless that would leave no administrator.
    pub async fn update_user(&self, id: UserId, change: &UserChange) -> sqlx::Result<Updated> {
        let mut tx = self.write.begin().await?;
        let steps_down = change.role == Some(Role::User) || change.disabled == Some(true);
        if steps_down && admins(&mut tx).await? == [id] {
            return Ok(Updated::LastAdmin);
        }
        let sql = format!(
            "update users set name = coalesce($2, name), password_hash = coalesce($3, password_hash),
                 role = coalesce($4, role), disabled = coalesce($5, disabled), epoch = epoch + $6
             where id = $1 returning {USER}"
        );
        let user = with_tx!(&mut tx, c => sqlx::query_as::<DB, UserRow>(sqlx::AssertSqlSafe(sql))
            .bind(id).bind(change.name.as_deref()).bind(change.password_hash.as_deref()).bind(change.role)
            .bind(change.disabled).bind(i32::from(change.ends_sessions)).fetch_optional(c).await)?;
        if change.ends_sessions {
            with_tx!(&mut tx, c => sqlx::query::<DB>("delete from refresh_tokens where user_id = $1")
                .bind(id).execute(c).await.map(drop))?;
        }
        tx.commit().await?;
        Ok(user.map_or(Updated::NoSuch, Updated::Done))
    }

    /// Keeps a refresh token.
    pub async fn insert_refresh_token(&self, row: &RefreshRow) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(INSERT_REFRESH)
            .bind(row.hash.as_slice()).bind(row.family_id).bind(row.user_id).bind(row.created_at).bind(row.expires_at)
            .execute(pool).await.map(drop))
    }

    /// Uses the refresh token `old`, and puts `new` into its family. Of several that use it at once, one does.
    pub async fn rotate_refresh_token(
        &self,
        old: &SecretHash,
        new: &SecretHash,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> sqlx::Result<Rotation> {
        let mut tx = self.write.begin().await?;
        let used: Option<(UserId, Uuid)> = with_tx!(&mut tx, c => sqlx::query_as::<DB, _>(
            "update refresh_tokens set used_at = $2 where hash = $1 and used_at is null and expires_at > $2
             returning user_id, family_id")
            .bind(old.as_slice()).bind(now).fetch_optional(c).await)?;
        if let Some((user_id, family_id)) = used {
            with_tx!(&mut tx, c => sqlx::query::<DB>(INSERT_REFRESH)
                .bind(new.as_slice()).bind(family_id).bind(user_id).bind(now).bind(expires_at)
                .execute(c).await.map(drop))?;
            tx.commit().await?;
            return Ok(Rotation::Rotated(user_id));
        }
        let spent: Option<(Uuid, DateTime<Utc>)> = with_tx!(&mut tx, c => sqlx::query_as::<DB, _>(
            "select family_id, used_at from refresh_tokens where hash = $1 and used_at is not null")
            .bind(old.as_slice()).fetch_optional(c).await)?;
        tx.commit().await?;
        Ok(match spent {
            Some((family_id, used_at)) => Rotation::Reused { family_id, used_at },
            None => Rotation::Unknown,
        })
    }

    /// Ends a login: all tokens that go back to it.
    pub async fn delete_refresh_family(&self, family_id: Uuid) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>("delete from refresh_tokens where family_id = $1")
            .bind(family_id).execute(pool).await.map(drop))
    }

    /// Ends the login that this token goes back to; false: there is none such.
    pub async fn delete_refresh_family_of(&self, hash: &SecretHash) -> sqlx::Result<bool> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "delete from refresh_tokens where family_id = (select r.family_id from refresh_tokens r where r.hash = $1)")
            .bind(hash.as_slice()).execute(pool).await.map(|done| done.rows_affected() > 0))
    }

    /// Keeps an API key.
    pub async fn insert_api_key(&self, key: &KeyRow) -> sqlx::Result<()> {
        let sql = format!("insert into api_keys ({KEY}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
        with_db!(&self.write, pool => sqlx::query::<DB>(sqlx::AssertSqlSafe(sql))
            .bind(key.id).bind(key.user_id).bind(&key.name).bind(&key.prefix).bind(key.hash.0.as_slice())
            .bind(key.scopes).bind(key.created_at).bind(key.expires_at).bind(key.last_used_at).bind(key.revoked_at)
            .execute(pool).await.map(drop))
    }

    /// The keys of a user, newest first, also those that are no longer good.
    pub async fn list_api_keys(&self, user: UserId) -> sqlx::Result<Vec<KeyRow>> {
        let sql = format!("select {KEY} from api_keys where user_id = $1 order by id desc limit 1000");
        with_db!(&self.read, pool => sqlx::query_as::<DB, KeyRow>(sqlx::AssertSqlSafe(sql))
            .bind(user).fetch_all(pool).await)
    }

    /// How many keys of a user have not been taken back.
    pub async fn count_api_keys(&self, user: UserId) -> sqlx::Result<i64> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, i64>(
            "select count(*) from api_keys where user_id = $1 and revoked_at is null")
            .bind(user).fetch_one(pool).await)
    }

    /// A key by its hash.
    pub async fn find_api_key(&self, hash: &SecretHash) -> sqlx::Result<Option<KeyRow>> {
        let sql = format!("select {KEY} from api_keys where hash = $1");
        with_db!(&self.read, pool => sqlx::query_as::<DB, KeyRow>(sqlx::AssertSqlSafe(sql))
            .bind(hash.as_slice()).fetch_optional(pool).await)
    }

    /// Notes that a key was used.
    pub async fn touch_api_key(&self, id: Uuid, now: DateTime<Utc>) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>("update api_keys set last_used_at = $2 where id = $1")
            .bind(id).bind(now).execute(pool).await.map(drop))
    }

    /// Takes a user's key back; `None`: it has none such, or it was taken back before.
    pub async fn revoke_api_key(
        &self,
        id: Uuid,
        user: UserId,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<KeyRow>> {
        let sql = format!(
            "update api_keys set revoked_at = $3 where id = $1 and user_id = $2 and revoked_at is null returning {KEY}"
        );
        with_db!(&self.write, pool => sqlx::query_as::<DB, KeyRow>(sqlx::AssertSqlSafe(sql))
            .bind(id).bind(user).bind(now).fetch_optional(pool).await)
    }

    /// Keeps a ticket.
    pub async fn insert_ticket(&self, hash: &SecretHash, ticket: &TicketRow) -> sqlx::Result<()> {
        with_db!(&self.write, pool => sqlx::query::<DB>(
            "insert into socket_tickets (hash, user_id, scopes, epoch, expires_at) values ($1, $2, $3, $4, $5)")
            .bind(hash.as_slice()).bind(ticket.user_id).bind(ticket.scopes).bind(ticket.epoch)
            .bind(ticket.expires_at).execute(pool).await.map(drop))
    }

    /// Takes a ticket away, so that nobody can use it again.
    pub async fn take_ticket(&self, hash: &SecretHash) -> sqlx::Result<Option<TicketRow>> {
        with_db!(&self.write, pool => sqlx::query_as::<DB, TicketRow>(
            "delete from socket_tickets where hash = $1 returning user_id, scopes, epoch, expires_at")
            .bind(hash.as_slice()).fetch_optional(pool).await)
    }

    /// The value of a setting, which is `value` if it had none: whoever comes first decides for all.
    pub async fn settle(&self, name: &str, value: &str) -> sqlx::Result<String> {
        with_db!(&self.write, pool => {
            sqlx::query::<DB>("insert into settings (name, value) values ($1, $2) on conflict do nothing")
                .bind(name).bind(value).execute(pool).await?;
            sqlx::query_scalar::<DB, String>("select value from settings where name = $1")
                .bind(name).fetch_one(pool).await
        })
    }

    /// The value of a setting.
    pub async fn setting(&self, name: &str) -> sqlx::Result<Option<String>> {
        with_db!(&self.read, pool => sqlx::query_scalar::<DB, String>("select value from settings where name = $1")
            .bind(name).fetch_optional(pool).await)
    }

    /// Removes what has expired: tokens, tickets, and keys that have been no good for a month. Returns how many rows.
    pub async fn prune_accounts(&self, now: DateTime<Utc>) -> sqlx::Result<u64> {
        let statements = [
            ("delete from refresh_tokens where expires_at < $1", now),
            ("delete from socket_tickets where expires_at < $1", now),
            ("delete from api_keys where coalesce(revoked_at, expires_at) < $1", now - TimeDelta::days(30)),
        ];
        let mut gone = 0;
        for (sql, time) in statements {
            gone += with_db!(&self.write, pool => sqlx::query::<DB>(sql).bind(time).execute(pool).await
                .map(|done| done.rows_affected()))?;
        }
        Ok(gone)
    }
}

/// The administrators that are not disabled. Of two that step down at once, the second waits for the first.
async fn admins(tx: &mut Tx) -> sqlx::Result<Vec<UserId>> {
    let lock = if tx.is_sqlite() { "" } else { "for update" };
    let sql = format!("select id from users where role = 'admin' and not disabled order by id {lock}");
    with_tx!(tx, c => sqlx::query_scalar::<DB, UserId>(sqlx::AssertSqlSafe(sql)).fetch_all(c).await)
}

const INSERT_REFRESH: &str = "insert into refresh_tokens (hash, family_id, user_id, created_at, expires_at) values ($1, $2, $3, $4, $5)";

/// One account for an address, however it is written.
fn email_key(email: &str) -> String {
    email.to_lowercase()
}

impl std::fmt::Debug for UserRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserRow")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("disabled", &self.disabled)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
