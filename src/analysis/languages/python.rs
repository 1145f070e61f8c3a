//! Python.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static PYTHON: Entry = Entry {
    name: "Python",
    aliases: &["py", "python3"],
    extensions: &["py", "pyi", "pyw"],
    file_names: &["SConstruct", "wscript"],
    interpreters: &["python", "python2", "python3", "pypy", "pypy3"],
    grammar: SupportLang::Python,
    syntax: Syntax {
        functions: &["function_definition"],
        lambdas: &["lambda"],
        types: &["class_definition"],
        comments: &["comment"],
        ifs: &["if_statement"],
        else_ifs: &["elif_clause"],
        elses: &["else_clause"],
        ternaries: &["conditional_expression"],
        loops: &["for_statement", "while_statement"],
        switches: &["match_statement"],
        cases: &["case_clause"],
        catches: &["except_clause"],
        logicals: &["boolean_operator"],
        logical_operators: &["and", "or"],
        decisions: &["for_in_clause", "if_clause"],
        jumps: &[],
        labels: &[],
        parentheses: &["parenthesized_expression"],
        calls: &["call"],
        strings: &["string"],
        receivers: &["self", "cls"],
    },
};
