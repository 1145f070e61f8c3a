//! What a PHP program defines: functions, classes, constants, and other names for them.

use std::sync::Arc;

use tree_sitter::Node;

use super::super::{Builder, assign, at, children};
use super::{block, expr};
use crate::analysis::flow::ir::{Class, Expr, ExprKind, Function, Name, Parameter, Stmt};

/// `use A\B as C` makes another name for `B`.
pub(super) fn imports(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let mut all = Vec::new();
    for clause in children(node) {
        match clause.kind() {
            "namespace_use_group" => all.extend(imports(b, clause)),
            "namespace_use_clause" => {
                let alias = clause.child_by_field_name("alias");
                let Some(path) = children(clause).into_iter().find(|child| Some(*child) != alias) else {
                    continue;
                };
                let name = last_name(b, path);
                b.imports.push(Arc::clone(&name));
                if let Some(alias) = alias {
                    all.push(Stmt::Import(b.slot_of(alias), name));
                }
            }
            _ => {}
        }
    }
    all
}

pub(super) fn constants(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let mut all = Vec::new();
    for element in children(node).into_iter().filter(|child| child.kind() == "const_element") {
        if let [name, value] = children(element).as_slice() {
            let target = b.variable(*name);
            let value = expr(b, *value);
            all.push(Stmt::Expr(assign(element, target, value)));
        }
    }
    all
}

/// `A\B\C` is `C`.
pub(super) fn last_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node);
    b.name(text.rsplit('\\').next().unwrap_or(text))
}

/// A variable's name without `$`.
pub(super) fn bare(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node);
    b.name(text.trim_start_matches('$'))
}

/// The name of a type: of several the first that is a class.
fn type_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node).trim_start_matches('?');
    let part = text.split(['|', '&']).find(|part| *part != "null").unwrap_or(text);
    b.name(part.rsplit('\\').next().unwrap_or(part))
}

pub(super) fn function(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Function> {
    let name = match node.child_by_field_name("name") {
        Some(name) => b.name_of(name),
        None => Arc::from("function"),
    };
    b.function(node, name, |b, function| {
        let mut opening = Vec::new();
        let marks = attributes(b, node);
        for node in node.child_by_field_name("parameters").map(children).unwrap_or_default() {
            let Some(mut parameter) = parameter(b, node, &mut opening) else { continue };
            parameter.marks = attributes(b, node);
            // What a route fills in is text or a number; objects are put there by the framework.
            if parameter.ty.as_deref().is_none_or(|ty| ty == "string") {
                parameter.marks.extend(marks.iter().cloned());
            }
            function.parameters.push(parameter);
        }
        for used in children(node).into_iter().filter(|child| child.kind() == "anonymous_function_use_clause")
        {
            for variable in children(used).into_iter().filter(|child| child.kind() == "by_ref") {
                function.shares.extend(children(variable).first().map(|variable| b.slot_of(*variable)));
            }
        }
        function.is_static = children(node).iter().any(|child| child.kind() == "static_modifier");
        function.returns = node.child_by_field_name("return_type").map(|ty| type_name(b, ty));
        if let Some(inner) = node.child_by_field_name("body") {
            let rest = match inner.kind() {
                "compound_statement" => block(b, inner),
                _ => vec![Stmt::Return(Some(expr(b, inner)), at(inner))],
            };
            opening.extend(rest);
        }
        function.body = opening;
    })
}

/// The names of the attributes of a function or parameter.
fn attributes(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Name> {
    let groups = node.child_by_field_name("attributes").map(children).unwrap_or_default();
    let names =
        groups.into_iter().flat_map(children).filter_map(|attribute| children(attribute).first().copied());
    names.map(|name| last_name(b, name)).collect()
}

/// A parameter; one that is a property, too, is put there first.
fn parameter(b: &mut Builder<'_>, node: Node<'_>, opening: &mut Vec<Stmt>) -> Option<Parameter> {
    let variable = node.child_by_field_name("name")?;
    let (name, slot) = (bare(b, variable), b.slot_of(variable));
    if node.kind() == "property_promotion_parameter" {
        let this = Box::new(Expr::new(at(variable), ExprKind::This));
        let target = Expr::new(at(variable), ExprKind::Field(this, Arc::clone(&name)));
        let value = Expr::new(at(variable), ExprKind::Name(slot));
        opening.push(Stmt::Expr(assign(variable, target, value)));
    }
    let ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
    let default = node.child_by_field_name("default_value").map(|value| expr(b, value));
    let rest = node.kind() == "variadic_parameter";
    Some(Parameter { slot, name, ty, marks: Vec::new(), default, rest })
}

pub(super) fn class(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Class> {
    let name = node.child_by_field_name("name").map_or_else(|| Arc::from("class"), |name| b.name_of(name));
    let around = b.class.replace(Arc::clone(&name));
    let (mut bases, mut methods, mut members) = (Vec::new(), Vec::new(), Vec::new());
    for clause in children(node) {
        if matches!(clause.kind(), "base_clause" | "class_interface_clause") {
            bases.extend(children(clause).into_iter().map(|base| last_name(b, base)));
        }
    }
    let setup = b.function(node, Arc::clone(&name), |b, _| {
        for member in node.child_by_field_name("body").map(children).unwrap_or_default() {
            match member.kind() {
                "method_declaration" => methods.push(function(b, member)),
                // A trait's methods are as good as inherited.
                "use_declaration" => bases.extend(children(member).into_iter().map(|t| last_name(b, t))),
                "property_declaration" => {
                    let ty = member.child_by_field_name("type").map(|ty| type_name(b, ty));
                    for element in children(member) {
                        let Some(name) = element.child_by_field_name("name") else { continue };
                        let value = element.child_by_field_name("default_value").map(|value| expr(b, value));
                        members.push((bare(b, name), value, ty.clone()));
                    }
                }
                "const_declaration" => {
                    for element in children(member).into_iter().filter(|c| c.kind() == "const_element") {
                        if let [name, value] = children(element).as_slice() {
                            members.push((b.name_of(*name), Some(expr(b, *value)), None));
                        }
                    }
                }
                _ => {}
            }
        }
    });
    b.class = around;
    for base in &bases {
        b.imports.push(Arc::clone(base));
    }
    let setup = Function { names: setup.names.clone(), ..Function::default() };
    let class =
        Arc::new(Class { name, bases, methods, fields: members, setup, inner: Vec::new(), file: b.file });
    b.classes.push(Arc::clone(&class));
    class
}
