//! Functions of the project: what their parameters are, what they give, and the objects that constructors make.

use std::rc::Rc;
use std::sync::Arc;

use super::calls::ArgValue;
use super::ir::{At, Class, Const, Function, Name};
use super::machine::{DEEPEST_CALLS, Frame, Machine};
use super::state::{Object, ObjectKind};
use super::values::{Captured, Note, Path, Place, Taint, Value};

impl Machine<'_> {
    /// Gives the parameters what the models say of them.
    pub(super) fn bind_unknown(&mut self, f: &mut Frame, decorators: &[Rc<Path>]) {
        let function = Arc::clone(&f.function);
        for (index, parameter) in function.parameters.iter().enumerate() {
            if index == 0 && function.takes_this && f.this.is_some() {
                f.state.vars[parameter.slot as usize] = f.this.clone();
                continue;
            }
            let mut value = match &parameter.ty {
                Some(ty) => Value { path: self.instance_path(ty), ..Value::default() },
                // Its name is all that is known of it.
                None => Value::path(Path::root(&parameter.name)),
            };
            let place = Place { file: function.file, at: function.at };
            for known in &self.model.parameters {
                let marked = parameter.marks.iter().any(|mark| known.marked.contains(&**mark));
                let named = known.named.is_empty() || known.named.contains(&*parameter.name);
                let decorated = known
                    .decorated
                    .as_ref()
                    .is_some_and(|table| decorators.iter().any(|path| table.find(path).next().is_some()));
                let fits = marked
                    || (!known.named.is_empty()
                        && named
                        && known.decorated.is_none()
                        && known.marked.is_empty())
                    || (decorated && named && !is_number(parameter.ty.as_deref()));
                if !fits {
                    continue;
                }
                if let Some(path) = &known.becomes
                    && (value.path.is_none() || parameter.ty.is_none())
                {
                    value.path = Some(Path::root(path));
                    if let Some(path) = &value.path
                        && let Some(source) = self.model.sources.find(path).next()
                    {
                        value.taint = Taint::source(source, place);
                    }
                }
                if let Some(source) = &known.source
                    && value.taint.is_empty()
                    && !is_number(parameter.ty.as_deref())
                {
                    value.taint = Taint::source(source, place);
                }
            }
            f.state.vars[parameter.slot as usize] = Some(value);
        }
    }

    /// The path of an instance of a type.
    pub(super) fn instance_path(&self, ty: &Name) -> Option<Rc<Path>> {
        match &**ty {
            "" | "String" | "Object" | "int" | "long" | "boolean" | "char" | "byte" | "var" | "auto"
            | "str" | "string" | "any" | "double" | "float" | "byte[]" | "bool" | "bytes" | "number"
            | "unknown" => None,
            _ => Some(Path::root(ty).call()),
        }
    }

    /// A new object of a class, with its fields set and its constructor run.
    pub(super) fn instance(
        &mut self,
        f: &mut Frame,
        class: &Arc<Class>,
        args: &[ArgValue],
        unknown: bool,
    ) -> Value {
        let object = Object { class: Some(Arc::clone(class)), ..Object::new(ObjectKind::Instance) };
        let id = self.allocate(&mut f.state, object);
        let this = Value { path: Some(Path::root(&class.name).call()), ..Value::object(id) };
        if self.calls.len() >= DEEPEST_CALLS || !self.step() {
            return this;
        }
        let setup =
            Arc::new(Function { file: class.file, names: class.setup.names.clone(), ..Function::default() });
        for (name, value, ty) in &class.fields {
            let mut init = match value {
                Some(expr) => {
                    let mut inner = self.frame(&setup, Some(Arc::clone(class)), None, f.outer.clone());
                    inner.state.heap = std::mem::take(&mut f.state.heap);
                    let value = self.eval(&mut inner, expr);
                    f.state.heap = inner.state.heap;
                    value
                }
                None => Value::default(),
            };
            if let Some(path) = ty.as_ref().and_then(|ty| self.instance_path(ty)) {
                init.path.get_or_insert(path);
            }
            if let Some(object) = f.state.heap.get_mut(id) {
                object.set(&Const::Str(Arc::clone(name)), init);
            }
        }
        let constructor = ["__init__", "constructor", &class.name, "initialize", "__construct"]
            .iter()
            .find_map(|name| self.project.method(class, name));
        if let Some((owner, constructor)) = constructor
            && !(unknown && self.calls.contains(&Arc::as_ptr(&constructor)))
        {
            let outer = f.outer.clone();
            self.invoke(
                f,
                &constructor,
                Some(owner),
                Some(this.clone()),
                outer,
                args,
                unknown,
                At::default(),
            );
        }
        this
    }

    /// Runs a function of the project on these arguments.
    #[expect(clippy::too_many_arguments, reason = "a call is made of all of these")]
    pub(super) fn invoke(
        &mut self,
        f: &mut Frame,
        function: &Arc<Function>,
        class: Option<Arc<Class>>,
        this: Option<Value>,
        outer: Option<Rc<Captured>>,
        args: &[ArgValue],
        unknown: bool,
        at: At,
    ) -> Value {
        let pointer = Arc::as_ptr(function);
        if self.calls.len() >= DEEPEST_CALLS || self.calls.contains(&pointer) || !self.step() {
            // It gives back what it was given.
            let mut taint = Taint::default();
            args.iter().for_each(|arg| taint.join(&arg.value.taint));
            return Value::tainted(taint);
        }
        let plain = !unknown && function.shares.is_empty() && self.is_plain(f, this.as_ref(), args);
        let constants = args.iter().map(|arg| arg.value.constant.clone()).collect();
        let receiver = this.as_ref().map(|this| (this.objects.clone(), self.writes));
        let key = (pointer, constants, receiver);
        if plain && let Some(known) = self.plain.get(&key) {
            return known.clone();
        }
        let (writes, objects) = (self.writes, self.next_object);
        let around = outer.as_ref().map(|outer| Arc::clone(&outer.function));
        let mut inner = self.frame(function, class, this, outer);
        inner.state.heap = std::mem::take(&mut f.state.heap);
        inner.state.ruled_out = std::mem::take(&mut f.state.ruled_out);
        if unknown {
            self.bind_unknown(&mut inner, &[]);
        } else {
            self.bind(&mut inner, args, Self::place(f, at));
        }
        self.calls.push(pointer);
        self.exec(&mut inner, &function.body);
        self.calls.pop();
        let mut end = inner.exit;
        end.join(inner.state);
        if around.is_some_and(|around| Arc::ptr_eq(&around, &f.function)) {
            hand_back(f, function, &end.vars);
        }
        f.state.heap = end.heap;
        f.state.ruled_out = end.ruled_out;
        let mut value = inner.returned.unwrap_or_default();
        if let Some(ty) = &function.returns
            && value.path.is_none()
        {
            value.path = self.instance_path(ty);
        }
        value.taint.step(Self::place(f, at), &Note::Returned(Arc::clone(&function.name.0)));
        if plain && self.writes == writes && !value.objects.iter().any(|id| *id > objects) {
            self.plain.insert(key, value.clone());
        }
        value
    }

    /// Whether nothing that a call is given is of interest, so that what it does is the same every time.
    fn is_plain(&self, f: &Frame, this: Option<&Value>, args: &[ArgValue]) -> bool {
        let boring =
            |value: &Value| value.callable.is_none() && value.taint.is_empty() && value.path.is_none();
        this.is_none_or(|this| self.deep_taint(f, this).is_empty())
            && args.iter().all(|arg| boring(&arg.value) && arg.value.objects.is_empty() && arg.name.is_none())
    }

    /// Puts arguments into the slots of the parameters.
    fn bind(&mut self, inner: &mut Frame, args: &[ArgValue], at: Place) {
        let function = Arc::clone(&inner.function);
        let mut positional = args.iter().filter(|arg| arg.name.is_none());
        for (index, parameter) in function.parameters.iter().enumerate() {
            let slot = parameter.slot as usize;
            if index == 0 && function.takes_this && inner.this.is_some() {
                inner.state.vars[slot] = inner.this.clone();
                continue;
            }
            let named = args.iter().find(|arg| arg.name.as_ref() == Some(&parameter.name));
            let mut value = if parameter.rest {
                let rest: Vec<Value> = positional.by_ref().map(|arg| arg.value.clone()).collect();
                let id = self.allocate(&mut inner.state, Object::list(rest));
                Value::object(id)
            } else if let Some(arg) = named.or_else(|| positional.next()) {
                arg.value.clone()
            } else if let Some(default) = &parameter.default {
                self.eval(inner, default)
            } else {
                Value::default()
            };
            if let Some(ty) = &parameter.ty
                && value.path.is_none()
            {
                value.path = self.instance_path(ty);
            }
            value.taint.step(at, &Note::Passed(Arc::clone(&function.name.0)));
            inner.state.vars[slot] = Some(value);
        }
    }
}

/// What a function did to variables of the one around it, which has called it.
fn hand_back(f: &mut Frame, function: &Function, vars: &[Option<Value>]) {
    for slot in &function.shares {
        let Some(Some(value)) = vars.get(*slot as usize) else { continue };
        let name = &function.names[*slot as usize];
        let mine = f.function.names.iter().position(|known| known == name);
        match mine.and_then(|slot| f.state.vars.get_mut(slot)) {
            Some(Some(known)) => known.join(value),
            Some(unset) => *unset = Some(value.clone()),
            None => {}
        }
    }
}

/// Whether a type leaves no room for anything harmful.
fn is_number(ty: Option<&str>) -> bool {
    matches!(
        ty,
        Some(
            "int" | "Integer" | "long" | "Long" | "float" | "double" | "boolean" | "bool" | "number" | "UUID"
        )
    )
}
