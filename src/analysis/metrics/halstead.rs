//! Halstead's measures, from the tokens of a function or file.

use super::{Halstead, Token, round};

impl Halstead {
    /// Counts tokens. Closing brackets and separators belong to what they close and are not counted.
    pub fn of(tokens: &[Token]) -> Self {
        let (operators, distinct_operators) = count(tokens, false);
        let (operands, distinct_operands) = count(tokens, true);
        let vocabulary = distinct_operators + distinct_operands;
        let volume =
            if vocabulary == 0 { 0.0 } else { (operators + operands) as f64 * (vocabulary as f64).log2() };
        let difficulty =
            distinct_operators as f64 / 2.0 * (operands as f64 / distinct_operands.max(1) as f64);
        Self {
            distinct_operators,
            distinct_operands,
            operators,
            operands,
            volume: round(volume),
            difficulty: round(difficulty),
            effort: round(volume * difficulty),
        }
    }
}

/// How many operators or operands there are, and how many different ones.
fn count(tokens: &[Token], operand: bool) -> (usize, usize) {
    let mut hashes: Vec<u32> =
        tokens.iter().filter(|t| t.counted && t.operand == operand).map(|t| t.hash).collect();
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    (all, hashes.len())
}
