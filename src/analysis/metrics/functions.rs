//! Names, parameters and maintainability of functions.

use tree_sitter::Node;

use crate::analysis::languages::Syntax;

/// What a function without a name of its own and without a name given by its place is called.
const ANONYMOUS: &str = "(anonymous)";
/// How many declarators C may wrap around a name before we stop looking.
const MAX_DECLARATORS: usize = 16;

/// Microsoft's variant of the maintainability index: from 0 to 100, and never below.
pub fn maintainability_index(volume: f64, cyclomatic: usize, code_lines: usize) -> f64 {
    let lines = code_lines.max(1) as f64;
    let raw = 171.0 - 5.2 * volume.max(1.0).ln() - 0.23 * cyclomatic as f64 - 16.2 * lines.ln();
    super::round((raw * 100.0 / 171.0).clamp(0.0, 100.0))
}

/// The name of a function or type: its own, or the one its place gives it (`const f = () => …`).
pub(super) fn name_of(node: Node<'_>, parent: Option<Node<'_>>, source: &str) -> String {
    let own = node
        .child_by_field_name("name")
        .or_else(|| declared_name(node))
        .or_else(|| node.child_by_field_name("type"));
    if let Some(name) = own {
        let name = text(name, source).to_owned();
        return match receiver_type(node, source) {
            Some(receiver) => format!("{receiver}.{name}"),
            None => name,
        };
    }
    parent.and_then(|parent| given_name(node, parent, source)).unwrap_or_else(|| ANONYMOUS.to_owned())
}

/// How many parameters a function takes, without its receiver.
pub(super) fn parameter_count(node: Node<'_>, syntax: &Syntax, source: &str) -> usize {
    let list = node.child_by_field_name("parameters").or_else(|| declarator_with_parameters(node));
    let Some(list) = list else {
        return usize::from(node.child_by_field_name("parameter").is_some());
    };
    let mut cursor = list.walk();
    list.named_children(&mut cursor)
        .enumerate()
        .map(|(index, parameter)| match parameter.kind() {
            kind if kind.contains("comment") || kind.ends_with("_separator") => 0,
            kind if index == 0 && syntax.receivers.contains(&kind) => 0,
            _ if index == 0 && syntax.receivers.contains(&bare(text(parameter, source))) => 0,
            _ if text(parameter, source) == "void" => 0,
            // Go lists several names before one type.
            "parameter_declaration" => names(parameter).max(1),
            _ => 1,
        })
        .sum()
}

/// Whether a call calls the function of this name, on the same object if it is a method.
pub(super) fn calls_itself(call: Node<'_>, name: &str, source: &str) -> bool {
    let name = name.rsplit(['.', ':']).next().unwrap_or(name);
    let receiver = call.child_by_field_name("object").or_else(|| call.child_by_field_name("receiver"));
    if receiver.is_some_and(|object| !matches!(text(object, source), "this" | "self")) {
        return false;
    }
    let callee = ["function", "name", "method"].iter().find_map(|field| call.child_by_field_name(field));
    callee.is_some_and(|callee| {
        let callee = text(callee, source);
        let callee = ["self.", "this.", "this->", "Self::", "cls."]
            .iter()
            .find_map(|prefix| callee.strip_prefix(prefix))
            .unwrap_or(callee);
        callee == name
    })
}

/// The text of a node; nothing if the tree and the text do not fit, which they always do.
pub(super) fn text<'a>(node: Node<'_>, source: &'a str) -> &'a str {
    source.get(node.byte_range()).unwrap_or_default()
}

/// C hides the name of a function in its declarator.
fn declared_name(node: Node<'_>) -> Option<Node<'_>> {
    let mut inner = node.child_by_field_name("declarator")?;
    for _ in 0..MAX_DECLARATORS {
        match inner.child_by_field_name("declarator").or_else(|| wrapped(inner)) {
            Some(next) => inner = next,
            None => break,
        }
    }
    Some(inner)
}

/// A reference declarator has its inner declarator as a plain child.
fn wrapped(node: Node<'_>) -> Option<Node<'_>> {
    matches!(node.kind(), "reference_declarator" | "parenthesized_declarator").then(|| node.named_child(0))?
}

fn declarator_with_parameters(node: Node<'_>) -> Option<Node<'_>> {
    let mut inner = node.child_by_field_name("declarator")?;
    for _ in 0..MAX_DECLARATORS {
        if let Some(parameters) = inner.child_by_field_name("parameters") {
            return Some(parameters);
        }
        inner = inner.child_by_field_name("declarator").or_else(|| wrapped(inner))?;
    }
    None
}

/// The type that a Go method belongs to.
fn receiver_type<'a>(node: Node<'_>, source: &'a str) -> Option<&'a str> {
    let receiver = text(node.child_by_field_name("receiver")?, source);
    let name = receiver.trim_matches(['(', ')']).split('[').next()?.rsplit([' ', '*']).next()?;
    (!name.is_empty()).then_some(name)
}

fn given_name(node: Node<'_>, parent: Node<'_>, source: &str) -> Option<String> {
    let is_value = ["value", "right"]
        .iter()
        .any(|field| parent.child_by_field_name(field).is_some_and(|value| value.id() == node.id()));
    let name =
        ["name", "key", "left", "property"].iter().find_map(|field| parent.child_by_field_name(field))?;
    let name = text(name, source);
    (is_value && name.len() <= 80 && !name.contains('\n')).then(|| name.to_owned())
}

/// How many names a parameter declaration declares.
fn names(parameter: Node<'_>) -> usize {
    let mut cursor = parameter.walk();
    parameter.children_by_field_name("name", &mut cursor).count()
}

/// A parameter without its type or default.
fn bare(parameter: &str) -> &str {
    parameter.split([':', '=', ' ']).next().unwrap_or(parameter)
}
