//! Reads what a command writes, and keeps no more of it than was asked for.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

use super::{Overflow, Stream};

/// One stream's bytes. Read by one future and taken by another, also when the first never ends.
pub(super) struct Output {
    kept: Mutex<Kept>,
    cap: usize,
    overflow: Overflow,
}

#[derive(Default)]
struct Kept {
    bytes: VecDeque<u8>,
    truncated: bool,
}

impl Output {
    pub(super) fn new(cap: usize, overflow: Overflow) -> Self {
        Self { kept: Mutex::default(), cap, overflow }
    }

    /// Reads to the end. The pipe is always emptied, so that the command never waits for us; `full` hears when
    /// more came than may.
    pub(super) async fn read(
        &self,
        which: Stream,
        mut pipe: impl AsyncRead + Unpin,
        full: &Notify,
        see: &(dyn Fn(Stream, &[u8]) + Sync),
    ) {
        let mut piece = vec![0; 1 << 16];
        // A read error of a pipe means that nobody is at its other end.
        while let Ok(length @ 1..) = pipe.read(&mut piece).await {
            see(which, &piece[..length]);
            if self.push(&piece[..length]) && self.overflow == Overflow::Kill {
                full.notify_one();
            }
        }
    }

    /// What was kept, and whether that is not all.
    pub(super) fn take(&self) -> (Vec<u8>, bool) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (std::mem::take(&mut kept.bytes).into(), kept.truncated)
    }

    /// Whether something was dropped.
    fn push(&self, piece: &[u8]) -> bool {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match self.overflow {
            Overflow::Kill => {
                let room = self.cap.saturating_sub(kept.bytes.len());
                kept.bytes.extend(&piece[..piece.len().min(room)]);
                kept.truncated |= piece.len() > room;
            }
            Overflow::KeepTail => {
                let piece_kept = &piece[piece.len().saturating_sub(self.cap)..];
                let surplus = (kept.bytes.len() + piece_kept.len()).saturating_sub(self.cap);
                kept.bytes.drain(..surplus);
                kept.bytes.extend(piece_kept);
                kept.truncated |= surplus > 0 || piece_kept.len() < piece.len();
            }
        }
        kept.truncated
    }
}
