//! Statements: how control goes through the intermediate form, and where its ways meet.

use std::rc::Rc;
use std::sync::Arc;

use super::ir::{Arm, Assign, At, Const, Expr, ExprKind, Function, Handler, Name, Op, Stmt};
use super::machine::{Frame, Loop, Machine};
use super::state::{Object, ObjectKind, State, key_of};
use super::values::{Callable, Captured, Note, Path, Value};
use crate::analysis::languages::Language;

/// How often a loop's body is interpreted: once to see what it does, once with what it did.
const ROUNDS: usize = 2;

const DEAD: fn() -> State = || State { dead: true, ..State::default() };

impl Machine<'_> {
    /// Interprets statements in order, up to where control cannot go on.
    pub(super) fn exec(&mut self, f: &mut Frame, body: &[Stmt]) {
        if !self.deeper() {
            return;
        }
        for stmt in body {
            if f.state.dead || !self.step() {
                break;
            }
            self.exec_one(f, stmt);
            if matches!(stmt, Stmt::Expr(_))
                && let Some(raised) = f.raised.last_mut()
            {
                raised.join(f.state.clone());
            }
        }
        self.shallower();
    }

    fn exec_one(&mut self, f: &mut Frame, stmt: &Stmt) {
        match stmt {
            Stmt::Expr(expr) => {
                self.eval(f, expr);
            }
            Stmt::Block(body) => self.exec(f, body),
            Stmt::If { cond, then, other } => self.exec_if(f, cond, then, other),
            Stmt::While { cond, body, step, first_round } => {
                self.exec_while(f, cond.as_ref(), body, step, *first_round);
            }
            Stmt::Each { target, items, ty, body } => self.exec_each(f, target, items, ty.as_ref(), body),
            Stmt::Switch { subject, arms, falls_through } => {
                self.exec_switch(f, subject, arms, *falls_through);
            }
            Stmt::Return(value, at) => self.exec_return(f, value.as_ref(), *at),
            Stmt::Throw(value) => {
                if let Some(value) = value {
                    self.eval(f, value);
                }
                if let Some(raised) = f.raised.last_mut() {
                    raised.join(f.state.clone());
                }
                f.state.dead = true;
            }
            Stmt::Break => {
                if let Some(around) = f.loops.last_mut() {
                    around.left.join(f.state.clone());
                }
                f.state.dead = true;
            }
            Stmt::Continue => {
                if let Some(around) = f.loops.iter_mut().rev().find(|around| !around.is_switch) {
                    around.again.join(f.state.clone());
                }
                f.state.dead = true;
            }
            Stmt::Try { body, handlers, last } => self.exec_try(f, body, handlers, last),
            Stmt::Function(slot, function) => self.exec_function(f, *slot, function),
            Stmt::Class(slot, class) => {
                let outer = Some(self.capture(f));
                self.enqueue_methods(class, outer.as_ref());
                let callable = Callable::Class { class: Arc::clone(class), outer };
                let path = Path::root(&class.name);
                let value = Value { callable: Some(Rc::new(callable)), ..Value::path(path) };
                f.state.vars[*slot as usize] = Some(value);
            }
            Stmt::Import(slot, path) => {
                let value = self.imported(f, path);
                f.state.vars[*slot as usize] = Some(value);
            }
        }
    }

    fn exec_function(&mut self, f: &mut Frame, slot: u32, function: &Arc<Function>) {
        let outer = self.capture(f);
        self.enqueue(function, None, Some(Rc::clone(&outer)));
        let callable = Callable::Function { function: Arc::clone(function), this: None, outer: Some(outer) };
        f.state.vars[slot as usize] = Some(Value { callable: Some(Rc::new(callable)), ..Value::default() });
    }

    /// What a function that is defined here sees.
    pub(super) fn capture(&self, f: &Frame) -> Rc<Captured> {
        Rc::new(Captured {
            function: Arc::clone(&f.function),
            state: f.state.clone(),
            this: f.this.clone(),
            outer: f.outer.clone(),
        })
    }

    fn exec_if(&mut self, f: &mut Frame, cond: &Expr, then: &[Stmt], other: &[Stmt]) {
        match self.eval(f, cond).truth() {
            Some(true) => {
                self.refine(f, cond, true);
                self.exec(f, then);
            }
            Some(false) => {
                self.refine(f, cond, false);
                self.exec(f, other);
            }
            None => {
                let before = f.state.clone();
                self.refine(f, cond, true);
                self.exec(f, then);
                let after = std::mem::replace(&mut f.state, before);
                self.refine(f, cond, false);
                self.exec(f, other);
                f.state.join(after);
            }
        }
    }

    fn exec_while(
        &mut self,
        f: &mut Frame,
        cond: Option<&Expr>,
        body: &[Stmt],
        step: &[Stmt],
        first_round: bool,
    ) {
        f.loops.push(Loop { is_switch: false, left: DEAD(), again: DEAD() });
        let mut left = DEAD();
        for round in 0..ROUNDS {
            if let Some(cond) = cond
                && !(first_round && round == 0)
            {
                let truth = self.eval(f, cond).truth();
                if truth != Some(true) {
                    let inside = f.state.clone();
                    self.refine(f, cond, false);
                    left.join(std::mem::replace(&mut f.state, inside));
                }
                if truth == Some(false) {
                    f.state.dead = true;
                    break;
                }
                self.refine(f, cond, true);
            }
            let before = f.state.clone();
            self.exec(f, body);
            if let Some(around) = f.loops.last_mut() {
                let again = std::mem::replace(&mut around.again, DEAD());
                f.state.join(again);
            }
            self.exec(f, step);
            if f.state.dead {
                break;
            }
            f.state.join(before);
        }
        if cond.is_some() && !f.state.dead {
            left.join(std::mem::take(&mut f.state));
        }
        if let Some(around) = f.loops.pop() {
            left.join(around.left);
        }
        f.state = left;
    }

    fn exec_each(&mut self, f: &mut Frame, target: &Expr, items: &Expr, ty: Option<&Name>, body: &[Stmt]) {
        let items = self.eval(f, items);
        let mut left = f.state.clone();
        f.loops.push(Loop { is_switch: false, left: DEAD(), again: DEAD() });
        for _ in 0..ROUNDS {
            let mut item = self.element(f, &items);
            if let Some(path) = ty.and_then(|ty| self.instance_path(ty)) {
                item.path = Some(path);
            }
            self.assign(f, target, item, None);
            self.exec(f, body);
            if let Some(around) = f.loops.last_mut() {
                let again = std::mem::replace(&mut around.again, DEAD());
                f.state.join(again);
            }
            if f.state.dead {
                break;
            }
            left.join(f.state.clone());
            f.state = left.clone();
        }
        if let Some(around) = f.loops.pop() {
            left.join(around.left);
        }
        f.state = left;
    }

    /// One of the things that a value holds, as a loop gives them.
    pub(super) fn element(&self, f: &Frame, items: &Value) -> Value {
        let mut item = Value::tainted(items.taint.clone());
        item.path = items.path.as_ref().and_then(|path| path.field(&Arc::from("[]")));
        for object in items.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
            match object.kind {
                ObjectKind::Map if self.gives_keys() => item.taint.join(&object.rest.taint),
                ObjectKind::Map => item.join(&object.look(None)),
                ObjectKind::List | ObjectKind::Instance => {
                    let held = object.look(None);
                    if object.kind == ObjectKind::List {
                        item.join(&held);
                    } else {
                        item.taint.join(&held.taint);
                    }
                }
            }
        }
        item.constant = None;
        item
    }

    /// Whether a loop over a map gives its keys.
    fn gives_keys(&self) -> bool {
        !matches!(self.language(), Language::Go | Language::Php | Language::Ruby | Language::Rust)
    }

    fn exec_switch(&mut self, f: &mut Frame, subject: &Expr, arms: &[Arm], falls_through: bool) {
        let tested = subject;
        let subject = self.eval(f, subject);
        f.loops.push(Loop { is_switch: true, left: DEAD(), again: DEAD() });
        let before = f.state.clone();
        let mut after = DEAD();
        let mut flowing = DEAD();
        let mut certain = false;
        let sorted = arms.iter().filter(|arm| !arm.is_default || falls_through);
        let last = arms.iter().filter(|arm| arm.is_default && !falls_through);
        let mut has_default = false;
        let wanted = certain_arm(&subject, arms);
        for arm in sorted.chain(last) {
            has_default |= arm.is_default;
            let chosen = match wanted {
                Some(wanted) => std::ptr::eq(wanted, arm),
                None => !certain,
            };
            f.state = if chosen { before.clone() } else { DEAD() };
            if chosen && wanted.is_none() {
                for pattern in &arm.patterns {
                    self.eval(f, pattern);
                }
            }
            certain |= chosen && wanted.is_some();
            let listed = arm.patterns.iter().all(|pattern| matches!(pattern.kind, ExprKind::Const(_)));
            if chosen && listed && !arm.is_default && !arm.patterns.is_empty() {
                self.is_one_of(f, tested);
            }
            if falls_through {
                f.state.join(std::mem::replace(&mut flowing, DEAD()));
            }
            if f.state.dead {
                continue;
            }
            self.exec(f, &arm.body);
            if falls_through {
                flowing = std::mem::replace(&mut f.state, DEAD());
            } else {
                after.join(std::mem::replace(&mut f.state, DEAD()));
            }
        }
        after.join(flowing);
        if wanted.is_none() && !has_default {
            after.join(before);
        } else if !certain && wanted.is_none() && arms.is_empty() {
            after = before;
        }
        if let Some(around) = f.loops.pop() {
            after.join(around.left);
        }
        f.state = after;
    }

    fn exec_return(&mut self, f: &mut Frame, value: Option<&Expr>, at: At) {
        if let Some(expr) = value {
            let value = self.eval(f, expr);
            if f.state.dead {
                return;
            }
            if let Some(rule) = f.goes_out {
                let marks = self.text_marks(f, &value);
                self.check_marks(f, rule, at, marks.marks());
            }
            match &mut f.returned {
                Some(returned) => returned.join(&value),
                None => f.returned = Some(value),
            }
        }
        let mut state = std::mem::replace(&mut f.state, DEAD());
        // Its variables are gone, apart from those of the function around it.
        if f.function.shares.is_empty() {
            state.vars.clear();
        }
        f.exit.join(state);
    }

    fn exec_try(&mut self, f: &mut Frame, body: &[Stmt], handlers: &[Handler], last: &[Stmt]) {
        f.raised.push(f.state.clone());
        self.exec(f, body);
        let raised = f.raised.pop().unwrap_or_default();
        let mut after = std::mem::replace(&mut f.state, DEAD());
        for handler in handlers {
            f.state = raised.clone();
            self.exec(f, &handler.body);
            after.join(std::mem::replace(&mut f.state, DEAD()));
        }
        if handlers.is_empty()
            && let Some(around) = f.raised.last_mut()
        {
            around.join(raised.clone());
        }
        let over = after.dead;
        f.state = if over { raised } else { after };
        self.exec(f, last);
        f.state.dead |= over;
    }

    /// Binds a target to a value.
    pub(super) fn assign(&mut self, f: &mut Frame, target: &Expr, mut value: Value, ty: Option<&Name>) {
        if f.state.dead {
            return;
        }
        if let Some(path) = ty.and_then(|ty| self.instance_path(ty))
            && value.path.as_ref().is_none_or(is_vague)
        {
            value.path = Some(path);
        }
        match &target.kind {
            ExprKind::Name(slot) => {
                let name = Arc::clone(&f.function.names[*slot as usize]);
                self.named(f, &name, &value, target.at);
                value.taint.step(Self::place(f, target.at), &Note::Assigned(name));
                f.state.vars[*slot as usize] = Some(value);
            }
            ExprKind::Field(base, name) => {
                self.named(f, name, &value, target.at);
                value.taint.step(Self::place(f, target.at), &Note::Assigned(Arc::clone(name)));
                let base = self.object_of(f, base);
                self.stored(f, &base, Some(name), None, &value, target.at);
                self.put(f, &base, Some(&Const::Str(Arc::clone(name))), &value);
            }
            ExprKind::Index(base, key) => {
                let key = self.eval(f, key);
                let holder = self.object_of(f, base);
                if let Some(name) = name_of(f, base) {
                    self.named(f, &name, &value, target.at);
                }
                if let Some(Const::Str(name)) = &key.constant {
                    self.named(f, name, &value, target.at);
                }
                self.stored(f, &holder, None, Some(&key), &value, target.at);
                self.put(f, &holder, key_of(&key).as_ref(), &value);
            }
            ExprKind::Map(targets) => {
                for (key, inner) in targets {
                    let item = match &key.kind {
                        ExprKind::Const(Const::Str(name)) => self.field(f, &value, name, key),
                        _ => Value::tainted(value.taint.clone()),
                    };
                    self.assign(f, inner, item, None);
                }
            }
            ExprKind::List(targets) => {
                for (index, inner) in (0..).zip(targets) {
                    let item = self.item(f, &value, Some(&Const::Int(index)));
                    self.assign(f, inner, item, None);
                }
            }
            ExprKind::Typed(_, inner) => self.assign(f, inner, value, None),
            _ => {
                self.eval(f, target);
            }
        }
    }

    pub(super) fn assign_expr(&mut self, f: &mut Frame, assign: &Assign) -> Value {
        let mut value = self.eval(f, &assign.value);
        if let Some(op) = assign.op {
            let old = self.eval(f, &assign.target);
            value = self.binary(f, op, &old, &value);
        }
        self.assign(f, &assign.target, value.clone(), assign.ty.as_ref());
        if assign.op == Some(Op::Add)
            && let ExprKind::Name(slot) = assign.target.kind
            && let Some(Some(known)) = f.state.vars.get(slot as usize)
        {
            return known.clone();
        }
        value
    }

    /// Puts a value into the objects that another may be.
    pub(super) fn put(&mut self, f: &mut Frame, holder: &Value, key: Option<&Const>, value: &Value) {
        self.writes += usize::from(!holder.objects.is_empty());
        let certain = holder.objects.len() == 1;
        for id in &holder.objects {
            let Some(object) = f.state.heap.get_mut(*id) else { continue };
            match key {
                Some(key) if certain => object.set(key, value.clone()),
                Some(key) => {
                    let mut joined = object.look(Some(key));
                    joined.join(value);
                    object.set(key, joined);
                }
                None => object.blur(value),
            }
        }
    }

    /// What an expression is, as something that can hold things: an object is made if there is none yet.
    pub(super) fn object_of(&mut self, f: &mut Frame, base: &Expr) -> Value {
        let mut value = self.eval(f, base);
        if !value.objects.is_empty() || value.callable.is_some() || f.state.dead {
            return value;
        }
        let ExprKind::Name(slot) = base.kind else { return value };
        let id = self.allocate(&mut f.state, Object { exact: false, ..Object::new(ObjectKind::Instance) });
        value.objects = vec![id];
        f.state.vars[slot as usize] = Some(value.clone());
        value
    }
}

/// Whether a path says less than a declared type: it begins at nothing that is known.
fn is_vague(path: &Rc<Path>) -> bool {
    let mut root = path;
    while let Some(parent) = &root.parent {
        root = parent;
    }
    !root.name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The arm that a constant certainly chooses.
fn certain_arm<'a>(subject: &Value, arms: &'a [Arm]) -> Option<&'a Arm> {
    let wanted = subject.constant.as_ref()?;
    let mut unclear = false;
    for arm in arms {
        for pattern in &arm.patterns {
            match &pattern.kind {
                ExprKind::Const(constant) if constant == wanted && !unclear => return Some(arm),
                ExprKind::Const(_) => {}
                _ => unclear = true,
            }
        }
    }
    if unclear { None } else { arms.iter().find(|arm| arm.is_default) }
}

/// What something is called, if it has a name.
fn name_of(f: &Frame, expr: &Expr) -> Option<Name> {
    match &expr.kind {
        ExprKind::Name(slot) => f.function.names.get(*slot as usize).cloned(),
        ExprKind::Field(_, name) => Some(Arc::clone(name)),
        _ => None,
    }
}
