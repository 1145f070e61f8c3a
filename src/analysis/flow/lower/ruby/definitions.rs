//! What a Ruby program defines: methods, blocks, classes, and what calls in a class's body define.

use std::sync::Arc;

use tree_sitter::Node;

use super::super::{Builder, Gives, assign, at, call, children};
use super::{BLOCK, branch, expr, target};
use crate::analysis::flow::ir::{At, Call, Class, Expr, ExprKind, Function, Name, Name0, Parameter, Stmt};

pub(super) fn method(b: &mut Builder<'_>, node: Node<'_>) -> Arc<Function> {
    let name = node.child_by_field_name("name").map_or_else(|| Arc::from("method"), |name| b.name_of(name));
    let is_static = node.kind() == "singleton_method";
    b.function(node, name, |b, function| {
        function.is_static = is_static;
        let has_block = parameters(b, node, function);
        if !has_block {
            let slot = b.slot(&Arc::from(BLOCK));
            function.parameters.push(plain(slot, Arc::from(BLOCK)));
        }
        function.body = branch(b, node, "body", Gives::Return);
    })
}

fn plain(slot: u32, name: Name) -> Parameter {
    Parameter { slot, name, ty: None, marks: Vec::new(), default: None, rest: false }
}

/// Adds the parameters of a method or block; says whether one of them is the block.
fn parameters(b: &mut Builder<'_>, node: Node<'_>, function: &mut Function) -> bool {
    let mut has_block = false;
    for node in node.child_by_field_name("parameters").map(children).unwrap_or_default() {
        let name = node.child_by_field_name("name").unwrap_or(node);
        match node.kind() {
            "destructured_parameter" => {
                let slot = b.slot(&Arc::from(format!("parameter {}", node.start_byte())));
                function.parameters.push(plain(slot, Arc::from("")));
                let targets = children(node).into_iter().map(|part| target(b, part)).collect();
                let targets = Expr::new(at(node), ExprKind::List(targets));
                let value = Expr::new(at(node), ExprKind::Name(slot));
                function.body.push(Stmt::Expr(assign(node, targets, value)));
            }
            "block_parameter" => {
                has_block = true;
                let slot = b.declare(name);
                function.parameters.push(plain(slot, Arc::from(BLOCK)));
            }
            _ => {
                let slot = b.declare(name);
                let mut parameter = plain(slot, b.name_of(name));
                parameter.default = node.child_by_field_name("value").map(|value| expr(b, value));
                parameter.rest = node.kind() == "splat_parameter";
                function.parameters.push(parameter);
            }
        }
    }
    has_block
}

/// A block or lambda. Blocks of routes are marked with what calls them.
pub(super) fn block(b: &mut Builder<'_>, node: Node<'_>, of: Node<'_>) -> Arc<Function> {
    let is_route = is_route(b, of);
    b.function(node, Arc::from("block"), |b, function| {
        parameters(b, if node.child_by_field_name("parameters").is_some() { node } else { of }, function);
        if function.parameters.is_empty() {
            for name in ["it", "_1"] {
                let slot = b.slot(&Arc::from(name));
                b.local(&Arc::from(name));
                function.parameters.push(plain(slot, Arc::from(name)));
            }
        }
        if is_route {
            function.parameters.iter_mut().for_each(|parameter| parameter.marks.push(Arc::from("route")));
            function.decorators.push(call(b, of, "route", Vec::new()));
        }
        let inner = branch(b, node, "body", Gives::Return);
        function.body.extend(inner);
    })
}

/// `get '/path' do … end`.
fn is_route(b: &Builder<'_>, node: Node<'_>) -> bool {
    let name = node.child_by_field_name("method").map_or("", |name| b.text(name));
    node.kind() == "call"
        && node.child_by_field_name("receiver").is_none()
        && matches!(name, "get" | "post" | "put" | "patch" | "delete" | "options")
        && node
            .child_by_field_name("arguments")
            .and_then(|list| children(list).first().copied())
            .is_some_and(|first| matches!(first.kind(), "string" | "regex"))
}

/// A class or module. What its body does besides defining things is done where it stands.
pub(super) fn class(b: &mut Builder<'_>, node: Node<'_>) -> Vec<Stmt> {
    let name = node.child_by_field_name("name").map(|name| last_name(b, name));
    let name = name.or_else(|| b.class.clone()).unwrap_or_else(|| Arc::from("class"));
    let around = b.class.replace(Arc::clone(&name));
    let mut made = Class {
        bases: node.child_by_field_name("superclass").map(|base| last_name(b, base)).into_iter().collect(),
        methods: Vec::new(),
        fields: Vec::new(),
        setup: Function::default(),
        inner: Vec::new(),
        file: b.file,
        name,
    };
    let slot = b.slot(&made.name);
    let (mut rest, mut before) = (Vec::new(), Vec::new());
    let members = node.child_by_field_name("body").map(children).unwrap_or_default();
    let setup = b.function(node, Arc::clone(&made.name), |b, _| {
        for inner in &members {
            member(b, *inner, &mut made, &mut before);
        }
    });
    for inner in members.into_iter().filter(|inner| matches!(inner.kind(), "class" | "module")) {
        rest.extend(class(b, inner));
    }
    // What a framework calls before each action is done by whoever makes the object.
    if !before.is_empty() && made.methods.iter().all(|method| &*method.name.0 != "initialize") {
        let mut names = Vec::new();
        let calls = before.into_iter().enumerate().map(|(slot, (name, at))| {
            names.push(name);
            let callee = Expr::new(at, ExprKind::Name(u32::try_from(slot).unwrap_or_default()));
            Stmt::Expr(Expr::new(
                at,
                ExprKind::Call(Box::new(Call { callee, args: Vec::new(), is_new: false })),
            ))
        });
        let body = calls.collect();
        let name = Name0(Arc::from("initialize"));
        let prepare = Function { name, body, names, file: b.file, at: at(node), ..Function::default() };
        made.methods.push(Arc::new(prepare));
    }
    b.class = around;
    made.setup = Function { names: setup.names.clone(), ..Function::default() };
    let made = Arc::new(made);
    b.classes.push(Arc::clone(&made));
    rest.insert(0, Stmt::Class(slot, made));
    rest
}

/// One thing in the body of a class.
fn member<'t>(b: &mut Builder<'_>, node: Node<'t>, made: &mut Class, before: &mut Vec<(Name, At)>) {
    match node.kind() {
        "method" | "singleton_method" => made.methods.push(method(b, node)),
        "singleton_class" => {
            for inner in node.child_by_field_name("body").map(children).unwrap_or_default() {
                member(b, inner, made, before);
            }
        }
        "assignment" => {
            if let (Some(left), Some(right)) =
                (node.child_by_field_name("left"), node.child_by_field_name("right"))
            {
                let name = bare(b, left);
                made.fields.push((name, Some(expr(b, right)), None));
            }
        }
        "call" => class_call(b, node, made, before),
        _ => {}
    }
}

/// A call in the body of a class that defines something.
fn class_call(b: &mut Builder<'_>, node: Node<'_>, made: &mut Class, before: &mut Vec<(Name, At)>) {
    let said = node.child_by_field_name("method").map_or("", |name| b.text(name));
    let args = node.child_by_field_name("arguments").map(children).unwrap_or_default();
    let symbols: Vec<Node<'_>> = args.iter().copied().filter(|arg| arg.kind() == "simple_symbol").collect();
    match said {
        "attr_reader" | "attr_accessor" => {
            for symbol in symbols {
                let name = bare(b, symbol);
                made.methods.push(b.function(symbol, Arc::clone(&name), |_, function| {
                    let this = Box::new(Expr::new(at(symbol), ExprKind::This));
                    let value = Expr::new(at(symbol), ExprKind::Field(this, name));
                    function.body = vec![Stmt::Return(Some(value), at(symbol))];
                }));
            }
        }
        "include" | "extend" | "prepend" => {
            made.bases.extend(args.into_iter().map(|arg| last_name(b, arg)));
        }
        "before_action" | "before_filter" | "prepend_before_action" => {
            before.extend(symbols.into_iter().map(|symbol| (bare(b, symbol), at(symbol))));
        }
        // `private def name`.
        _ if args.iter().any(|arg| arg.kind() == "method") => {
            made.methods
                .extend(args.into_iter().filter(|arg| arg.kind() == "method").map(|arg| method(b, arg)));
        }
        _ => {
            // `scope :name, ->(x) { … }`, `get '/path' do … end` and their like are methods.
            let name = symbols.first().map_or_else(|| Arc::from(said), |symbol| bare(b, *symbol));
            let lambda = args.into_iter().find(|arg| arg.kind() == "lambda");
            let body = node.child_by_field_name("block");
            let inner = lambda.and_then(|lambda| lambda.child_by_field_name("body")).or(body);
            if let Some(inner) = inner {
                let made_of = block(b, inner, lambda.unwrap_or(node));
                if let Some(function) = Arc::into_inner(made_of) {
                    made.methods.push(Arc::new(Function { name: Name0(name), ..function }));
                }
            }
        }
    }
}

/// `A::B` is `B`; `< Base` is `Base`.
pub(super) fn last_name(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node).trim_start_matches(['<', ' ']);
    let name = text.rsplit("::").next().unwrap_or(text);
    mention(b, name);
    b.name(name)
}

/// A class is found in the file that is called as it is, in small letters.
fn mention(b: &mut Builder<'_>, name: &str) {
    let mut path = String::with_capacity(name.len() + 4);
    for (index, c) in name.char_indices() {
        if c.is_ascii_uppercase() && index > 0 {
            path.push('_');
        }
        path.push(c.to_ascii_lowercase());
    }
    b.imports.push(Arc::from(path));
}

/// A name without what says where it lives.
pub(super) fn bare(b: &mut Builder<'_>, node: Node<'_>) -> Name {
    let text = b.text(node);
    b.name(text.trim_matches(['@', ':', '"', '\'']))
}
