//! Who is calling, and what it may do.

use serde::{Deserialize, Serialize};

use super::UserId;

/// What an account may do beyond its own things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    /// Its own things.
    User,
    /// Everything of everybody.
    Admin,
}

/// Somebody whose proof of identity was checked: holding one is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user: UserId,
    /// Its role.
    pub role: Role,
    /// What the key or token is limited to.
    pub scopes: Scopes,
}

/// A set of permissions that a key or token is limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes(u8);

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Scope {
    /// Look at one's things.
    Read = 1,
    /// Submit, cancel, retry and delete.
    Write = 2,
    /// Use the powers of an administrator, if the account has them.
    Admin = 4,
}

impl Scopes {
    /// What a signed-in person has.
    pub const ALL: Self = Self(7);

    /// The set of these.
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |set, scope| set | *scope as u8))
    }

    /// From its number in the database.
    pub fn from_bits(bits: i32) -> Self {
        Self(u8::try_from(bits & 7).unwrap_or_default())
    }

    /// Its number in the database.
    pub fn bits(self) -> i32 {
        self.0.into()
    }

    /// Whether `scope` is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }

    /// Its members.
    pub fn list(self) -> Vec<Scope> {
        [Scope::Read, Scope::Write, Scope::Admin].into_iter().filter(|scope| self.has(*scope)).collect()
    }
}

impl Caller {
    /// Whether it may see and end what belongs to others.
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin && self.scopes.has(Scope::Admin)
    }

    /// The owner to whom its look must be confined; `None` sees all.
    pub fn confined_to(&self) -> Option<UserId> {
        (!self.is_admin()).then_some(self.user)
    }
}
