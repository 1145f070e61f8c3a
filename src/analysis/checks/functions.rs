//! Functions that nobody calls, that hide each other, or that are too many.

use std::collections::HashMap;

use tree_sitter::Node;

use super::{Checker, statements};
use crate::analysis::languages::{Language, Role};

/// A function with more ways out is hard to follow; a class with more methods does several things.
const MOST_RETURNS: usize = 12;
const MOST_METHODS: usize = 50;

/// Private methods that Java calls by their names.
const CALLED_BY_NAME: [&str; 6] =
    ["readObject", "writeObject", "readResolve", "writeReplace", "readObjectNoData", "finalize"];

/// How PHP calls methods whose names are made at run time.
const CALLS_BY_TEXT: [&str; 3] = ["->{", "->$", "call_user_func"];

/// The functions and types around the node that is visited.
#[derive(Default)]
pub(super) struct Scopes<'t> {
    open: Vec<Scope<'t>>,
    /// How often each word stands in the file; counted when it is asked for.
    words: Option<HashMap<&'t str, usize>>,
}

struct Scope<'t> {
    node: Node<'t>,
    is_type: bool,
    /// Methods of a type, returns of a function.
    count: usize,
}

impl<'t> Scopes<'t> {
    pub(super) fn open_function(&mut self, node: Node<'t>, checker: &mut Checker<'t>) {
        self.close_before(node.start_byte(), checker);
        let lambda = checker.table.role(node.kind_id()) == Role::Lambda;
        if let Some(scope) = self.open.last_mut().filter(|scope| scope.is_type && !lambda) {
            scope.count += 1;
        }
        self.open.push(Scope { node, is_type: false, count: 0 });
    }

    pub(super) fn open_type(&mut self, node: Node<'t>, checker: &mut Checker<'t>) {
        self.close_before(node.start_byte(), checker);
        self.open.push(Scope { node, is_type: true, count: 0 });
    }

    pub(super) fn returned(&mut self, node: Node<'t>, checker: &mut Checker<'t>) {
        self.close_before(node.start_byte(), checker);
        if let Some(scope) = self.open.last_mut().filter(|scope| !scope.is_type) {
            scope.count += 1;
        }
    }

    /// Closes what ends before a byte.
    pub(super) fn close_before(&mut self, byte: usize, checker: &mut Checker<'t>) {
        while let Some(scope) = self.open.pop_if(|scope| scope.node.end_byte() <= byte) {
            let name = name(checker, scope.node);
            let of_a_test = name.contains("Test") || name.contains("Spec");
            let grouping = scope.node.kind().contains("namespace") || scope.node.kind().contains("module");
            if !scope.is_type && scope.count > MOST_RETURNS {
                let message = format!("`{name}` returns at {} places", scope.count);
                checker.report("too-many-returns", scope.node, message);
            } else if scope.is_type && scope.count > MOST_METHODS && !of_a_test && !grouping {
                let message = format!("`{name}` has {} methods", scope.count);
                checker.report("large-class", scope.node, message);
            }
        }
    }

    fn mentions(&mut self, name: &str, text: &'t str) -> usize {
        let words = self.words.get_or_insert_with(|| {
            let mut words = HashMap::new();
            for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
                *words.entry(word).or_insert(0) += 1;
                // Python calls `__total` of the class `Sum` `_Sum__total` outside of it.
                if let Some(at) = word.find("__").filter(|at| *at > 0) {
                    *words.entry(&word[at..]).or_insert(0) += 1;
                }
            }
            words
        });
        words.get(name).copied().unwrap_or_default()
    }
}

/// A private function whose name stands nowhere else in its file.
pub(super) fn unused<'t>(checker: &mut Checker<'t>, node: Node<'t>, scopes: &mut Scopes<'t>) {
    if !is_private(checker, node) {
        return;
    }
    let name = name(checker, node);
    if !name.is_empty() && scopes.mentions(name.trim_start_matches('#'), checker.text) == 1 {
        let message = format!("Nobody calls `{name}`, and nobody outside can");
        checker.report("unused-private-function", node, message);
    }
}

/// Methods of the same name in one class.
pub(super) fn redefined<'t>(checker: &mut Checker<'t>, node: Node<'t>) {
    let Some(body) = node.child_by_field_name("body") else { return };
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for member in statements(body) {
        let (key, end) = match member.kind() {
            "function_definition" | "method" | "singleton_method" => {
                (head(checker, member), member.end_byte())
            }
            "method_definition" if member.child_by_field_name("body").is_some() => {
                (head(checker, member), member.end_byte())
            }
            _ => continue,
        };
        let Some(before) = seen.insert(key, end) else { continue };
        // What stands between the two may keep the first under another name.
        let between = checker.text.get(before..member.start_byte()).unwrap_or_default();
        if !between.contains("alias")
            && !between.contains(&format!("= {}", name(checker, member)))
            && !between.contains(&format!("({})", name(checker, member)))
        {
            let message =
                format!("`{}` stands above in the class, and this one replaces it", name(checker, member));
            checker.report("function-redefined", member, message);
        }
    }
}

fn is_private(checker: &Checker<'_>, node: Node<'_>) -> bool {
    let name = name(checker, node);
    let mut cursor = node.walk();
    let has = |kind: &str, text: &str| {
        let mut cursor = node.walk();
        node.children(&mut cursor).any(|child| child.kind() == kind && checker.text(child) == text)
    };
    match checker.language {
        Language::Python => {
            let in_class = node.parent().and_then(|block| block.parent());
            name.starts_with("__")
                && !name.ends_with("__")
                && in_class.is_some_and(|parent| parent.kind() == "class_definition")
        }
        Language::Java => {
            let modifiers = node.children(&mut cursor).find(|child| child.kind() == "modifiers");
            let modifiers = modifiers.map_or("", |modifiers| checker.text(modifiers));
            node.kind() == "method_declaration"
                && modifiers.contains("private")
                && !modifiers.contains('@')
                && !CALLED_BY_NAME.contains(&name)
        }
        Language::JavaScript | Language::TypeScript | Language::Tsx => {
            node.kind() == "method_definition"
                && (name.starts_with('#') || has("accessibility_modifier", "private"))
                && name != "constructor"
                && node.prev_named_sibling().is_none_or(|before| before.kind() != "decorator")
        }
        Language::Php => {
            node.kind() == "method_declaration"
                && has("visibility_modifier", "private")
                && !name.starts_with("__")
                && !node
                    .parent()
                    .and_then(|body| body.parent())
                    .is_some_and(|class| CALLS_BY_TEXT.iter().any(|mark| checker.text(class).contains(mark)))
        }
        _ => false,
    }
}

/// A method up to its parameters, so that `get`, `set` and `static` tell members apart.
fn head<'t>(checker: &Checker<'t>, member: Node<'t>) -> &'t str {
    let text = checker.text(member);
    let parameters =
        member.child_by_field_name("parameters").map(|node| node.start_byte() - member.start_byte());
    let end = parameters.or_else(|| text.find('\n')).unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim()
}

/// The name of a function or type; empty if it has none.
fn name<'t>(checker: &Checker<'t>, node: Node<'t>) -> &'t str {
    let mut at = node.child_by_field_name("name").or_else(|| node.child_by_field_name("declarator"));
    while let Some(inner) = at.and_then(|node| node.child_by_field_name("declarator")) {
        at = Some(inner);
    }
    at.or_else(|| node.child_by_field_name("type")).map_or("", |name| checker.text(name))
}
