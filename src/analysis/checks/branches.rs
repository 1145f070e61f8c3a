//! Branches that never run, or that differ in nothing.

use std::collections::HashSet;

use tree_sitter::Node;

use super::{Checker, statements};
use crate::analysis::languages::{Language, Role};

/// Nodes that are a sequence of statements and nothing else.
const SEQUENCES: [&str; 8] = [
    "block",
    "statement_block",
    "compound_statement",
    "statement_list",
    "constructor_body",
    "body_statement",
    "block_body",
    "then",
];
/// What may stand behind a jump and still be reached or needed, by the start of its kind.
const REACHED: [&str; 20] = [
    "labeled",
    "label",
    "case",
    "default",
    "preproc",
    "function",
    "generator",
    "class",
    "interface",
    "type_",
    "enum",
    "rescue",
    "ensure",
    "else",
    "break",
    "empty",
    "mod",
    "use",
    "macro_def",
    "attribute",
];

/// A statement behind one that leaves the block.
pub(super) fn unreachable(checker: &mut Checker<'_>, jump: Node<'_>) {
    let wrapped = jump.parent().filter(|parent| parent.kind() == "expression_statement");
    let statement = wrapped.unwrap_or(jump);
    let Some(block) = statement.parent() else { return };
    // Conditional compilation may leave the jump out.
    let conditional = statement.prev_named_sibling().is_some_and(|node| node.kind() == "attribute_item");
    if !SEQUENCES.contains(&block.kind()) || block.has_error() || conditional {
        return;
    }
    let mut next = statement.next_named_sibling();
    while next.is_some_and(|node| node.kind().contains("comment")) {
        next = next.and_then(|node| node.next_named_sibling());
    }
    let Some(next) = next else { return };
    let reached =
        REACHED.iter().any(|start| next.kind().starts_with(start)) || next.kind().ends_with("_item");
    // A `yield` that is never reached makes a generator of a Python function.
    let generator = checker.language == Language::Python && checker.text(next).contains("yield");
    let hoisted = checker.text(next).starts_with("var ") || checker.text(next) == ";";
    if !reached && !generator && !hoisted {
        checker.report("unreachable-code", next, String::new());
    }
}

/// An `if` with all its `else if`, told at its first condition.
pub(super) fn chain(checker: &mut Checker<'_>, node: Node<'_>) {
    let continues = node.parent().is_some_and(|parent| {
        parent.kind() == "else_clause"
            || (parent.kind() == node.kind() && parent.child_by_field_name("alternative") == Some(node))
    });
    if continues || node.has_error() {
        return;
    }
    let chain = Chain::of(checker, node);
    if !chain.initialized {
        repeated(checker, &chain);
        constant(checker, &chain);
    }
    let Some(otherwise) = chain.otherwise else { return };
    let bodies: Vec<&str> = chain.bodies.iter().map(|body| inside(checker.text(*body))).collect();
    let last = inside(checker.text(otherwise));
    let all_same = bodies.iter().all(|body| body.split_whitespace().eq(last.split_whitespace()));
    if !last.is_empty() && bodies.len() == chain.conditions.len() && all_same && !has_comment(node) {
        checker.report("same-branches", node, String::new());
    }
}

/// `condition ? value : value`.
pub(super) fn ternary(checker: &mut Checker<'_>, node: Node<'_>) {
    let children = statements(node);
    let field = |names: [&str; 2]| names.into_iter().find_map(|name| node.child_by_field_name(name));
    let sides = match (field(["consequence", "body"]), node.child_by_field_name("alternative")) {
        (Some(one), Some(other)) => Some((one, other)),
        // Python: value, condition, other value.
        _ if checker.language == Language::Python && children.len() == 3 => Some((children[0], children[2])),
        _ => None,
    };
    if sides.is_some_and(|(one, other)| checker.same(one, other)) {
        checker.report("same-branches", node, String::new());
    }
}

/// The cases of a `switch`.
pub(super) fn cases(checker: &mut Checker<'_>, node: Node<'_>) {
    let mut seen = HashSet::new();
    for case in statements(node) {
        let field = match case.kind() {
            "switch_case" | "case_statement" | "expression_case" => "value",
            "when" => "pattern",
            _ => continue,
        };
        let mut cursor = case.walk();
        let values: Vec<Node<'_>> = case.children_by_field_name(field, &mut cursor).collect();
        for value in values {
            if !checker.may_change(value) && !seen.insert(checker.squeezed(value)) {
                checker.report("duplicate-case", value, String::new());
            }
        }
    }
}

/// The parts of an `if` with all its `else if`.
#[derive(Default)]
struct Chain<'t> {
    conditions: Vec<Node<'t>>,
    bodies: Vec<Node<'t>>,
    otherwise: Option<Node<'t>>,
    /// Whether a condition declares what it asks about, so that equal texts may differ.
    initialized: bool,
}

impl<'t> Chain<'t> {
    fn of(checker: &Checker<'_>, node: Node<'t>) -> Self {
        let mut chain = Self::default();
        let mut next = Some(node);
        while let Some(at) = next.take() {
            chain.arm(at);
            let mut cursor = at.walk();
            let alternatives: Vec<Node<'t>> = at.children_by_field_name("alternative", &mut cursor).collect();
            for alternative in alternatives {
                match alternative.kind() {
                    "elif_clause" | "else_if_clause" => chain.arm(alternative),
                    "elsif" => next = Some(alternative),
                    "else_clause" => {
                        let body = alternative.child_by_field_name("body");
                        let inner = body.or_else(|| statements(alternative).first().copied());
                        next = inner.filter(|inner| checker.table.role(inner.kind_id()) == Role::If);
                        chain.otherwise = inner.filter(|_| next.is_none());
                    }
                    _ if checker.table.role(alternative.kind_id()) == Role::If => next = Some(alternative),
                    _ => chain.otherwise = Some(alternative),
                }
            }
        }
        chain
    }

    fn arm(&mut self, node: Node<'t>) {
        self.conditions.extend(node.child_by_field_name("condition"));
        let body = node.child_by_field_name("consequence").or_else(|| node.child_by_field_name("body"));
        self.bodies.extend(body);
        let declares = |condition: Node<'t>| {
            condition.child_by_field_name("initializer").is_some()
                || matches!(condition.kind(), "let_condition" | "let_chain")
        };
        self.initialized |= declares(node) || self.conditions.last().is_some_and(|last| declares(*last));
    }
}

fn repeated(checker: &mut Checker<'_>, chain: &Chain<'_>) {
    if chain.conditions.len() < 2 {
        return;
    }
    let mut seen = HashSet::new();
    for condition in &chain.conditions {
        if !checker.may_change(*condition) && !seen.insert(checker.squeezed(*condition)) {
            checker.report("duplicate-condition", *condition, String::new());
        }
    }
}

fn constant(checker: &mut Checker<'_>, chain: &Chain<'_>) {
    for condition in &chain.conditions {
        let text = checker.text(*condition).trim_matches(|c: char| c == '(' || c == ')' || c.is_whitespace());
        let number = checker.language == Language::Python && matches!(text, "0" | "1");
        if number || matches!(text, "true" | "false" | "True" | "False") {
            checker.report("constant-condition", *condition, format!("The condition is always `{text}`"));
        }
    }
}

/// Whether there is a comment within: it may say why two branches are kept apart.
fn has_comment(node: Node<'_>) -> bool {
    let mut cursor = node.walk();
    node.children(&mut cursor).any(|child| child.kind().contains("comment") || has_comment(child))
}

/// What stands between the braces, or behind `else`.
fn inside(body: &str) -> &str {
    let body = body.trim();
    let body = body.strip_prefix("else").unwrap_or(body).trim();
    body.strip_prefix('{').and_then(|body| body.strip_suffix('}')).unwrap_or(body).trim()
}
