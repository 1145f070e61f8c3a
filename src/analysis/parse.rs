//! Text to syntax tree, within a budget that depends on the text alone and never on the clock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;

use tree_sitter::{ParseOptions, ParseState, Parser, Point, Tree};

use super::languages::{Language, Table};

/// Why there is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoTree {
    /// The caller asked to stop.
    Stopped,
    /// The text is too hard for its size.
    TooHard,
}

/// Steps of the parser (a hundred operations each) that any file gets, and that each byte adds.
const FREE_STEPS: usize = 20_000;
const BYTES_PER_STEP: usize = 2;

thread_local! {
    static PARSERS: RefCell<HashMap<Language, Parser>> = RefCell::new(HashMap::new());
}

/// Parses a text. It always succeeds on ordinary code; what cannot be understood becomes an error node.
pub(super) fn parse(text: &str, language: Language, stopped: &dyn Fn() -> bool) -> Result<Tree, NoTree> {
    PARSERS.with(|parsers| {
        let mut parsers = parsers.borrow_mut();
        let parser = parsers.entry(language).or_default();
        if parser.language().is_none() && parser.set_language(&Table::of(language).grammar).is_err() {
            return Err(NoTree::TooHard);
        }
        // A parse that was broken off would be resumed otherwise.
        parser.reset();
        let mut steps = FREE_STEPS + text.len() / BYTES_PER_STEP;
        let mut reason = NoTree::TooHard;
        let mut progress = |_: &ParseState| {
            steps = steps.saturating_sub(1);
            if steps.is_multiple_of(256) && stopped() {
                reason = NoTree::Stopped;
                return ControlFlow::Break(());
            }
            if steps == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let options = ParseOptions::new().progress_callback(&mut progress);
        let bytes = text.as_bytes();
        let mut read = |at: usize, _: Point| bytes.get(at..).unwrap_or_default();
        parser.parse_with_options(&mut read, None, Some(options)).ok_or(reason)
    })
}
