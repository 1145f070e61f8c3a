//! PHP to the intermediate form.
//!
//! Variables keep their `$`, so that they are no functions or classes. Namespaces are left out: a class is known
//! by its last name, as in the models.

mod definitions;

use std::sync::Arc;

use tree_sitter::Node;

use super::{
    Builder, all, assign, at, call, children, constant, fields, integer, opaque, unescape, unquoted,
};
use crate::analysis::flow::ir::{Arg, Arm, Assign, Call, Const, Expr, ExprKind, Handler, Op, Stmt};
use definitions::{bare, class, constants, function, imports, last_name};

/// What `<?=` leaves where it stood: the languages room blanks the tag with it.
const PRINTED: char = '\u{c}';

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
    let first = |b: &mut Builder<'_>| children(node).first().map(|value| expr(b, *value));
    let one = match node.kind() {
        "compound_statement" | "colon_block" | "ERROR" => Stmt::Block(block(b, node)),
        "expression_statement" => return expression_statement(b, node),
        "echo_statement" => {
            let parts = children(node).into_iter().flat_map(|part| match part.kind() {
                "sequence_expression" => children(part),
                _ => vec![part],
            });
            let args = parts.map(|part| expr(b, part)).collect();
            Stmt::Expr(call(b, node, "echo", args))
        }
        "exit_statement" => return exit(b, node, children(node)),
        "return_statement" => Stmt::Return(first(b), at(node)),
        "break_statement" => Stmt::Break,
        "continue_statement" => Stmt::Continue,
        "if_statement" => return if_statement(b, node),
        "while_statement" => while_statement(b, node, false),
        "do_statement" => while_statement(b, node, true),
        "for_statement" => for_statement(b, node),
        "foreach_statement" => foreach(b, node),
        "switch_statement" => switch(b, node),
        "try_statement" => try_statement(b, node),
        "function_definition" => match node.child_by_field_name("name") {
            Some(name) => Stmt::Function(b.slot_of(name), function(b, node)),
            None => return Vec::new(),
        },
        "class_declaration" | "trait_declaration" | "interface_declaration" | "enum_declaration" => {
            match node.child_by_field_name("name") {
                Some(name) => Stmt::Class(b.slot_of(name), class(b, node)),
                None => return Vec::new(),
            }
        }
        "namespace_definition" => Stmt::Block(body(b, node, "body")),
        "namespace_use_declaration" => return imports(b, node),
        "const_declaration" => return constants(b, node),
        "function_static_declaration" => {
            let declared = children(node).into_iter().filter_map(|variable| {
                let target = expr(b, variable.child_by_field_name("name")?);
                let value = expr(b, variable.child_by_field_name("value")?);
                Some(Stmt::Expr(assign(variable, target, value)))
            });
            return declared.collect();
        }
        "global_declaration" | "empty_statement" | "use_declaration" | "declare_statement" => {
            return Vec::new();
        }
        "unset_statement" => Stmt::Expr(opaque(node, Vec::new())),
        _ => Stmt::Expr(expr(b, node)),
    };
    vec![one]
}

fn expression_statement(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let Some(inner) = children(node).first().copied() else { return Vec::new() };
    if inner.kind() == "name" && matches!(b.text(inner), "exit" | "die") {
        return exit(b, node, Vec::new());
    }
    let value = expr(b, inner);
    let before = b.source.get(..node.start_byte()).unwrap_or_default();
    let is_printed = before.trim_end_matches(' ').ends_with(PRINTED);
    vec![Stmt::Expr(if is_printed { call(b, node, "echo", vec![value]) } else { value })]
}

/// `exit` prints what it is given and leaves.
fn exit(b: &mut Builder<'_>, node: Node<'_>, args: Vec<Node<'_>>) -> Vec<Stmt> {
    let args = args.into_iter().map(|arg| expr(b, arg)).collect();
    vec![Stmt::Expr(call(b, node, "echo", args)), Stmt::Return(None, at(node))]
}

fn if_statement(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let cond = field(b, node, "condition");
    let then = body(b, node, "body");
    let mut other = Vec::new();
    for alternative in fields(node, "alternative").into_iter().rev() {
        let inner = body(b, alternative, "body");
        other = match alternative.child_by_field_name("condition") {
            Some(cond) => vec![Stmt::If { cond: expr(b, cond), then: inner, other }],
            None => inner,
        };
    }
    vec![Stmt::If { cond, then, other }]
}

fn while_statement(b: &mut Builder<'_>, node: Node<'_>, first_round: bool) -> Stmt {
    let cond = field(b, node, "condition");
    let forever = matches!(cond.kind, ExprKind::Const(Const::Bool(true) | Const::Int(1)));
    let body = body(b, node, "body");
    Stmt::While { cond: (!forever).then_some(cond), body, step: Vec::new(), first_round }
}

fn for_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let part = |b: &mut Builder<'_>, name: &str| node.child_by_field_name(name).map(|part| expr(b, part));
    let mut all: Vec<Stmt> = part(b, "initialize").map(Stmt::Expr).into_iter().collect();
    let cond = part(b, "condition");
    let step = part(b, "update").map(Stmt::Expr).into_iter().collect();
    all.push(Stmt::While { cond, body: body(b, node, "body"), step, first_round: false });
    Stmt::Block(all)
}

/// `foreach (items as key => value)`.
fn foreach(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let body_node = node.child_by_field_name("body");
    let parts: Vec<_> = children(node).into_iter().filter(|part| Some(*part) != body_node).collect();
    let items = parts.first().map_or_else(|| opaque(node, Vec::new()), |items| expr(b, *items));
    let target = match parts.get(1) {
        Some(pair) if pair.kind() == "pair" => children(*pair).last().map(|value| expr(b, *value)),
        Some(value) => Some(expr(b, *value)),
        None => None,
    };
    let target = target.unwrap_or_else(|| opaque(node, Vec::new()));
    Stmt::Each { target, items, ty: None, body: body(b, node, "body") }
}

fn switch(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let subject = field(b, node, "condition");
    let mut arms = Vec::new();
    for case in node.child_by_field_name("body").map(children).unwrap_or_default() {
        let value = case.child_by_field_name("value");
        let patterns = value.map(|value| expr(b, value)).into_iter().collect();
        let inner = children(case).into_iter().filter(|child| Some(*child) != value);
        let body = inner.flat_map(|child| stmt(b, child)).collect();
        arms.push(Arm { patterns, is_default: case.kind() == "default_statement", body });
    }
    Stmt::Switch { subject, arms, falls_through: true }
}

fn try_statement(b: &mut Builder<'_>, node: Node<'_>) -> Stmt {
    let (mut handlers, mut last) = (Vec::new(), Vec::new());
    for clause in children(node) {
        match clause.kind() {
            "catch_clause" => handlers.push(Handler { body: body(b, clause, "body") }),
            "finally_clause" => last = body(b, clause, "body"),
            _ => {}
        }
    }
    Stmt::Try { body: body(b, node, "body"), handlers, last }
}

fn field(b: &mut Builder<'_>, node: Node<'_>, name: &str) -> Expr {
    match node.child_by_field_name(name) {
        Some(inner) => expr(b, inner),
        None => opaque(node, Vec::new()),
    }
}

fn boxed(b: &mut Builder<'_>, node: Node<'_>, name: &str) -> Box<Expr> {
    Box::new(field(b, node, name))
}

fn expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    b.nested(opaque(node, Vec::new()), |b| lower_expr(b, node))
}

#[expect(clippy::too_many_lines, reason = "an arm for each kind of node")]
fn lower_expr(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let kind = match node.kind() {
        "variable_name" => {
            // The words of the models are without `$`.
            bare(b, node);
            return if b.text(node) == "$this" {
                Expr::new(at(node), ExprKind::This)
            } else {
                b.variable(node)
            };
        }
        "name" | "qualified_name" | "namespace_name" => {
            let name = last_name(b, node);
            ExprKind::Name(b.slot(&name))
        }
        "relative_scope" => match (b.text(node), b.class.clone()) {
            ("parent", _) => ExprKind::This,
            (_, Some(class)) => ExprKind::Name(b.slot(&class)),
            _ => ExprKind::Opaque(Vec::new()),
        },
        "string" => ExprKind::Const(Const::text(unescape(unquoted(b.text(node))))),
        "encapsed_string" | "heredoc" | "shell_command_expression" => return text(b, node),
        "nowdoc" => {
            ExprKind::Const(Const::text(node.child_by_field_name("value").map_or("", |body| b.text(body))))
        }
        "integer" => match integer(b.text(node)) {
            Some(int) => ExprKind::Const(Const::Int(int)),
            None => ExprKind::Opaque(Vec::new()),
        },
        "boolean" => ExprKind::Const(Const::Bool(b.text(node).eq_ignore_ascii_case("true"))),
        "null" => ExprKind::Const(Const::Null),
        "parenthesized_expression"
        | "error_suppression_expression"
        | "clone_expression"
        | "by_ref"
        | "variadic_unpacking"
        | "argument"
        | "array_element_initializer"
        | "yield_expression" => match children(node).last() {
            Some(inner) => return expr(b, *inner),
            None => ExprKind::Opaque(Vec::new()),
        },
        "binary_expression" => binary(b, node),
        "unary_op_expression" => return unary(b, node),
        "update_expression" => {
            let step = if b.text(node).contains("++") { -1 } else { 1 };
            let (target, value) = (field(b, node, "argument"), constant(node, Const::Int(step)));
            ExprKind::Assign(Box::new(Assign { target, value, op: Some(Op::Sub), ty: None }))
        }
        "assignment_expression" | "reference_assignment_expression" | "augmented_assignment_expression" => {
            return assignment(b, node);
        }
        "conditional_expression" => match node.child_by_field_name("body") {
            Some(yes) => ExprKind::Cond(Box::new([
                field(b, node, "condition"),
                expr(b, yes),
                field(b, node, "alternative"),
            ])),
            None => ExprKind::Or(boxed(b, node, "condition"), boxed(b, node, "alternative")),
        },
        "subscript_expression" => return subscript(b, node),
        "array_creation_expression" => array(b, node),
        "list_literal" => list(b, node),
        "member_access_expression" | "nullsafe_member_access_expression" => {
            match node.child_by_field_name("name").filter(|name| name.kind() == "name") {
                Some(name) => {
                    let base = boxed(b, node, "object");
                    ExprKind::Field(base, b.name_of(name))
                }
                None => ExprKind::Opaque(all(b, node, expr)),
            }
        }
        "scoped_property_access_expression" => match node.child_by_field_name("name") {
            Some(name) => {
                let base = boxed(b, node, "scope");
                ExprKind::Field(base, bare(b, name))
            }
            None => ExprKind::Opaque(Vec::new()),
        },
        "class_constant_access_expression" => match children(node).as_slice() {
            [class, name] if b.text(*name) == "class" => ExprKind::Const(Const::Str(last_name(b, *class))),
            [class, name] => {
                let base = Box::new(expr(b, *class));
                ExprKind::Field(base, b.name_of(*name))
            }
            _ => ExprKind::Opaque(Vec::new()),
        },
        "function_call_expression"
        | "member_call_expression"
        | "nullsafe_member_call_expression"
        | "scoped_call_expression"
        | "object_creation_expression" => return any_call(b, node),
        "anonymous_function" | "arrow_function" => ExprKind::Lambda(function(b, node)),
        "cast_expression" => {
            let value = field(b, node, "value");
            match node.child_by_field_name("type").map_or("", |ty| b.text(ty)) {
                "string" | "binary" | "array" | "object" | "unset" => return value,
                _ => return call(b, node, "intval", vec![value]),
            }
        }
        "include_expression"
        | "include_once_expression"
        | "require_expression"
        | "require_once_expression" => {
            return include(b, node);
        }
        "print_intrinsic" => {
            let args = all(b, node, expr);
            return call(b, node, "echo", args);
        }
        "throw_expression" => {
            let thrown = children(node).first().map(|value| expr(b, *value));
            ExprKind::Do(vec![Stmt::Throw(thrown)], Box::new(constant(node, Const::Null)))
        }
        "match_expression" => return match_expression(b, node),
        _ => ExprKind::Opaque(all(b, node, expr)),
    };
    Expr::new(at(node), kind)
}

/// Text with variables in it; between backticks it is run.
fn text(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let body = node.child_by_field_name("value").unwrap_or(node);
    let mut pieces = Vec::new();
    for part in children(body) {
        match part.kind() {
            "string_content" => pieces.push(constant(part, Const::text(b.text(part)))),
            "escape_sequence" => pieces.push(constant(part, Const::text(unescape(b.text(part))))),
            // `"$array[key]"`: the key needs no quotes there.
            "subscript_expression" => match children(part).as_slice() {
                [base, key] if key.kind() == "name" => {
                    let key = constant(*key, Const::text(b.text(*key)));
                    let base = Box::new(expr(b, *base));
                    pieces.push(Expr::new(at(part), ExprKind::Index(base, Box::new(key))));
                }
                _ => pieces.push(expr(b, part)),
            },
            _ => pieces.push(expr(b, part)),
        }
    }
    let whole = Expr::new(at(node), ExprKind::Concat(pieces));
    if node.kind() == "shell_command_expression" { call(b, node, "shell_exec", vec![whole]) } else { whole }
}

fn assignment(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let value = field(b, node, "right");
    let Some(left) = node.child_by_field_name("left") else { return value };
    if left.kind() == "subscript_expression" && children(left).len() == 1 {
        // `$list[] = value`.
        let base = children(left).first().map_or_else(|| opaque(left, Vec::new()), |base| expr(b, *base));
        let callee = Expr::new(at(left), ExprKind::Field(Box::new(base), b.name("[]")));
        let args = vec![Arg { name: None, value }];
        return Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new: false })));
    }
    let target = expr(b, left);
    let op = match node.child_by_field_name("operator").map(|op| op.kind()) {
        None => None,
        Some(".=") => Some(Op::Add),
        Some("??=") => {
            let value = ExprKind::Or(Box::new(expr(b, left)), Box::new(value));
            return assign(node, target, Expr::new(at(node), value));
        }
        // A sum is a number.
        Some("+=") => Some(Op::Other),
        Some(op) => Some(operator(op.trim_end_matches('='))),
    };
    Expr::new(at(node), ExprKind::Assign(Box::new(Assign { target, value, op, ty: None })))
}

fn binary(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let (left, right) = (boxed(b, node, "left"), boxed(b, node, "right"));
    match node.child_by_field_name("operator").map_or("", |op| op.kind()) {
        "." => ExprKind::Concat(vec![*left, *right]),
        "&&" | "and" => ExprKind::And(left, right),
        "||" | "or" | "??" => ExprKind::Or(left, right),
        // A sum is a number, whatever its parts are: `a - (0 - b)` joins no texts.
        "+" => {
            let zero = Box::new(constant(node, Const::Int(0)));
            let negative = Expr::new(at(node), ExprKind::Binary(Op::Sub, zero, right));
            ExprKind::Binary(Op::Sub, left, Box::new(negative))
        }
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

fn subscript(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    match children(node).as_slice() {
        [base, key] => {
            let (base, key) = (Box::new(expr(b, *base)), Box::new(expr(b, *key)));
            Expr::new(at(node), ExprKind::Index(base, key))
        }
        _ => opaque(node, all(b, node, expr)),
    }
}

fn array(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let parts: Vec<_> = children(node).into_iter().map(|element| (element, children(element))).collect();
    if parts.iter().all(|(_, inner)| inner.len() < 2) {
        return ExprKind::List(all(b, node, expr));
    }
    let mut entries = Vec::new();
    for (element, inner) in parts {
        match inner.as_slice() {
            [key, value] => {
                let key = expr(b, *key);
                entries.push((key, expr(b, *value)));
            }
            [value] => entries.push((opaque(element, Vec::new()), expr(b, *value))),
            _ => {}
        }
    }
    ExprKind::Map(entries)
}

/// `[$a, 'key' => $b]` on the left side.
fn list(b: &mut Builder<'_>, node: Node<'_>) -> ExprKind {
    let (mut items, mut entries) = (Vec::new(), Vec::new());
    let mut key = None;
    let mut cursor = node.walk();
    let mut gap = true;
    for part in node.children(&mut cursor) {
        match part.kind() {
            // `[, $b]` leaves the first out.
            "," if gap => items.push(opaque(part, Vec::new())),
            "," => gap = true,
            "=>" => key = items.pop(),
            _ if part.is_named() => {
                gap = false;
                let target = expr(b, part);
                match key.take() {
                    Some(key) => entries.push((key, target)),
                    None => items.push(target),
                }
            }
            _ => {}
        }
    }
    if entries.is_empty() { ExprKind::List(items) } else { ExprKind::Map(entries) }
}

fn arguments(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Arg> {
    let list = children(node).into_iter().find(|child| child.kind() == "arguments");
    let mut args = Vec::new();
    for arg in list.map(children).unwrap_or_default() {
        let name = arg.child_by_field_name("name").map(|name| b.name_of(name));
        args.push(Arg { name, value: expr(b, arg) });
    }
    args
}

fn any_call(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let is_new = node.kind() == "object_creation_expression";
    let mut args = arguments(b, node);
    let callee = match node.child_by_field_name("name") {
        Some(name) if !is_new && name.kind() == "name" => {
            let base = if node.kind() == "scoped_call_expression" { "scope" } else { "object" };
            let base = boxed(b, node, base);
            Expr::new(at(node), ExprKind::Field(base, b.name_of(name)))
        }
        Some(_) => opaque(node, Vec::new()),
        None if is_new => match children(node).first().filter(|name| name.kind().ends_with("name")) {
            Some(name) => {
                let name = last_name(b, *name);
                b.imports.push(Arc::clone(&name));
                Expr::new(at(node), ExprKind::Name(b.slot(&name)))
            }
            None => opaque(node, Vec::new()),
        },
        None => field(b, node, "function"),
    };
    if let ExprKind::Name(_) = callee.kind
        && let Some(name) = node.child_by_field_name("function")
    {
        let name = b.text(name).trim_start_matches('\\').to_ascii_lowercase();
        match (name.as_str(), args.len()) {
            ("isset" | "empty", _) => return opaque(node, args.into_iter().map(|arg| arg.value).collect()),
            ("die" | "exit", _) => {
                let shown = call(b, node, "echo", args.into_iter().map(|arg| arg.value).collect());
                let body = vec![Stmt::Expr(shown), Stmt::Return(None, at(node))];
                return Expr::new(at(node), ExprKind::Do(body, Box::new(constant(node, Const::Null))));
            }
            ("define", 2..) => return define(b, node, args),
            ("compact", _) => return compact(b, node, args),
            // `array_map('trim', $list)` does to each what `trim` does.
            ("array_map" | "call_user_func" | "array_walk", 2..) => {
                if let ExprKind::Const(Const::Str(named)) = &args[0].value.kind {
                    let slot = b.slot(&Arc::clone(named));
                    let callee = Expr::new(args[0].value.at, ExprKind::Name(slot));
                    args.remove(0);
                    let call = Call { callee, args, is_new: false };
                    return Expr::new(at(node), ExprKind::Call(Box::new(call)));
                }
            }
            _ => {}
        }
    }
    Expr::new(at(node), ExprKind::Call(Box::new(Call { callee, args, is_new })))
}

/// `define('NAME', value)`.
fn define(b: &mut Builder<'_>, node: Node<'_>, mut args: Vec<Arg>) -> Expr {
    let value = args.swap_remove(1).value;
    match &args[0].value.kind {
        ExprKind::Const(Const::Str(name)) => {
            let target = Expr::new(args[0].value.at, ExprKind::Name(b.slot(name)));
            assign(node, target, value)
        }
        _ => opaque(node, vec![value]),
    }
}

/// `compact('a', 'b')` is a map of the variables of these names.
fn compact(b: &mut Builder<'_>, node: Node<'_>, args: Vec<Arg>) -> Expr {
    let entries = args.into_iter().filter_map(|arg| match &arg.value.kind {
        ExprKind::Const(Const::Str(name)) => {
            let slot = b.slot(&Arc::from(format!("${name}")));
            let value = Expr::new(arg.value.at, ExprKind::Name(slot));
            Some((arg.value, value))
        }
        _ => None,
    });
    Expr::new(at(node), ExprKind::Map(entries.collect()))
}

fn include(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    if let Some(path) = b.text(node).rsplit(['\'', '"']).nth(1)
        && let Some(stem) = path.rsplit('/').next().and_then(|file| file.strip_suffix(".php"))
    {
        b.imports.push(Arc::from(stem));
    }
    let args = all(b, node, expr);
    call(b, node, "include", args)
}

/// `match`: each arm gives its value to a name of ours.
fn match_expression(b: &mut Builder<'_>, node: Node<'_>) -> Expr {
    let subject = field(b, node, "condition");
    let slot = b.slot(&Arc::from(format!("match {}", node.start_byte())));
    let result = |node: Node<'_>| Expr::new(at(node), ExprKind::Name(slot));
    let by_truth = matches!(subject.kind, ExprKind::Const(Const::Bool(true)));
    let (mut arms, mut chain): (Vec<Arm>, Vec<(Expr, Vec<Stmt>)>) = (Vec::new(), Vec::new());
    let mut other = Vec::new();
    for arm in node.child_by_field_name("body").map(children).unwrap_or_default() {
        let value = field(b, arm, "return_expression");
        let body = vec![Stmt::Expr(assign(arm, result(arm), value))];
        let patterns = arm.child_by_field_name("conditional_expressions");
        match patterns.map(|patterns| all(b, patterns, expr)) {
            None if by_truth => other = body,
            None => arms.push(Arm { patterns: Vec::new(), is_default: true, body }),
            Some(patterns) if by_truth => {
                let either = |a, b| Expr::new(at(arm), ExprKind::Or(Box::new(a), Box::new(b)));
                chain.extend(patterns.into_iter().reduce(either).map(|cond| (cond, body)));
            }
            Some(patterns) => arms.push(Arm { patterns, is_default: false, body }),
        }
    }
    let choice = if by_truth {
        chain.into_iter().rev().fold(other, |other, (cond, then)| vec![Stmt::If { cond, then, other }])
    } else {
        vec![Stmt::Switch { subject, arms, falls_through: false }]
    };
    Expr::new(at(node), ExprKind::Do(choice, Box::new(result(node))))
}

fn operator(text: &str) -> Op {
    match text {
        "-" => Op::Sub,
        "*" => Op::Mul,
        "/" => Op::Div,
        "%" => Op::Rem,
        "**" => Op::Power,
        "==" | "===" => Op::Eq,
        "!=" | "!==" | "<>" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        _ => Op::Other,
    }
}
