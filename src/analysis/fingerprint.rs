//! Who a finding is across runs: GitHub's hash of the line, and ours of what the rule matched.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// Characters that one of GitHub's hashes covers.
const BLOCK: usize = 100;
const MULTIPLIER: u64 = 37;
/// Stands for the end of the file in GitHub's hash.
const END: u16 = u16::MAX;
const NO_LINE: usize = 0;

/// `primaryLocationLineHash` of every line, as GitHub's CodeQL action computes it; the first is at index 0.
pub(super) fn line_hashes(text: &str) -> Vec<String> {
    let mut hasher = LineHasher::new();
    for unit in text.encode_utf16() {
        hasher.push(unit);
    }
    hasher.finish()
}

/// Our own fingerprint: what was matched by which rule in which function, and the how-manieth it is there.
/// It knows neither path nor line, so it survives renames, moves and reformatting.
pub(super) fn stable(rule: &str, symbol: &str, tokens: &str, ordinal: usize) -> String {
    let mut digest = Sha256::new();
    for part in [rule, symbol, tokens, &ordinal.to_string()] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    digest.finalize().iter().take(16).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A rolling hash over the next hundred characters from the start of each line, blanks dropped.
struct LineHasher {
    window: [u16; BLOCK],
    /// The line that starts at each place of the window.
    starts: [usize; BLOCK],
    index: usize,
    hash: u64,
    /// `MULTIPLIER` to the power of `BLOCK`: what the oldest character has grown to.
    oldest: u64,
    line: usize,
    at_line_start: bool,
    after_carriage_return: bool,
    seen: HashMap<u64, usize>,
    hashes: Vec<String>,
}

impl LineHasher {
    fn new() -> Self {
        Self {
            window: [0; BLOCK],
            starts: [NO_LINE; BLOCK],
            index: 0,
            hash: 0,
            oldest: (0..BLOCK).fold(1, |power: u64, _| power.wrapping_mul(MULTIPLIER)),
            line: NO_LINE,
            at_line_start: true,
            after_carriage_return: false,
            seen: HashMap::new(),
            hashes: Vec::new(),
        }
    }

    fn push(&mut self, unit: u16) {
        let (space, tab, feed, carriage_return) =
            (u16::from(b' '), u16::from(b'\t'), u16::from(b'\n'), u16::from(b'\r'));
        if unit == space || unit == tab || (self.after_carriage_return && unit == feed) {
            self.after_carriage_return = false;
            return;
        }
        self.after_carriage_return = unit == carriage_return;
        let unit = if unit == carriage_return { feed } else { unit };
        self.output();
        if self.at_line_start {
            self.line += 1;
            self.starts[self.index] = self.line;
        }
        self.at_line_start = unit == feed;
        self.roll(unit);
    }

    fn finish(mut self) -> Vec<String> {
        self.push(END);
        for _ in 0..BLOCK {
            self.output();
            self.roll(0);
        }
        self.hashes
    }

    /// Writes down the hash of the line whose first character is about to leave the window.
    fn output(&mut self) {
        let line = std::mem::replace(&mut self.starts[self.index], NO_LINE);
        if line == NO_LINE {
            return;
        }
        let count = self.seen.entry(self.hash).or_insert(0);
        *count += 1;
        // Lines leave the window in the order in which they entered it.
        self.hashes.push(format!("{:x}:{count}", self.hash));
    }

    fn roll(&mut self, unit: u16) {
        let leaving = std::mem::replace(&mut self.window[self.index], unit);
        self.hash = self
            .hash
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(u64::from(unit))
            .wrapping_sub(self.oldest.wrapping_mul(u64::from(leaving)));
        self.index = (self.index + 1) % BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_hashes_are_those_of_github() {
        assert_eq!(line_hashes(""), ["c129715d7a2bc9a3:1"]);
        let expected = ["271789c17abda88f:1", "54703d4cd895b18:1", "180aee12dab6264:1", "a23a3dc5e078b07b:1"];
        assert_eq!(line_hashes(" a\nb\n  \t\tc\n d"), expected);
        assert_eq!(line_hashes(" a\r\nb\r  \t\tc\r\n d"), expected);
    }

    #[test]
    fn equal_blocks_are_counted() {
        let text = "x\n".repeat(300);
        let hashes = line_hashes(&text);
        assert!(hashes[0].ends_with(":1") && hashes[1].ends_with(":2"));
        assert_eq!(hashes[0].split(':').next(), hashes[1].split(':').next());
    }

    #[test]
    fn the_stable_fingerprint_depends_on_each_of_its_parts() {
        let base = stable("rule", "f", "eval ( x )", 0);
        assert_eq!(base.len(), 32);
        assert_eq!(base, stable("rule", "f", "eval ( x )", 0));
        for other in [
            stable("other", "f", "eval ( x )", 0),
            stable("rule", "g", "eval ( x )", 0),
            stable("rule", "f", "eval ( y )", 0),
            stable("rule", "f", "eval ( x )", 1),
            stable("rulef", "", "eval ( x )", 0),
        ] {
            assert_ne!(base, other);
        }
    }
}
