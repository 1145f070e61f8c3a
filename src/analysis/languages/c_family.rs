//! C and C++.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static C: Entry = Entry {
    name: "C",
    aliases: &[],
    extensions: &["c", "h"],
    file_names: &[],
    interpreters: &["tcc"],
    grammar: SupportLang::C,
    syntax: SYNTAX,
};

pub(super) static CPP: Entry = Entry {
    name: "C++",
    aliases: &["cpp", "cxx", "cc"],
    extensions: &["cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ipp", "inl"],
    file_names: &[],
    interpreters: &[],
    grammar: SupportLang::Cpp,
    syntax: Syntax {
        lambdas: &["lambda_expression"],
        types: &["class_specifier", "struct_specifier", "namespace_definition"],
        loops: &["for_statement", "for_range_loop", "while_statement", "do_statement"],
        catches: &["catch_clause", "seh_except_clause"],
        strings: &["string_literal", "raw_string_literal", "system_lib_string"],
        ..SYNTAX
    },
};

const SYNTAX: Syntax = Syntax {
    functions: &["function_definition"],
    lambdas: &[],
    types: &["struct_specifier"],
    comments: &["comment"],
    ifs: &["if_statement"],
    else_ifs: &[],
    elses: &["else_clause"],
    ternaries: &["conditional_expression"],
    loops: &["for_statement", "while_statement", "do_statement"],
    switches: &["switch_statement"],
    cases: &["case_statement"],
    catches: &["seh_except_clause"],
    logicals: &["binary_expression"],
    logical_operators: &["&&", "||", "and", "or"],
    decisions: &[],
    jumps: &["goto_statement"],
    labels: &["statement_identifier"],
    parentheses: &["parenthesized_expression"],
    calls: &["call_expression"],
    strings: &["string_literal", "system_lib_string"],
    receivers: &[],
};
