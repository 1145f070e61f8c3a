//! What the nodes of a grammar mean to the metrics.

use std::sync::OnceLock;

use ast_grep_core::tree_sitter::{LanguageExt, TSLanguage};

use super::Language;

/// The node names of a grammar, sorted by what they mean. A name that is not listed means nothing.
#[derive(Default)]
pub struct Syntax {
    /// Functions, methods and constructors with a body.
    pub functions: &'static [&'static str],
    /// Functions without a name: they deepen the nesting of the function around them.
    pub lambdas: &'static [&'static str],
    /// Classes and whatever else gives its members a prefix.
    pub types: &'static [&'static str],
    /// Comments.
    pub comments: &'static [&'static str],
    /// `if` and what is written instead of it (`unless`, a modifier).
    pub ifs: &'static [&'static str],
    /// `else if` where the grammar has a node of its own for it.
    pub else_ifs: &'static [&'static str],
    /// `else`.
    pub elses: &'static [&'static str],
    /// Conditional expressions.
    pub ternaries: &'static [&'static str],
    /// Loops.
    pub loops: &'static [&'static str],
    /// `switch` and `match`.
    pub switches: &'static [&'static str],
    /// One arm of a switch, apart from the default.
    pub cases: &'static [&'static str],
    /// `catch`, `except`, `rescue`.
    pub catches: &'static [&'static str],
    /// Nodes that may be logical operations, depending on their operator.
    pub logicals: &'static [&'static str],
    /// The operators that make them so.
    pub logical_operators: &'static [&'static str],
    /// Decisions that only the cyclomatic complexity counts, such as the clauses of a comprehension.
    pub decisions: &'static [&'static str],
    /// Jumps that count when they name a label: `goto`, or `break` and `continue` with one.
    pub jumps: &'static [&'static str],
    /// The nodes that such a label is made of.
    pub labels: &'static [&'static str],
    /// Parentheses around an expression.
    pub parentheses: &'static [&'static str],
    /// Calls, to see direct recursion.
    pub calls: &'static [&'static str],
    /// Literals that count as one operand, whatever is inside.
    pub strings: &'static [&'static str],
    /// Parameters that stand for the receiver and are not counted.
    pub receivers: &'static [&'static str],
}

/// What a node means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    #[default]
    Other,
    /// See [`Syntax::functions`].
    Function,
    /// See [`Syntax::lambdas`].
    Lambda,
    /// See [`Syntax::types`].
    Type,
    /// See [`Syntax::comments`].
    Comment,
    /// See [`Syntax::ifs`].
    If,
    /// See [`Syntax::else_ifs`].
    ElseIf,
    /// See [`Syntax::elses`].
    Else,
    /// See [`Syntax::ternaries`].
    Ternary,
    /// See [`Syntax::loops`].
    Loop,
    /// See [`Syntax::switches`].
    Switch,
    /// See [`Syntax::cases`].
    Case,
    /// See [`Syntax::catches`].
    Catch,
    /// See [`Syntax::logicals`].
    Logical,
    /// See [`Syntax::decisions`].
    Decision,
    /// See [`Syntax::jumps`].
    Jump,
    /// See [`Syntax::parentheses`].
    Parentheses,
    /// See [`Syntax::calls`].
    Call,
    /// See [`Syntax::strings`].
    String,
}

/// The roles of a grammar's nodes by their numeric kind, so that a walk looks up instead of comparing names.
pub struct Table {
    roles: Vec<Role>,
    /// The grammar itself.
    pub grammar: TSLanguage,
}

impl Table {
    /// The table of a language, made on first use.
    pub fn of(language: Language) -> &'static Self {
        static TABLES: [OnceLock<Table>; Language::ALL.len()] =
            [const { OnceLock::new() }; Language::ALL.len()];
        TABLES[language as usize].get_or_init(|| Self::new(language))
    }

    /// What a node of this kind means.
    pub fn role(&self, kind: u16) -> Role {
        self.roles.get(usize::from(kind)).copied().unwrap_or_default()
    }

    fn new(language: Language) -> Self {
        let entry = language.entry();
        let grammar = entry.grammar.get_ts_language();
        let mut roles = vec![Role::Other; grammar.node_kind_count()];
        for (role, names) in entry.syntax.by_role() {
            for (kind, slot) in (0..=u16::MAX).zip(&mut roles) {
                let named = grammar.node_kind_is_named(kind);
                if named && grammar.node_kind_for_id(kind).is_some_and(|name| names.contains(&name)) {
                    *slot = role;
                }
            }
        }
        Self { roles, grammar }
    }
}

impl Syntax {
    /// Every list of node names with the role it gives.
    pub const fn by_role(&self) -> [(Role, &'static [&'static str]); 18] {
        [
            (Role::Function, self.functions),
            (Role::Lambda, self.lambdas),
            (Role::Type, self.types),
            (Role::Comment, self.comments),
            (Role::If, self.ifs),
            (Role::ElseIf, self.else_ifs),
            (Role::Else, self.elses),
            (Role::Ternary, self.ternaries),
            (Role::Loop, self.loops),
            (Role::Switch, self.switches),
            (Role::Case, self.cases),
            (Role::Catch, self.catches),
            (Role::Logical, self.logicals),
            (Role::Decision, self.decisions),
            (Role::Jump, self.jumps),
            (Role::Parentheses, self.parentheses),
            (Role::Call, self.calls),
            (Role::String, self.strings),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_name_exists_in_its_grammar() {
        for language in Language::ALL {
            let grammar = language.entry().grammar.get_ts_language();
            for (role, names) in language.entry().syntax.by_role() {
                for name in names {
                    assert_ne!(grammar.id_for_node_kind(name, true), 0, "{language}: {name} ({role:?})");
                }
            }
        }
    }
}
