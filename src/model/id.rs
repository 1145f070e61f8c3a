//! Ids: UUIDv7 all, and never mistaken for one another.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Declares an id type over [`Uuid`].
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

id!(
    /// Names a job; `task_id`, `job_id` and `id` in the API are this.
    JobId
);
id!(
    /// Names an account.
    UserId
);
id!(
    /// Names one life of one server process; a process that lost its lease takes a new one.
    ProcessId
);
