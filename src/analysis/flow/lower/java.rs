//! Java to the intermediate form.

use std::sync::Arc;

use tree_sitter::Node;

use super::{Builder, at, children, constant, expressions, fields, integer, opaque, unescape, unquoted};
use crate::analysis::flow::ir::{
    Arg, Arm, Assign, Call, Class, Const, Expr, ExprKind, Function, Handler, Name, Op, Parameter, Stmt,
};

pub(super) fn module(b: &mut Builder<'_>, root: Node<'_>) -> Vec<Stmt> {
    let mut body = Vec::new();
    for node in children(root) {
        match node.kind() {
            "import_declaration" => {
                if let Some(path) = children(node).first() {
                    let path = b.name_of(*path);
                    b.imports.push(path);
                }
            }
            "package_declaration" => {
                if let Some(path) = children(node).first() {
                    b.package = b.name_of(*path);
                }
            }
            kind if kind.ends_with("_declaration") => {
                if let Some(class) = class(b, node) {
                    let slot = b.slot(&class.name);
                    body.push(Stmt::Class(slot, class));
                }
            }
            _ => {}
        }
    }
    body
}

fn class(b: &mut Builder<'_>, node: Node<'_>) -> Option<Arc<Class>> {
    let name = node.child_by_field_name("name").map(|name| b.name_of(name))?;
    let inner = node.child_by_field_name("body")?;
    let mut bases = Vec::new();
    for field in ["superclass", "interfaces"] {
        if let Some(clause) = node.child_by_field_name(field) {
            base_names(b, clause, &mut bases);
        }
    }
    Some(class_of(b, node, name, bases, inner))
}

fn base_names(b: &mut Builder<'_>, node: Node<'_>, bases: &mut Vec<Name>) {
    for child in children(node) {
        match child.kind() {
            "type_list" => base_names(b, child, bases),
            _ => bases.push(type_name(b, child)),
        }
    }
}

fn class_of(b: &mut Builder<'_>, node: Node<'_>, name: Name, bases: Vec<Name>, body: Node<'_>) -> Arc<Class> {
    let (mut methods, mut members, mut inner) = (Vec::new(), Vec::new(), Vec::new());
    let setup = b.function(node, Arc::clone(&name), |b, _| {
        for member in children(body) {
            match member.kind() {
                "method_declaration" | "constructor_declaration" | "compact_constructor_declaration" => {
                    methods.push(method(b, member));
                }
                "field_declaration" => {
                    let ty = member.child_by_field_name("type").map(|ty| type_name(b, ty));
                    for declarator in fields(member, "declarator") {
                        let Some(name) = declarator.child_by_field_name("name") else { continue };
                        let value = declarator.child_by_field_name("value").map(|value| expr(b, value));
                        members.push((b.name_of(name), value, ty.clone()));
                    }
                }
                "class_declaration" | "interface_declaration" | "enum_declaration" | "record_declaration" => {
                    inner.extend(class(b, member));
                }
                "enum_body_declarations" => {
                    for member in children(member).into_iter().filter(|m| m.kind() == "method_declaration") {
                        methods.push(method(b, member));
                    }
                }
                _ => {}
            }
        }
    });
    let setup = Function { names: setup.names.clone(), ..Function::default() };
    let class = Arc::new(Class { name, bases, methods, fields: members, setup, inner, file: b.file });
    b.classes.push(Arc::clone(&class));
    class
}

fn method(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Function> {
    let name = node.child_by_field_name("name").map_or_else(|| Arc::from(""), |name| b.name_of(name));
    b.function(node, name, |b, function| {
        function.is_static = modifiers(b, node).iter().any(|word| &**word == "static");
        function.returns = node.child_by_field_name("type").map(|ty| type_name(b, ty));
        if let Some(parameters) = node.child_by_field_name("parameters") {
            function.parameters = children(parameters).into_iter().filter_map(|p| parameter(b, p)).collect();
        }
        function.decorators = annotations(b, node);
        function.body = node.child_by_field_name("body").map(|body| block(b, body)).unwrap_or_default();
    })
}

/// The annotations of a declaration, as calls of their names.
fn annotations(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Expr> {
    let marks = modifiers(b, node);
    let marks = marks.into_iter().filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    marks
        .map(|word| {
            let slot = b.slot(&word);
            let callee = Expr::new(at(node), ExprKind::Name(slot));
            Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args: Vec::new(), is_new: false })))
        })
        .collect()
}

/// The words in front of a declaration; annotations by their names.
fn modifiers(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Name> {
    let mut cursor = node.walk();
    let mut words = Vec::new();
    for modifiers in node.children(&mut cursor).filter(|child| child.kind() == "modifiers") {
        let mut inner = modifiers.walk();
        for word in modifiers.children(&mut inner) {
            match word.child_by_field_name("name") {
                Some(name) => words.push(b.name_of(name)),
                None => words.push(b.name_of(word)),
            }
        }
    }
    words
}

fn parameter(b: &mut Builder<'_>, node: Node<'_>) -> Option<Parameter> {
    let name = match node.kind() {
        "formal_parameter" => node.child_by_field_name("name")?,
        "spread_parameter" => {
            let declarator =
                children(node).into_iter().find(|child| child.kind() == "variable_declarator")?;
            declarator.child_by_field_name("name")?
        }
        _ => return None,
    };
    let mut parameter = b.parameter(name);
    parameter.rest = node.kind() == "spread_parameter";
    parameter.ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
    parameter.marks = modifiers(b, node);
    Some(parameter)
}

/// The simple name of a type, without packages and what it is a container of.
fn type_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node);
    let text = text.split('<').next().unwrap_or(text);
    let simple = text.rsplit('.').next().unwrap_or(text).trim();
    let name = b.name(simple);
    if simple.starts_with(|c: char| c.is_ascii_uppercase()) {
        b.imports.push(Arc::clone(&name));
    }
    name
}

fn block(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    b.nested(Vec::new(), |b| children(node).into_iter().flat_map(|child| stmt(b, child)).collect())
}

fn body(b: &mut Builder<'_>, node: Node<'_>, field: &str) -> Vec<Stmt> {
    node.child_by_field_name(field).map(|inner| b.nested(Vec::new(), |b| stmt(b, inner))).unwrap_or_default()
}

fn stmt(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let one = match node.kind() {
        "block" | "constructor_body" | "synchronized_statement" | "labeled_statement" | "ERROR" => {
            Stmt::Block(block(b, node))
        }
        "expression_statement" => {
            return expressions(children(node).into_iter().map(|child| expr(b, child)).collect());
        }
        "local_variable_declaration" => return declaration(b, node),
        "if_statement" => Stmt::If {
            cond: field(b, node, "condition"),
            then: body(b, node, "consequence"),
            other: body(b, node, "alternative"),
        },
        "while_statement" => while_statement(b, node, false),
        "do_statement" => while_statement(b, node, true),
        "for_statement" => for_statement(b, node),
        "enhanced_for_statement" => {
            let items = field(b, node, "value");
            let ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
            let target = field(b, node, "name");
            Stmt::Each { target, items, ty, body: body(b, node, "body") }
        }
        "switch_expression" | "switch_statement" => switch(b, node),
        "return_statement" => Stmt::Return(children(node).first().map(|value| expr(b, *value)), at(node)),
        "throw_statement" => Stmt::Throw(children(node).first().map(|value| expr(b, *value))),
        "break_statement" => Stmt::Break,
        "continue_statement" => Stmt::Continue,
        "yield_statement" => {
            return expressions(children(node).into_iter().map(|child| expr(b, child)).collect());
        }
        "try_statement" | "try_with_resources_statement" => try_statement(b, node),
        "class_declaration" | "interface_declaration" | "record_declaration" | "enum_declaration" => {
            match class(b, node) {
                Some(class) => Stmt::Class(b.slot(&class.name), class),
                None => return Vec::new(),
            }
        }
        _ => Stmt::Expr(expr(b, node)),
    };
    vec![one]
}

fn declaration(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let ty = node.child_by_field_name("type").map(|ty| type_name(b, ty));
    let mut all = Vec::new();
    for declarator in fields(node, "declarator") {
        let Some(name) = declarator.child_by_field_name("name") else { continue };
        let value = match declarator.child_by_field_name("value") {
            Some(value) => expr(b, value),
            None => opaque(declarator, Vec::new()),
        };
        let target = b.variable(name);
        let assign = Assign { target, value, op: None, ty: ty.clone() };
        all.push(Stmt::Expr(Expr::new(at(declarator), ExprKind::Assign(Box::new(assign)))));
    }
    all
}

fn while_statement(b: &mut Builder<'_>, node: Node<'_>, first_round: bool) -> Stmt {
    let cond = field(b, node, "condition");
    let forever = matches!(cond.kind, ExprKind::Const(Const::Bool(true)));
    let body = body(b, node, "body");
    Stmt::While { cond: (!forever).then_some(cond), body, step: Vec::new(), first_round }
}

fn for_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut all: Vec<Stmt> = fields(node, "init").into_iter().flat_map(|init| stmt(b, init)).collect();
    let cond = node.child_by_field_name("condition").map(|cond| expr(b, cond));
    let step = fields(node, "update").into_iter().map(|step| Stmt::Expr(expr(b, step))).collect();
    let body = body(b, node, "body");
    all.push(Stmt::While { cond, body, step, first_round: false });
    Stmt::Block(all)
}

fn switch(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let subject = field(b, node, "condition");
    let mut arms = Vec::new();
    let mut falls_through = true;
    for group in node.child_by_field_name("body").map(children).unwrap_or_default() {
        falls_through &= group.kind() == "switch_block_statement_group";
        let (mut patterns, mut is_default, mut inner) = (Vec::new(), false, Vec::new());
        for child in children(group) {
            if child.kind() == "switch_label" {
                is_default |= b.text(child).starts_with("default");
                patterns.extend(children(child).into_iter().map(|label| expr(b, label)));
            } else {
                inner.extend(stmt(b, child));
            }
        }
        arms.push(Arm { patterns, is_default, body: inner });
    }
    Stmt::Switch { subject, arms, falls_through }
}

fn try_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let mut inner = Vec::new();
    for resource in node.child_by_field_name("resources").map(children).unwrap_or_default() {
        let (Some(name), Some(value)) =
            (resource.child_by_field_name("name"), resource.child_by_field_name("value"))
        else {
            continue;
        };
        let ty = resource.child_by_field_name("type").map(|ty| type_name(b, ty));
        let value = expr(b, value);
        let assign = Assign { target: b.variable(name), value, op: None, ty };
        inner.push(Stmt::Expr(Expr::new(at(resource), ExprKind::Assign(Box::new(assign)))));
    }
    inner.extend(body(b, node, "body"));
    let (mut handlers, mut last) = (Vec::new(), Vec::new());
    for clause in children(node) {
        match clause.kind() {
            "catch_clause" => handlers.push(Handler { body: body(b, clause, "body") }),
            "finally_clause" => last = block(b, clause),
            _ => {}
        }
    }
    Stmt::Try { body: inner, handlers, last }
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

#[expect(clippy::too_many_lines, reason = "an arm for each kind of node")]
fn lower_expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let kind = match node.kind() {
        "identifier" | "type_identifier" => {
            let text = b.text(node);
            if text.starts_with(|c: char| c.is_ascii_uppercase()) {
                let name = b.name(text);
                b.imports.push(name);
            }
            return b.variable(node);
        }
        "this" | "super" => ExprKind::This,
        "field_access" | "scoped_identifier" | "scoped_type_identifier" => return field_access(b, node),
        "method_invocation" => return invocation(b, node),
        "object_creation_expression" => return creation(b, node),
        "array_creation_expression" => match node.child_by_field_name("value") {
            Some(value) => return expr(b, value),
            None => ExprKind::Opaque(all(b, node)),
        },
        "array_initializer" => ExprKind::List(all(b, node)),
        "array_access" => {
            let (base, key) = (field(b, node, "array"), field(b, node, "index"));
            ExprKind::Index(Box::new(base), Box::new(key))
        }
        "string_literal" | "character_literal" => {
            let text = b.text(node);
            let text =
                text.strip_prefix("\"\"\"").and_then(|rest| rest.strip_suffix("\"\"\"")).unwrap_or(text);
            ExprKind::Const(Const::text(unescape(unquoted(text))))
        }
        "decimal_integer_literal"
        | "hex_integer_literal"
        | "octal_integer_literal"
        | "binary_integer_literal" => match integer(b.text(node)) {
            Some(int) => ExprKind::Const(Const::Int(int)),
            None => ExprKind::Opaque(Vec::new()),
        },
        "true" => ExprKind::Const(Const::Bool(true)),
        "false" => ExprKind::Const(Const::Bool(false)),
        "null_literal" => ExprKind::Const(Const::Null),
        "parenthesized_expression" => match children(node).first() {
            Some(inner) => return expr(b, *inner),
            None => ExprKind::Opaque(Vec::new()),
        },
        "cast_expression" => return cast(b, node),
        "assignment_expression" => return assignment(b, node),
        "update_expression" => return update(b, node),
        "binary_expression" => binary(b, node),
        "unary_expression" => return unary(b, node),
        "ternary_expression" => ExprKind::Cond(Box::new([
            field(b, node, "condition"),
            field(b, node, "consequence"),
            field(b, node, "alternative"),
        ])),
        "lambda_expression" => lambda(b, node),
        "switch_expression" => {
            let function =
                b.function(node, Arc::from("switch"), |b, function| function.body = vec![switch(b, node)]);
            ExprKind::Lambda(function)
        }
        _ => ExprKind::Opaque(all(b, node)),
    };
    Expr::new(at(node), kind)
}

/// `a.b`; of a qualified class name only the last part counts.
fn field_access(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let text = b.text(node);
    if let Some((packages, name)) = text.rsplit_once('.')
        && name.trim().starts_with(|c: char| c.is_ascii_uppercase())
        && packages
            .split('.')
            .all(|part| part.trim().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
        && packages.trim() != "this"
    {
        let name = b.name(name.trim());
        b.imports.push(Arc::clone(&name));
        return b.named(node, &name);
    }
    let parts = children(node);
    let (Some(object), Some(name)) = (parts.first(), parts.last()) else { return opaque(node, Vec::new()) };
    let object = expr(b, node.child_by_field_name("object").unwrap_or(*object));
    let name = b.name_of(*name);
    Expr::new(at(node), ExprKind::Field(Box::new(object), name))
}

fn arguments(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Arg> {
    let list = node.child_by_field_name("arguments").map(children).unwrap_or_default();
    list.into_iter().map(|arg| Arg { name: None, value: expr(b, arg) }).collect()
}

fn invocation(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let Some(name) = node.child_by_field_name("name") else { return opaque(node, Vec::new()) };
    let callee = match node.child_by_field_name("object") {
        Some(object) => {
            let object = expr(b, object);
            let whole = at(node);
            Expr::new(whole, ExprKind::Field(Box::new(object), b.name_of(name)))
        }
        None => b.variable(name),
    };
    let args = arguments(b, node);
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: false })))
}

fn creation(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let Some(ty) = node.child_by_field_name("type") else { return opaque(node, all(b, node)) };
    let name = type_name(b, ty);
    let callee = b.named(ty, &name);
    let args = arguments(b, node);
    if let Some(body) = children(node).into_iter().find(|child| child.kind() == "class_body") {
        class_of(b, node, Arc::from(format!("{name}$")), vec![name], body);
    }
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: true })))
}

fn cast(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "value");
    match fields(node, "type").first() {
        Some(ty) => {
            let ty = type_name(b, *ty);
            Expr::new(at(node), ExprKind::Typed(ty, Box::new(value)))
        }
        None => value,
    }
}

fn assignment(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "right");
    let target = field(b, node, "left");
    let op = node.child_by_field_name("operator").map_or("=", |op| op.kind());
    let op = (op != "=").then(|| operator(op.trim_end_matches('=')));
    Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op, ty: None })))
}

/// `i++`: what it was no longer matters.
fn update(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let Some(target) = children(node).first().map(|target| expr(b, *target)) else {
        return opaque(node, Vec::new());
    };
    let op = if b.text(node).contains("++") { Op::Add } else { Op::Sub };
    let value = constant(node, Const::Int(1));
    Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op: Some(op), ty: None })))
}

fn binary(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let (left, right) = (Box::new(field(b, node, "left")), Box::new(field(b, node, "right")));
    match node.child_by_field_name("operator").map_or("", |op| op.kind()) {
        "&&" => ExprKind::And(left, right),
        "||" => ExprKind::Or(left, right),
        op => ExprKind::Binary(operator(op), left, right),
    }
}

fn unary(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "operand");
    let op = node.child_by_field_name("operator").map_or("", |op| op.kind());
    match (op, &value.kind) {
        ("!", _) => Expr::new(at(node), ExprKind::Not(Box::new(value))),
        ("-", ExprKind::Const(Const::Int(int))) => constant(node, Const::Int(int.wrapping_neg())),
        _ => opaque(node, vec![value]),
    }
}

fn lambda(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let function = b.function(node, Arc::from("lambda"), |b, function| {
        if let Some(parameters) = node.child_by_field_name("parameters") {
            function.parameters = match parameters.kind() {
                "identifier" => vec![b.parameter(parameters)],
                "inferred_parameters" => children(parameters).into_iter().map(|p| b.parameter(p)).collect(),
                _ => children(parameters).into_iter().filter_map(|p| parameter(b, p)).collect(),
            };
        }
        if let Some(body) = node.child_by_field_name("body") {
            function.body = match body.kind() {
                "block" => block(b, body),
                _ => vec![Stmt::Return(Some(expr(b, body)), at(body))],
            };
        }
    });
    ExprKind::Lambda(function)
}

fn operator(text: &str) -> Op {
    match text {
        "+" => Op::Add,
        "-" => Op::Sub,
        "*" => Op::Mul,
        "/" => Op::FloorDiv,
        "%" => Op::Rem,
        "==" => Op::Eq,
        "!=" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        _ => Op::Other,
    }
}
