//! Java.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static JAVA: Entry = Entry {
    name: "Java",
    aliases: &[],
    extensions: &["java"],
    file_names: &[],
    interpreters: &[],
    grammar: SupportLang::Java,
    syntax: Syntax {
        functions: &["method_declaration", "constructor_declaration", "compact_constructor_declaration"],
        lambdas: &["lambda_expression"],
        types: &[
            "class_declaration",
            "interface_declaration",
            "enum_declaration",
            "record_declaration",
            "annotation_type_declaration",
        ],
        comments: &["line_comment", "block_comment"],
        ifs: &["if_statement"],
        else_ifs: &[],
        elses: &[],
        ternaries: &["ternary_expression"],
        loops: &["for_statement", "enhanced_for_statement", "while_statement", "do_statement"],
        switches: &["switch_expression"],
        cases: &["switch_label"],
        catches: &["catch_clause"],
        logicals: &["binary_expression"],
        logical_operators: &["&&", "||"],
        decisions: &[],
        jumps: &["break_statement", "continue_statement"],
        labels: &["identifier"],
        parentheses: &["parenthesized_expression"],
        calls: &["method_invocation"],
        strings: &["string_literal"],
        receivers: &[],
    },
};
