//! Names: what they mean where they stand, from the function outwards to the libraries.

use std::rc::Rc;
use std::sync::Arc;

use super::ir::{At, Class, Const, Function, Name, Stmt};
use super::machine::{DEEPEST_CALLS, Frame, Machine};
use super::values::{Callable, Captured, Path, Place, Taint, Value};

impl Machine<'_> {
    /// What a name means that the function has not set itself.
    pub(super) fn look_up(&mut self, f: &mut Frame, name: &Name) -> Value {
        let mut outer = f.outer.clone();
        while let Some(captured) = outer {
            let around = self.around(&captured);
            if let Some(slot) = around.function.names.iter().position(|known| known == name)
                && let Some(Some(value)) = around.state.vars.get(slot)
            {
                return value.clone();
            }
            outer = captured.outer.clone();
        }
        if let Some(value) = self.member(f, name) {
            return value;
        }
        if f.outer.is_none()
            && f.function.file != u32::MAX
            && !f.function.name.0.is_empty()
            && let Some(module) = self.module(f.function.file)
            && let Some(slot) = module.function.names.iter().position(|known| known == name)
            && let Some(Some(value)) = module.state.vars.get(slot)
        {
            return value.clone();
        }
        if let Some(function) = self.defined_later(f.function.file, name) {
            let callable = Callable::Function { function, this: None, outer: None };
            return Value { callable: Some(Rc::new(callable)), ..Value::default() };
        }
        if let Some(class) = self.project.class(name, f.function.file) {
            let callable = Callable::Class { class: Arc::clone(class), outer: None };
            return Value { callable: Some(Rc::new(callable)), ..Value::path(Path::root(name)) };
        }
        if let Some(unit) = self.project.unit(f.function.file)
            && let Some(function) = self.project.function(&unit.package, name)
        {
            let callable = Callable::Function { function: Arc::clone(function), this: None, outer: None };
            return Value { callable: Some(Rc::new(callable)), ..Value::default() };
        }
        if let Some(module) = name.strip_prefix("require:") {
            return self.imported(f, &Arc::from(module));
        }
        let known = self.model.globals.get(&**name);
        let path = Path::root(known.unwrap_or(name));
        self.at_path(path, Place { file: f.function.file, at: At::default() })
    }

    /// A function of a file whose top level is still under way.
    fn defined_later(&self, file: u32, name: &Name) -> Option<Arc<Function>> {
        let under_way = self.modules.get(&file).is_some_and(Option::is_none);
        let unit = self.project.unit(file).filter(|_| under_way)?;
        unit.module.body.iter().find_map(|stmt| match stmt {
            Stmt::Function(_, function) if function.name.0 == *name => Some(Arc::clone(function)),
            _ => None,
        })
    }

    /// A library value, tainted if it is a source.
    pub(super) fn at_path(&self, path: Rc<Path>, place: Place) -> Value {
        let taint = self.model.sources.find(&path).next();
        let taint = taint.map(|source| Taint::source(source, place)).unwrap_or_default();
        Value { taint, ..Value::path(path) }
    }

    /// A module is seen as it is in the end, a function as it was.
    fn around(&self, captured: &Rc<Captured>) -> Rc<Captured> {
        let module = self.project.unit(captured.function.file);
        let is_module = module.is_some_and(|unit| Arc::ptr_eq(&unit.module, &captured.function));
        let whole = self.modules.get(&captured.function.file).cloned().flatten().filter(|_| is_module);
        whole.unwrap_or_else(|| Rc::clone(captured))
    }

    /// A field or method of the class around, named without a receiver.
    fn member(&mut self, f: &mut Frame, name: &Name) -> Option<Value> {
        let class = f.class.clone()?;
        if let Some((_, function)) = self.project.method(&class, name) {
            let callable = Callable::Function { function, this: f.this.clone(), outer: f.outer.clone() };
            return Some(Value { callable: Some(Rc::new(callable)), ..Value::default() });
        }
        let this = f.this.clone();
        if let Some(value) = this.as_ref().and_then(|this| self.known_field(f, this, name)) {
            return Some(value);
        }
        self.static_field(f, &class, name)
    }

    /// What an object on the heap holds under a name.
    pub(super) fn known_field(&self, f: &Frame, base: &Value, name: &Name) -> Option<Value> {
        let key = Const::Str(Arc::clone(name));
        let mut found: Option<Value> = None;
        for object in base.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
            if let Some(value) = object.get(&key) {
                match &mut found {
                    Some(found) => found.join(value),
                    None => found = Some(value.clone()),
                }
            }
        }
        found
    }

    /// What a class sets under a name for all its objects.
    pub(super) fn static_field(&mut self, f: &mut Frame, class: &Arc<Class>, name: &Name) -> Option<Value> {
        let (_, value, ty) = class.fields.iter().find(|(known, ..)| known == name)?;
        let mut init = Value::default();
        if let Some(expr) = value
            && self.calls.len() < DEEPEST_CALLS
            && self.step()
        {
            let setup = Arc::new(Function {
                file: class.file,
                names: class.setup.names.clone(),
                ..Function::default()
            });
            let mut inner = self.frame(&setup, Some(Arc::clone(class)), None, None);
            inner.state.heap = std::mem::take(&mut f.state.heap);
            self.calls.push(Arc::as_ptr(&setup));
            init = self.eval(&mut inner, expr);
            self.calls.pop();
            f.state.heap = inner.state.heap;
        }
        if let Some(path) = ty.as_ref().and_then(|ty| self.instance_path(ty)) {
            init.path.get_or_insert(path);
        }
        Some(init)
    }
}
