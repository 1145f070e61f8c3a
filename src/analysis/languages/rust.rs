//! Rust.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static RUST: Entry = Entry {
    name: "Rust",
    aliases: &["rs"],
    extensions: &["rs"],
    file_names: &[],
    interpreters: &["rust-script"],
    grammar: SupportLang::Rust,
    syntax: Syntax {
        functions: &["function_item"],
        lambdas: &["closure_expression"],
        types: &["impl_item", "trait_item"],
        comments: &["line_comment", "block_comment"],
        ifs: &["if_expression"],
        else_ifs: &[],
        elses: &["else_clause"],
        ternaries: &[],
        loops: &["for_expression", "while_expression", "loop_expression"],
        switches: &["match_expression"],
        cases: &["match_arm"],
        catches: &[],
        logicals: &["binary_expression", "let_chain"],
        logical_operators: &["&&", "||"],
        decisions: &[],
        jumps: &["break_expression", "continue_expression"],
        labels: &["label"],
        parentheses: &["parenthesized_expression"],
        calls: &["call_expression"],
        strings: &["string_literal", "raw_string_literal"],
        receivers: &["self_parameter"],
    },
};
