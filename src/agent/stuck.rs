//! Notices a model that goes round in circles.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The same calls with the same results so often in a row.
const REPEATS: usize = 4;
/// The same calls, all of which fail, so often in a row.
const FAILING_REPEATS: usize = 3;
/// Two sorts of turns that take turns, over so many turns.
const ALTERNATING: usize = 6;
/// Turns in a row without any call.
const TALKS: usize = 3;

/// What one turn of the model looked like, as far as it can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// What was called and what came of it; none if the model only talked.
    done: Option<String>,
    failed: bool,
}

/// The last turns. Part of a build's state, so a restart does not forget them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turns(VecDeque<Turn>);

/// In which way the model is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// It does the same again and again, and the same comes of it.
    Repeating,
    /// It goes back and forth between two things.
    Alternating,
    /// It talks and does nothing.
    Monologue,
}

impl Pattern {
    /// For the model, which is told what it does wrong.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Repeating => "the same calls were made several times with the same results",
            Self::Alternating => "two actions were repeated in turn without any progress",
            Self::Monologue => "several answers in a row called no tool",
        }
    }
}

impl Turn {
    /// A turn that called tools: `done` is each call with its arguments and its result.
    pub(super) fn of_calls<'a>(done: impl IntoIterator<Item = [&'a str; 3]>, failed: bool) -> Self {
        let mut hash = Sha256::new();
        for part in done.into_iter().flatten() {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self { done: Some(hex::encode(&hash.finalize()[..8])), failed }
    }

    /// A turn that only talked.
    pub(super) fn of_talk() -> Self {
        Self { done: None, failed: false }
    }
}

impl Turns {
    /// Adds a turn; older ones than any rule looks at are forgotten.
    pub(super) fn push(&mut self, turn: Turn) {
        self.0.push_back(turn);
        while self.0.len() > ALTERNATING {
            self.0.pop_front();
        }
    }

    /// A new beginning: what was before does not count.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether the last turns go round in a circle.
    pub(super) fn pattern(&self) -> Option<Pattern> {
        let last = self.0.back()?;
        let in_a_row = self.0.iter().rev().take_while(|turn| *turn == last).count();
        if last.done.is_none() {
            return (in_a_row >= TALKS).then_some(Pattern::Monologue);
        }
        if in_a_row >= if last.failed { FAILING_REPEATS } else { REPEATS } {
            return Some(Pattern::Repeating);
        }
        let (even, odd) = (self.0.front()?, self.0.get(1)?);
        let alternates = self.0.len() == ALTERNATING
            && even != odd
            && self.0.iter().enumerate().all(|(place, turn)| turn == if place % 2 == 0 { even } else { odd });
        alternates.then_some(Pattern::Alternating)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(names: &str) -> Turns {
        let mut turns = Turns::default();
        for name in names.chars() {
            turns.push(match name {
                '-' => Turn::of_talk(),
                _ => Turn::of_calls(
                    [[name.encode_utf8(&mut [0; 4]) as &str, "{}", "seen"]],
                    name.is_uppercase(),
                ),
            });
        }
        turns
    }

    #[test]
    fn repeating_alternating_and_talking_are_noticed_and_nothing_before_that() {
        assert_eq!(turns("aaa").pattern(), None);
        assert_eq!(turns("baaaa").pattern(), Some(Pattern::Repeating));
        assert_eq!(turns("AA").pattern(), None);
        assert_eq!(turns("AAA").pattern(), Some(Pattern::Repeating), "failures count sooner");
        assert_eq!(turns("ababa").pattern(), None);
        assert_eq!(turns("ababab").pattern(), Some(Pattern::Alternating));
        assert_eq!(turns("abcabc").pattern(), None, "three steps may be honest work");
        assert_eq!(turns("--").pattern(), None);
        assert_eq!(turns("a---").pattern(), Some(Pattern::Monologue));
    }

    #[test]
    fn another_result_is_progress_and_a_new_beginning_forgets() {
        let mut turns = Turns::default();
        for result in ["1", "2", "3", "4", "5"] {
            turns.push(Turn::of_calls([["run_tests", "{}", result]], false));
        }
        assert_eq!(turns.pattern(), None);
        let mut stuck = self::turns("aaaa");
        stuck.clear();
        assert_eq!(stuck.pattern(), None);
    }

    #[test]
    fn names_and_arguments_cannot_be_confused() {
        let one = Turn::of_calls([["ab", "c", ""]], false);
        assert_ne!(one, Turn::of_calls([["a", "bc", ""]], false));
    }
}
