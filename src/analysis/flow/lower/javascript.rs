//! JavaScript and TypeScript to the intermediate form.

use std::sync::Arc;

use tree_sitter::Node;

use super::{Builder, at, children, constant, expressions, integer, opaque, unescape, unquoted};
use crate::analysis::flow::ir::{
    Arg, Arm, Assign, Call, Class, Const, Expr, ExprKind, Function, Handler, Name, Op, Parameter, Stmt,
};

pub(super) fn module(b: &mut Builder<'_>, root: Node<'_>) -> Vec<Stmt> {
    block(b, root)
}

fn block(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    b.nested(Vec::new(), |b| children(node).into_iter().flat_map(|child| stmt(b, child)).collect())
}

fn body(b: &mut Builder<'_>, node: Node<'_>, field: &str) -> Vec<Stmt> {
    node.child_by_field_name(field).map(|inner| b.nested(Vec::new(), |b| stmt(b, inner))).unwrap_or_default()
}

fn stmt(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let one = match node.kind() {
        "statement_block" | "else_clause" | "labeled_statement" | "ERROR" => Stmt::Block(block(b, node)),
        "expression_statement" => {
            return expressions(children(node).into_iter().map(|child| expr(b, child)).collect());
        }
        "lexical_declaration" | "variable_declaration" => return declaration(b, node),
        "function_declaration" | "generator_function_declaration" => match node.child_by_field_name("name") {
            Some(name) => Stmt::Function(b.slot_of(name), function(b, node)),
            None => return Vec::new(),
        },
        "class_declaration" | "abstract_class_declaration" => match node.child_by_field_name("name") {
            Some(name) => Stmt::Class(b.slot_of(name), class(b, node)),
            None => return Vec::new(),
        },
        "if_statement" => Stmt::If {
            cond: field(b, node, "condition"),
            then: body(b, node, "consequence"),
            other: body(b, node, "alternative"),
        },
        "while_statement" => while_statement(b, node, false),
        "do_statement" => while_statement(b, node, true),
        "for_statement" => for_statement(b, node),
        "for_in_statement" => {
            let items = field(b, node, "right");
            let target = field(b, node, "left");
            Stmt::Each { target, items, ty: None, body: body(b, node, "body") }
        }
        "switch_statement" => switch(b, node),
        "return_statement" => Stmt::Return(children(node).first().map(|value| expr(b, *value)), at(node)),
        "throw_statement" => Stmt::Throw(children(node).first().map(|value| expr(b, *value))),
        "break_statement" => Stmt::Break,
        "continue_statement" => Stmt::Continue,
        "try_statement" => {
            let handlers = node.child_by_field_name("handler");
            let handlers = handlers.map(|handler| Handler { body: body(b, handler, "body") });
            let last = node.child_by_field_name("finalizer").map(|last| body(b, last, "body"));
            Stmt::Try {
                body: body(b, node, "body"),
                handlers: handlers.into_iter().collect(),
                last: last.unwrap_or_default(),
            }
        }
        "import_statement" => return import(b, node),
        "export_statement" => return export(b, node),
        "interface_declaration" | "type_alias_declaration" | "enum_declaration" | "empty_statement" => {
            return Vec::new();
        }
        _ => Stmt::Expr(expr(b, node)),
    };
    vec![one]
}

fn export(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    if let Some(declaration) = node.child_by_field_name("declaration") {
        return stmt(b, declaration);
    }
    let Some(value) = node.child_by_field_name("value") else { return Vec::new() };
    let value = expr(b, value);
    let target = b.named(node, "default");
    let assign = Assign { target, value, op: None, ty: None };
    vec![Stmt::Expr(Expr::new(at(node), ExprKind::Assign(Box::new(assign))))]
}

fn declaration(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let mut all = Vec::new();
    for declarator in children(node).into_iter().filter(|child| child.kind() == "variable_declarator") {
        let value = match declarator.child_by_field_name("value") {
            Some(value) => expr(b, value),
            None => constant(declarator, Const::Null),
        };
        let target = field(b, declarator, "name");
        let ty = declarator.child_by_field_name("type").map(|ty| type_name(b, ty));
        let assign = Assign { target, value, op: None, ty };
        all.push(Stmt::Expr(Expr::new(at(declarator), ExprKind::Assign(Box::new(assign)))));
    }
    all
}

fn while_statement(b: &mut Builder<'_>, node: Node<'_>, first_round: bool) -> Stmt {
    let cond = field(b, node, "condition");
    let forever = matches!(cond.kind, ExprKind::Const(Const::Bool(true) | Const::Int(1)));
    let body = body(b, node, "body");
    Stmt::While { cond: (!forever).then_some(cond), body, step: Vec::new(), first_round }
}

fn for_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut all = body(b, node, "initializer");
    let cond = node.child_by_field_name("condition").filter(|cond| cond.kind() != "empty_statement");
    let cond = cond.map(|cond| match children(cond).first() {
        Some(inner) if cond.kind() == "expression_statement" => expr(b, *inner),
        _ => expr(b, cond),
    });
    let step = node.child_by_field_name("increment").map(|step| Stmt::Expr(expr(b, step)));
    let body = body(b, node, "body");
    all.push(Stmt::While { cond, body, step: step.into_iter().collect(), first_round: false });
    Stmt::Block(all)
}

fn switch(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let subject = field(b, node, "value");
    let mut arms = Vec::new();
    for case in node.child_by_field_name("body").map(children).unwrap_or_default() {
        let value = case.child_by_field_name("value");
        let patterns = value.map(|value| expr(b, value)).into_iter().collect();
        let inner = children(case).into_iter().filter(|child| Some(*child) != value);
        let body = inner.flat_map(|child| stmt(b, child)).collect();
        arms.push(Arm { patterns, is_default: value.is_none(), body });
    }
    Stmt::Switch { subject, arms, falls_through: true }
}

/// The dotted path of a module: relative ones by the file's own path.
fn module_path(b: &Builder<'_>, said: &str) -> Name {
    let said = said.strip_prefix("node:").unwrap_or(said);
    if !said.starts_with('.') {
        return Arc::from(said);
    }
    let mut folders: Vec<&str> = b.path.split('/').collect();
    folders.pop();
    for part in said.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(folders.pop()),
            part => folders.push(part),
        }
    }
    let path = folders.join(".");
    let path = ["ts", "js", "mjs", "cjs"]
        .iter()
        .find_map(|ext| path.strip_suffix(&format!(".{ext}")))
        .unwrap_or(&path);
    Arc::from(path)
}

fn import(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let Some(source) = node.child_by_field_name("source") else { return Vec::new() };
    let path = module_path(b, unquoted(b.text(source)));
    b.imports.push(Arc::clone(&path));
    let mut all = Vec::new();
    let clauses = children(node).into_iter().filter(|child| child.kind() == "import_clause");
    for part in clauses.flat_map(children) {
        match part.kind() {
            "identifier" => all.push(Stmt::Import(b.slot_of(part), Arc::clone(&path))),
            "namespace_import" => {
                if let Some(name) = children(part).first() {
                    all.push(Stmt::Import(b.slot_of(*name), Arc::clone(&path)));
                }
            }
            "named_imports" => {
                for specifier in children(part) {
                    let Some(name) = specifier.child_by_field_name("name") else { continue };
                    let alias = specifier.child_by_field_name("alias").unwrap_or(name);
                    let whole: Name = Arc::from(format!("{path}.{}", b.text(name)));
                    all.push(Stmt::Import(b.slot_of(alias), whole));
                }
            }
            _ => {}
        }
    }
    all
}

fn function(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Function> {
    let name = match node.child_by_field_name("name") {
        Some(name) => b.name_of(name),
        None => Arc::from("function"),
    };
    b.function(node, name, |b, function| {
        if let Some(parameter) = node.child_by_field_name("parameter") {
            function.parameters = vec![b.parameter(parameter)];
        }
        let mut opening = Vec::new();
        if let Some(list) = node.child_by_field_name("parameters") {
            for node in children(list) {
                if let Some(parameter) = parameter(b, node, &mut opening) {
                    function.parameters.push(parameter);
                }
            }
        }
        if let Some(inner) = node.child_by_field_name("body") {
            let rest = match inner.kind() {
                "statement_block" => block(b, inner),
                _ => vec![Stmt::Return(Some(expr(b, inner)), at(inner))],
            };
            opening.extend(rest);
        }
        function.body = opening;
    })
}

/// A parameter; one that is taken apart is bound to a name of ours first.
fn parameter(b: &mut Builder<'_>, node: Node<'_>, opening: &mut Vec<Stmt>) -> Option<Parameter> {
    let (pattern, ty, default) = match node.kind() {
        "required_parameter" | "optional_parameter" => (
            node.child_by_field_name("pattern")?,
            node.child_by_field_name("type"),
            node.child_by_field_name("value"),
        ),
        "assignment_pattern" => (node.child_by_field_name("left")?, None, node.child_by_field_name("right")),
        "rest_pattern" => (node, None, None),
        _ => (node, None, None),
    };
    let mut parameter = match pattern.kind() {
        "identifier" | "this" => b.parameter(pattern),
        "rest_pattern" => {
            let mut parameter = b.parameter(*children(pattern).first()?);
            parameter.rest = true;
            parameter
        }
        _ => {
            let name: Name = Arc::from(format!("parameter {}", pattern.start_byte()));
            let slot = b.slot(&name);
            let target = expr(b, pattern);
            let value = Expr::new(at(pattern), ExprKind::Name(slot));
            let assign = Assign { target, value, op: None, ty: None };
            opening.push(Stmt::Expr(Expr::new(at(pattern), ExprKind::Assign(Box::new(assign)))));
            Parameter { slot, name, ty: None, marks: Vec::new(), default: None, rest: false }
        }
    };
    parameter.ty = ty.map(|ty| type_name(b, ty));
    parameter.default = default.map(|default| expr(b, default));
    Some(parameter)
}

fn type_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node).trim_start_matches([':', ' ']);
    let text = text.split(['<', '|', '[', '&']).next().unwrap_or(text).trim();
    b.name(text)
}

fn class(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Class> {
    let name = node.child_by_field_name("name").map_or_else(|| Arc::from("class"), |name| b.name_of(name));
    let heritage = children(node).into_iter().find(|child| child.kind() == "class_heritage");
    let mut bases = Vec::new();
    if let Some(text) = heritage.map(|heritage| b.text(heritage)) {
        let first = text.trim_start_matches("extends").split_whitespace().next().unwrap_or_default();
        bases.push(b.name(first.rsplit('.').next().unwrap_or(first)));
    }
    let (mut methods, mut members) = (Vec::new(), Vec::new());
    let setup = b.function(node, Arc::clone(&name), |b, _| {
        for member in node.child_by_field_name("body").map(children).unwrap_or_default() {
            match member.kind() {
                "method_definition" => methods.push(function(b, member)),
                "field_definition" | "public_field_definition" => {
                    let named =
                        member.child_by_field_name("property").or_else(|| member.child_by_field_name("name"));
                    let Some(name) = named else { continue };
                    let value = member.child_by_field_name("value").map(|value| expr(b, value));
                    let ty = member.child_by_field_name("type").map(|ty| type_name(b, ty));
                    members.push((b.name_of(name), value, ty));
                }
                _ => {}
            }
        }
    });
    let setup = Function { names: setup.names.clone(), ..Function::default() };
    let class =
        Arc::new(Class { name, bases, methods, fields: members, setup, inner: Vec::new(), file: b.file });
    b.classes.push(Arc::clone(&class));
    class
}

fn field(b: &mut Builder<'_>, node: Node<'_>, name: &str) -> Expr {
    match node.child_by_field_name(name) {
        Some(inner) => expr(b, inner),
        None => opaque(node, Vec::new()),
    }
}

fn all(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Expr> {
    children(node).into_iter().map(|child| expr(b, child)).collect()
}

fn expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    b.nested(opaque(node, Vec::new()), |b| lower_expr(b, node))
}

fn lower_expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let kind = match node.kind() {
        "identifier" | "shorthand_property_identifier" | "shorthand_property_identifier_pattern" => {
            return b.variable(node);
        }
        "this" | "super" => ExprKind::This,
        "member_expression" => match node.child_by_field_name("property") {
            Some(name) => {
                let base = field(b, node, "object");
                ExprKind::Field(Box::new(base), b.name_of(name))
            }
            None => ExprKind::Opaque(all(b, node)),
        },
        "subscript_expression" => {
            let (base, key) = (field(b, node, "object"), field(b, node, "index"));
            ExprKind::Index(Box::new(base), Box::new(key))
        }
        "call_expression" | "new_expression" => return call(b, node),
        "string" => ExprKind::Const(Const::text(unescape(unquoted(b.text(node))))),
        "template_string" => template(b, node),
        "number" => match integer(b.text(node)) {
            Some(int) => ExprKind::Const(Const::Int(int)),
            None => ExprKind::Opaque(Vec::new()),
        },
        "true" => ExprKind::Const(Const::Bool(true)),
        "false" => ExprKind::Const(Const::Bool(false)),
        "null" | "undefined" => ExprKind::Const(Const::Null),
        "parenthesized_expression"
        | "await_expression"
        | "non_null_expression"
        | "as_expression"
        | "satisfies_expression"
        | "spread_element" => match children(node).first() {
            Some(inner) => return expr(b, *inner),
            None => ExprKind::Opaque(Vec::new()),
        },
        "binary_expression" => binary(b, node),
        "unary_expression" => return unary(b, node),
        "ternary_expression" => ExprKind::Cond(Box::new([
            field(b, node, "condition"),
            field(b, node, "consequence"),
            field(b, node, "alternative"),
        ])),
        "assignment_expression" | "augmented_assignment_expression" => return assignment(b, node),
        "assignment_pattern" | "object_assignment_pattern" => return field(b, node, "left"),
        "array" | "array_pattern" => ExprKind::List(all(b, node)),
        "object" | "object_pattern" => object(b, node),
        "arrow_function" | "function_expression" | "generator_function" | "function" => {
            ExprKind::Lambda(function(b, node))
        }
        "class" => {
            class(b, node);
            ExprKind::Opaque(Vec::new())
        }
        _ => ExprKind::Opaque(all(b, node)),
    };
    Expr::new(at(node), kind)
}

fn call(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let is_new = node.kind() == "new_expression";
    let callee = node.child_by_field_name(if is_new { "constructor" } else { "function" });
    let list = node.child_by_field_name("arguments");
    if let (Some(callee), Some(list)) = (callee, list)
        && matches!(b.text(callee), "require" | "import")
        && let Some(said) = children(list).first().filter(|arg| arg.kind() == "string")
    {
        let path = module_path(b, unquoted(b.text(*said)));
        b.imports.push(Arc::clone(&path));
        return b.named(node, &format!("require:{path}"));
    }
    let args = match list {
        // A tagged template.
        Some(list) if list.kind() == "template_string" => {
            vec![Arg { name: None, value: opaque(list, all(b, list)) }]
        }
        Some(list) => children(list).into_iter().map(|arg| Arg { name: None, value: expr(b, arg) }).collect(),
        None => Vec::new(),
    };
    let callee = callee.map_or_else(|| opaque(node, Vec::new()), |callee| expr(b, callee));
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new })))
}

fn template(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let mut pieces = Vec::new();
    for part in children(node) {
        match part.kind() {
            "template_substitution" => pieces.extend(all(b, part)),
            _ => pieces.push(constant(part, Const::text(unescape(b.text(part))))),
        }
    }
    ExprKind::Concat(pieces)
}

fn assignment(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "right");
    let target = field(b, node, "left");
    let op = node.child_by_field_name("operator").map(|op| operator(op.kind().trim_end_matches('=')));
    Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op, ty: None })))
}

fn binary(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let (left, right) = (Box::new(field(b, node, "left")), Box::new(field(b, node, "right")));
    match node.child_by_field_name("operator").map_or("", |op| op.kind()) {
        "&&" => ExprKind::And(left, right),
        "||" | "??" => ExprKind::Or(left, right),
        op => ExprKind::Binary(operator(op), left, right),
    }
}

fn unary(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "argument");
    match (node.child_by_field_name("operator").map_or("", |op| op.kind()), &value.kind) {
        ("!", _) => Expr::new(at(node), ExprKind::Not(Box::new(value))),
        ("-", ExprKind::Const(Const::Int(int))) => constant(node, Const::Int(int.wrapping_neg())),
        _ => opaque(node, vec![value]),
    }
}

fn object(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let mut entries = Vec::new();
    for member in children(node) {
        match member.kind() {
            "pair" | "pair_pattern" => {
                let key = member.child_by_field_name("key");
                let key = match key {
                    Some(key) if key.kind() == "computed_property_name" => opaque(key, Vec::new()),
                    Some(key) => constant(key, Const::text(unquoted(b.text(key)))),
                    None => continue,
                };
                entries.push((key, field(b, member, "value")));
            }
            "shorthand_property_identifier" | "shorthand_property_identifier_pattern" => {
                entries.push((constant(member, Const::text(b.text(member))), b.variable(member)));
            }
            "object_assignment_pattern" => {
                if let Some(left) = member.child_by_field_name("left") {
                    entries.push((constant(left, Const::text(b.text(left))), expr(b, left)));
                }
            }
            "method_definition" => {
                if let Some(name) = member.child_by_field_name("name") {
                    let key = constant(name, Const::text(b.text(name)));
                    let function = function(b, member);
                    entries.push((key, Expr::new(at(member), ExprKind::Lambda(function))));
                }
            }
            _ => {
                if let Some(inner) = children(member).first() {
                    entries.push((opaque(member, Vec::new()), expr(b, *inner)));
                }
            }
        }
    }
    ExprKind::Map(entries)
}

fn operator(text: &str) -> Op {
    match text {
        "+" => Op::Add,
        "-" => Op::Sub,
        "*" => Op::Mul,
        // A quotient of whole numbers may be a fraction.
        "%" => Op::Rem,
        "**" => Op::Power,
        "==" | "===" => Op::Eq,
        "!=" | "!==" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        _ => Op::Other,
    }
}
