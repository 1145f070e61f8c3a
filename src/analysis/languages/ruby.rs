//! Ruby.

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static RUBY: Entry = Entry {
    name: "Ruby",
    aliases: &["rb"],
    extensions: &["rb", "rake", "gemspec", "ru"],
    file_names: &["Rakefile", "Gemfile", "Guardfile", "Vagrantfile", "Capfile"],
    interpreters: &["ruby", "jruby"],
    grammar: SupportLang::Ruby,
    syntax: Syntax {
        functions: &["method", "singleton_method"],
        lambdas: &["lambda"],
        types: &["class", "module"],
        comments: &["comment"],
        ifs: &["if", "unless", "if_modifier", "unless_modifier"],
        else_ifs: &["elsif"],
        elses: &["else"],
        ternaries: &["conditional"],
        loops: &["while", "until", "for", "while_modifier", "until_modifier"],
        switches: &["case", "case_match"],
        cases: &["when", "in_clause"],
        catches: &["rescue", "rescue_modifier"],
        logicals: &["binary"],
        logical_operators: &["&&", "||", "and", "or"],
        decisions: &[],
        jumps: &[],
        labels: &[],
        parentheses: &["parenthesized_statements"],
        calls: &["call"],
        strings: &["regex", "heredoc_body"],
        receivers: &[],
    },
};
