//! The intermediate form: what is left of a program of any language once only data and control matter.
//!
//! Names are slots of the function they stand in, so that an environment is a vector. What a lowering does not know
//! becomes [`ExprKind::Opaque`]: its parts are evaluated and its value is unknown.

use std::sync::Arc;

use crate::analysis::languages::Language;

/// A name, shared by everything that says it.
pub(super) type Name = Arc<str>;

/// A stretch of the file, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A value that the code states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Str(Arc<str>),
}

/// Operators whose meaning matters; `+` joins texts, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Rem,
    Power,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    /// Anything else: the result is unknown.
    Other,
}

/// An expression and where it stands.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) at: At,
    pub(super) kind: ExprKind,
}

#[derive(Debug)]
pub(super) enum ExprKind {
    /// Evaluated for what happens in it.
    Opaque(Vec<Expr>),
    Const(Const),
    /// A slot of [`Function::names`].
    Name(u32),
    This,
    Field(Box<Expr>, Name),
    Index(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>),
    Call(Box<Call>),
    Binary(Op, Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Cond(Box<[Expr; 3]>),
    /// Text put together from pieces.
    Concat(Vec<Expr>),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Lambda(Arc<Function>),
    /// Binds and gives what was bound.
    Assign(Box<Assign>),
    /// A cast or declared type: a value that is known to be an instance of this.
    Typed(Name, Box<Expr>),
    /// Statements, and then a value: a block that is an expression.
    Do(Vec<Stmt>, Box<Expr>),
    /// The elements that a comprehension gives: its loops, its conditions, its key if any, its element.
    Comprehension(Box<Comprehension>),
}

#[derive(Debug)]
pub(super) struct Comprehension {
    pub(super) loops: Vec<(Expr, Expr)>,
    pub(super) conditions: Vec<Expr>,
    pub(super) element: Expr,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) callee: Expr,
    pub(super) args: Vec<Arg>,
    /// `new T(…)`.
    pub(super) is_new: bool,
}

#[derive(Debug)]
pub(super) struct Arg {
    pub(super) name: Option<Name>,
    pub(super) value: Expr,
}

#[derive(Debug)]
pub(super) struct Assign {
    /// A name, field, index or a list of those.
    pub(super) target: Expr,
    pub(super) value: Expr,
    /// `+=` and its like.
    pub(super) op: Option<Op>,
    /// The declared type.
    pub(super) ty: Option<Name>,
}

#[derive(Debug)]
pub(super) enum Stmt {
    Expr(Expr),
    If {
        cond: Expr,
        then: Vec<Stmt>,
        other: Vec<Stmt>,
    },
    /// `step` runs after each round; `first_round` says whether the body runs before the first test.
    While {
        cond: Option<Expr>,
        body: Vec<Stmt>,
        step: Vec<Stmt>,
        first_round: bool,
    },
    Each {
        target: Expr,
        items: Expr,
        ty: Option<Name>,
        body: Vec<Stmt>,
    },
    Switch {
        subject: Expr,
        arms: Vec<Arm>,
        falls_through: bool,
    },
    Return(Option<Expr>, At),
    Throw(Option<Expr>),
    Break,
    Continue,
    Try {
        body: Vec<Stmt>,
        handlers: Vec<Handler>,
        last: Vec<Stmt>,
    },
    Block(Vec<Stmt>),
    Function(u32, Arc<Function>),
    Class(u32, Arc<Class>),
    /// Binds a slot to something from elsewhere, by its dotted path.
    Import(u32, Name),
}

#[derive(Debug)]
pub(super) struct Arm {
    /// None at all for the default.
    pub(super) patterns: Vec<Expr>,
    pub(super) is_default: bool,
    pub(super) body: Vec<Stmt>,
}

#[derive(Debug)]
pub(super) struct Handler {
    pub(super) body: Vec<Stmt>,
}

#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) slot: u32,
    pub(super) name: Name,
    pub(super) ty: Option<Name>,
    /// Annotations, without `@`.
    pub(super) marks: Vec<Name>,
    pub(super) default: Option<Expr>,
    pub(super) rest: bool,
}

/// A function, method, lambda, or the top level of a file.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) name: Name0,
    pub(super) at: At,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Vec<Stmt>,
    /// The names of its slots.
    pub(super) names: Vec<Name>,
    pub(super) decorators: Vec<Expr>,
    pub(super) returns: Option<Name>,
    /// Whether the first parameter is the receiver.
    pub(super) takes_this: bool,
    pub(super) is_static: bool,
    /// Slots that belong to the function around it: what is written to them is written there.
    pub(super) shares: Vec<u32>,
    /// Whether a word of the models stands in it.
    pub(super) matters: bool,
    /// The file it stands in.
    pub(super) file: u32,
}

/// A name that may be missing.
#[derive(Clone, Debug)]
pub(super) struct Name0(pub(super) Name);

impl Default for Name0 {
    fn default() -> Self {
        Self(Arc::from(""))
    }
}

#[derive(Debug)]
pub(super) struct Class {
    pub(super) name: Name,
    pub(super) bases: Vec<Name>,
    pub(super) methods: Vec<Arc<Function>>,
    /// What its body sets: static fields and the first values of the others.
    pub(super) fields: Vec<(Name, Option<Expr>, Option<Name>)>,
    /// A function that holds the slots of the fields' expressions.
    pub(super) setup: Function,
    pub(super) inner: Vec<Arc<Class>>,
    pub(super) file: u32,
}

/// A file in the intermediate form.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) language: Language,
    /// Its length in bytes.
    pub(super) length: usize,
    /// Its top level.
    pub(super) module: Arc<Function>,
    /// Every class in it, nested ones too.
    pub(super) classes: Vec<Arc<Class>>,
    /// What it imports, by dotted path.
    pub(super) imports: Vec<Name>,
    /// Type names it mentions, for languages that find classes by name.
    pub(super) package: Name,
}

impl Expr {
    pub(super) const fn new(at: At, kind: ExprKind) -> Self {
        Self { at, kind }
    }
}

impl Const {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }
}
