//! JavaScript and TypeScript, each with and without JSX.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static JAVASCRIPT: Entry = Entry {
    name: "JavaScript",
    aliases: &["js", "jsx", "node"],
    extensions: &["js", "jsx", "mjs", "cjs"],
    file_names: &["Jakefile"],
    interpreters: &["node", "nodejs", "bun"],
    grammar: SupportLang::JavaScript,
    syntax: SYNTAX,
};

pub(super) static TYPESCRIPT: Entry = Entry {
    name: "TypeScript",
    aliases: &["ts"],
    extensions: &["ts", "mts", "cts"],
    file_names: &[],
    interpreters: &["deno", "ts-node", "tsx"],
    grammar: SupportLang::TypeScript,
    syntax: Syntax { types: TYPES, ..SYNTAX },
};

pub(super) static TSX: Entry = Entry {
    name: "TSX",
    aliases: &[],
    extensions: &["tsx"],
    file_names: &[],
    interpreters: &[],
    grammar: SupportLang::Tsx,
    syntax: Syntax { types: TYPES, ..SYNTAX },
};

const TYPES: &[&str] =
    &["class_declaration", "class", "abstract_class_declaration", "interface_declaration", "internal_module"];

const SYNTAX: Syntax = Syntax {
    functions: &[
        "function_declaration",
        "generator_function_declaration",
        "method_definition",
        "function_expression",
        "generator_function",
        "arrow_function",
    ],
    lambdas: &[],
    types: &["class_declaration", "class"],
    comments: &["comment", "html_comment", "hash_bang_line"],
    ifs: &["if_statement"],
    else_ifs: &[],
    elses: &["else_clause"],
    ternaries: &["ternary_expression"],
    loops: &["for_statement", "for_in_statement", "while_statement", "do_statement"],
    switches: &["switch_statement"],
    cases: &["switch_case"],
    catches: &["catch_clause"],
    logicals: &["binary_expression"],
    logical_operators: &["&&", "||"],
    decisions: &[],
    jumps: &["break_statement", "continue_statement"],
    labels: &["statement_identifier"],
    parentheses: &["parenthesized_expression"],
    calls: &["call_expression"],
    strings: &["string", "regex"],
    receivers: &["this"],
};
