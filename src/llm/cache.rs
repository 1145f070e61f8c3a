//! Answers that are kept for the same request: by the same tenant, to the same provider at the same address and under
//! the same key, for the same model. The key is a hash of all of that, never of a part.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::sync::Cache as Kept;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::providers::Provider;
use super::{Answer, Call, Finish, Spender};
use crate::clock::Clock;

/// Changes whenever the same key would mean something else.
const VERSION: u32 = 1;

/// What stands for a request.
pub(super) type Key = [u8; 32];

/// An answer, and when it is too old.
type Dated = (DateTime<Utc>, Answer);

/// The answers of this process.
pub(super) struct Cache {
    clock: Clock,
    lives: Duration,
    kept: Option<Kept<Key, Arc<Dated>>>,
}

impl Cache {
    /// Keeps answers for `lives`, up to so many bytes; either may be 0, which keeps none.
    pub(super) fn new(clock: Clock, lives: Duration, bytes: u64) -> Self {
        let kept = (!lives.is_zero() && bytes > 0).then(|| {
            Kept::builder()
                .max_capacity(bytes)
                .weigher(|_, kept: &Arc<Dated>| {
                    // As it would be written down: that follows what it takes closely enough.
                    let size = serde_json::to_vec(&kept.1).map_or(usize::MAX, |text| text.len());
                    u32::try_from(size + 256).unwrap_or(u32::MAX)
                })
                .build()
        });
        Self { clock, lives, kept }
    }

    /// The key of a request, if it may be looked up at all.
    pub(super) fn key(&self, who: &Spender, provider: &Provider, call: &Call) -> Option<Key> {
        self.kept.as_ref()?;
        let asks = call.request.cache.unwrap_or(call.request.temperature == Some(0.0));
        if !asks {
            return None;
        }
        let text = json!([
            VERSION,
            who.user,
            provider.owner,
            provider.name,
            provider.dialect.name(),
            provider.base_url,
            provider.extra,
            call.model,
            call.max_tokens,
            call.request,
        ]);
        Some(Sha256::digest(text.to_string().as_bytes()).into())
    }

    /// An earlier answer.
    pub(super) fn find(&self, key: &Key) -> Option<Answer> {
        let kept = self.kept.as_ref()?;
        let found = kept.get(key)?;
        if found.0 <= self.clock.now() {
            kept.invalidate(key);
            return None;
        }
        Some(Answer { cached: true, cost_micros: Some(0), attempts: 0, ..found.1.clone() })
    }

    /// Keeps an answer, if it is a whole one.
    pub(super) fn keep(&self, key: Key, answer: &Answer) {
        let whole = matches!(answer.finish, Finish::Stop | Finish::ToolCalls);
        if let Some(kept) = self.kept.as_ref().filter(|_| whole) {
            kept.insert(key, Arc::new((self.clock.now() + self.lives, answer.clone())));
        }
    }
}
