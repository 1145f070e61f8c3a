//! Go.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static GO: Entry = Entry {
    name: "Go",
    aliases: &["golang"],
    extensions: &["go"],
    file_names: &[],
    interpreters: &[],
    grammar: SupportLang::Go,
    syntax: Syntax {
        functions: &["function_declaration", "method_declaration", "func_literal"],
        lambdas: &[],
        types: &[],
        comments: &["comment"],
        ifs: &["if_statement"],
        else_ifs: &[],
        elses: &[],
        ternaries: &[],
        loops: &["for_statement"],
        switches: &["expression_switch_statement", "type_switch_statement", "select_statement"],
        cases: &["expression_case", "type_case", "communication_case"],
        catches: &[],
        logicals: &["binary_expression"],
        logical_operators: &["&&", "||"],
        decisions: &[],
        jumps: &["goto_statement", "break_statement", "continue_statement"],
        labels: &["label_name"],
        parentheses: &["parenthesized_expression"],
        calls: &["call_expression"],
        strings: &["interpreted_string_literal", "raw_string_literal"],
        receivers: &[],
    },
};
