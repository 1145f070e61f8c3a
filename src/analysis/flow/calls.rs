//! Calls: into the project's own functions, and into libraries as the models tell.

use std::rc::Rc;
use std::sync::Arc;

use super::fold;
use super::ir::{At, Call, Const, Expr, ExprKind, Name};
use super::machine::{Frame, Machine};
use super::models::{Condition, Which};
use super::state::{Object, ObjectKind};
use super::values::{Callable, Mask, Path, Taint, Value};
use crate::analysis::languages::Language;

/// An argument of a call.
#[derive(Clone, Debug)]
pub(super) struct ArgValue {
    pub(super) name: Option<Name>,
    pub(super) value: Value,
}

/// Everything about a call that the models may ask for.
struct Site<'c> {
    call: &'c Call,
    at: At,
    receiver: Option<Value>,
    args: Vec<ArgValue>,
    path: Option<Rc<Path>>,
    name: Name,
}

impl Machine<'_> {
    /// The value of a call.
    pub(super) fn call(&mut self, f: &mut Frame, call: &Call, at: At) -> Value {
        let (receiver, callee, name) = self.callee(f, call);
        let args: Vec<ArgValue> = call
            .args
            .iter()
            .map(|arg| ArgValue { name: arg.name.clone(), value: self.eval(f, &arg.value) })
            .collect();
        let site = Site { call, at, receiver, args, path: callee.path.as_ref().map(Path::call), name };
        self.check_call(f, &site);
        if let Some(mask) = self.sanitized(f, &site, &callee) {
            let mut taint = self.all_taint(f, &site);
            taint.clear(mask);
            let path = site.path.clone();
            return Value { taint, path, ..Value::default() };
        }
        if let Some(value) = self.call_project(f, &site, &callee) {
            return value;
        }
        self.call_library(f, &site)
    }

    /// Receiver, callee and name of a call.
    fn callee(&mut self, f: &mut Frame, call: &Call) -> (Option<Value>, Value, Name) {
        match &call.callee.kind {
            ExprKind::Field(base, name) => {
                let receiver = self.eval(f, base);
                let mut callee = self.field(f, &receiver, name, &call.callee);
                if callee.callable.is_none() {
                    callee.taint = Taint::default();
                }
                (Some(receiver), callee, Arc::clone(name))
            }
            ExprKind::Name(slot) => {
                let name = Arc::clone(&f.function.names[*slot as usize]);
                let mut callee = self.eval(f, &call.callee);
                if call.is_new && callee.path.is_none() && callee.callable.is_none() {
                    callee.path = Some(Path::root(&name));
                }
                (None, callee, name)
            }
            _ => (None, self.eval(f, &call.callee), Arc::from("")),
        }
    }

    /// Sinks and checks.
    fn check_call(&mut self, f: &mut Frame, site: &Site<'_>) {
        let (Some(path), model) = (&site.path, self.model) else { return };
        for sink in model.sinks.find(path) {
            if !self.all_hold(f, site, &sink.when) || self.any_holds(f, site, &sink.unless) {
                continue;
            }
            for which in &sink.args {
                for value in self.arguments(site, which) {
                    let taint =
                        if sink.deep { self.deep_taint(f, &value) } else { self.text_marks(f, &value) };
                    self.check_marks(f, sink.rule, site.at, taint.marks());
                }
            }
        }
        for check in model.checks.find(path) {
            if self.all_hold(f, site, &check.when) && !self.any_holds(f, site, &check.unless) {
                self.hit(check.rule, Self::place(f, site.at), None);
            }
        }
    }

    fn all_hold(&self, f: &Frame, site: &Site<'_>, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds(f, site, condition))
    }

    fn any_holds(&self, f: &Frame, site: &Site<'_>, conditions: &[Condition]) -> bool {
        conditions.iter().any(|condition| self.holds(f, site, condition))
    }

    fn holds(&self, f: &Frame, site: &Site<'_>, condition: &Condition) -> bool {
        let look = |which: &Which| self.arguments(site, which).into_iter().next();
        let field = |value: &Value, key: &Const| {
            let held = value.objects.iter().filter_map(|id| f.state.heap.get(*id)?.get(key).cloned());
            held.reduce(|mut a, b| {
                a.join(&b);
                a
            })
        };
        condition.holds(&look, &field)
    }

    fn arguments(&self, site: &Site<'_>, which: &Which) -> Vec<Value> {
        let positional = || site.args.iter().filter(|arg| arg.name.is_none()).map(|arg| arg.value.clone());
        match which {
            Which::Receiver => site.receiver.iter().cloned().collect(),
            Which::At(index) => positional().nth(*index).into_iter().collect(),
            Which::From(index) => positional().skip(*index).collect(),
            Which::Named(name) => {
                let named = site.args.iter().filter(|arg| arg.name.as_deref() == Some(&**name));
                named.map(|arg| arg.value.clone()).collect()
            }
        }
    }

    /// The rules for which a call makes its argument harmless, if it does.
    fn sanitized(&self, f: &Frame, site: &Site<'_>, callee: &Value) -> Option<Mask> {
        let by_path = site.path.as_ref().and_then(|path| self.model.sanitizers.find(path).next());
        // A method of the project's own may have any name.
        let own = || {
            let receiver = site.receiver.as_ref();
            callee.callable.is_some()
                || receiver.is_some_and(|receiver| !self.targets(f, receiver, &site.name).is_empty())
        };
        if let Some(sanitizer) = by_path.filter(|_| !own()) {
            return Some(sanitizer.clears);
        }
        if matches!(&*site.name, "replace" | "replaceAll" | "ReplaceAll" | "gsub" | "str_replace") {
            let texts: Vec<_> = site.args.iter().filter_map(|arg| arg.value.as_str()).collect();
            let replaced =
                self.model.replacing.iter().filter(|(text, _)| texts.first().is_some_and(|t| &***t == text));
            let mask = replaced.fold(0, |mask, (_, clears)| mask | clears);
            if mask != 0 && texts.len() > 1 {
                return Some(mask);
            }
        }
        let named = self.model.sanitizer_names.iter().find(|(regex, _)| regex.is_match(&site.name));
        named.map(|(_, clears)| *clears).filter(|_| !site.args.is_empty() && f.function.file != u32::MAX)
    }

    fn all_taint(&self, f: &Frame, site: &Site<'_>) -> Taint {
        let mut taint = site.receiver.as_ref().map(|value| self.deep_taint(f, value)).unwrap_or_default();
        for arg in &site.args {
            taint.join(&self.deep_taint(f, &arg.value));
        }
        taint
    }

    /// A call of something that is in the project, if it is.
    fn call_project(&mut self, f: &mut Frame, site: &Site<'_>, callee: &Value) -> Option<Value> {
        match callee.callable.as_deref() {
            Some(Callable::Function { function, this, outer }) => {
                let this = this.clone().or_else(|| site.receiver.clone().filter(|r| r.callable.is_none()));
                let class = self.class_of(f, this.as_ref()).or_else(|| f.class.clone());
                let (function, outer) = (Arc::clone(function), outer.clone());
                return Some(self.invoke(f, &function, class, this, outer, &site.args, false, site.at));
            }
            Some(Callable::Class { class, .. }) => {
                let class = Arc::clone(class);
                let value = self.instance(f, &class, &site.args, false);
                return Some(value);
            }
            _ => {}
        }
        let receiver = site.receiver.as_ref()?;
        let targets = self.targets(f, receiver, &site.name);
        let mut result: Option<Value> = None;
        for (class, function) in targets {
            let before = f.state.clone();
            let this = Some(receiver.clone());
            let value = self.invoke(f, &function, Some(class), this, None, &site.args, false, site.at);
            match &mut result {
                Some(result) => {
                    result.join(&value);
                    f.state.join(before);
                }
                None => result = Some(value),
            }
        }
        result
    }

    fn class_of(&self, f: &Frame, this: Option<&Value>) -> Option<Arc<super::ir::Class>> {
        this?.objects.iter().find_map(|id| f.state.heap.get(*id)?.class.clone())
    }

    /// The methods that a call may go to, by what is known of the receiver.
    fn targets(
        &self,
        f: &Frame,
        receiver: &Value,
        name: &str,
    ) -> Vec<(Arc<super::ir::Class>, Arc<super::ir::Function>)> {
        let mut found = Vec::new();
        for object in receiver.objects.iter().filter_map(|id| f.state.heap.get(*id)) {
            if let Some(class) = &object.class
                && let Some(method) = self.project.method(class, name)
                && !found.iter().any(|(_, known)| Arc::ptr_eq(known, &method.1))
            {
                found.push(method);
            }
        }
        if !found.is_empty() {
            return found;
        }
        if let Some(path) = &receiver.path {
            if path.parent.is_none() && path.called {
                if let Some(class) = self.project.class(&path.name, f.function.file)
                    && let Some((owner, method)) = self.project.method(class, name)
                    && !method.body.is_empty()
                {
                    return vec![(owner, method)];
                }
                let overrides = self.project.overrides(&path.name, name);
                // What a function gave is of no known type; what has a type of a library is none of ours.
                let typed = path.name.contains(|c: char| c.is_ascii_uppercase());
                return if overrides.is_empty() && !typed { self.by_name(name) } else { overrides };
            }
            if path.parent.is_some() || self.model.sinks.knows(name) {
                return if path.called && !self.known(path, name) { self.by_name(name) } else { Vec::new() };
            }
        }
        if receiver.constant.is_some() || !receiver.objects.is_empty() || !receiver.taint.is_empty() {
            return Vec::new();
        }
        self.by_name(name)
    }

    /// The few methods of the project with a name that no library is known for.
    fn by_name(&self, name: &str) -> Vec<(Arc<super::ir::Class>, Arc<super::ir::Function>)> {
        let common = self.model.containers.methods.contains_key(name)
            || self.model.mutators.contains(name)
            || self.model.propagators.knows(name)
            || self.model.sinks.knows(name)
            || fold::is_text_method(name);
        if common { Vec::new() } else { self.project.methods_named(name, self.language()) }
    }

    /// Whether the models say anything about a method below a path.
    fn known(&self, path: &Rc<Path>, name: &str) -> bool {
        let Some(path) = path.field(&Arc::from(name)) else { return false };
        self.model.sinks.find(&path).next().is_some()
            || self.model.sources.find(&path).next().is_some()
            || self.model.propagators.find(&path).next().is_some()
    }

    /// A call of something that only the models know, or nobody.
    fn call_library(&mut self, f: &mut Frame, site: &Site<'_>) -> Value {
        let mut value = self.library_value(f, site);
        let given = self.run_callbacks(f, site);
        if let Some(given) = given.filter(|_| self.model.maps_over.contains(&*site.name)) {
            value = Value { objects: Vec::new(), ..value };
            value.taint = given;
        }
        if let Some(path) = &site.path {
            let source = self.at_path(Rc::clone(path), Self::place(f, site.at));
            value.taint.join(&source.taint);
            self.fill(f, site, path, &source.taint);
            let given = self.model.gives.find(path).next().map(|given| Path::root(given));
            if value.path.is_none() {
                value.path = given.or(source.path);
            }
        }
        value
    }

    fn library_value(&mut self, f: &mut Frame, site: &Site<'_>) -> Value {
        if self.model.itself.contains(&*site.name)
            && let Some(receiver) = &site.receiver
        {
            return receiver.clone();
        }
        if let Some(receiver) = &self.settable(f, site) {
            if let Some(value) = self.container(f, receiver, &site.name, &site.args) {
                return value;
            }
            if receiver.constant.is_some()
                && let Some(constant) = fold::method(receiver, &site.name, &site.args)
            {
                return Value::constant(constant);
            }
        }
        if let Some(value) = self.construct(f, site) {
            return value;
        }
        let receiver_taint =
            site.receiver.as_ref().map(|value| self.deep_taint(f, value)).unwrap_or_default();
        let mut taint = receiver_taint;
        if self.passes_on(site) {
            taint.join(&self.all_taint(f, site));
        }
        if self.model.mutators.contains(&*site.name) {
            self.mutate(f, site);
            return site.receiver.clone().map_or_else(Value::default, |mut value| {
                value.taint.join(&taint);
                value.constant = None;
                value
            });
        }
        Value { taint, ..Value::default() }
    }

    /// The receiver; a variable whose properties are set becomes an object that remembers them.
    fn settable(&mut self, f: &mut Frame, site: &Site<'_>) -> Option<Value> {
        let receiver = site.receiver.as_ref()?;
        let sets = site
            .name
            .strip_prefix("set")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
        if sets
            && receiver.objects.is_empty()
            && receiver.callable.is_none()
            && let ExprKind::Field(base, _) = &site.call.callee.kind
        {
            return Some(self.object_of(f, base));
        }
        Some(receiver.clone())
    }

    /// A call that writes what it gives, or what it was given, into one of its arguments.
    fn fill(&mut self, f: &mut Frame, site: &Site<'_>, path: &Path, given: &Taint) {
        let model = self.model;
        for fill in model.fills.find(path) {
            let mut taint = if fill.from.is_empty() { given.clone() } else { Taint::default() };
            for value in fill.from.iter().flat_map(|which| self.arguments(site, which)) {
                taint.join(&self.deep_taint(f, &value));
            }
            let Some(target) = site.call.args.get(fill.into).filter(|_| !taint.is_empty()) else { continue };
            let holder = self.object_of(f, &target.value);
            self.writes += 1;
            for id in &holder.objects {
                if let Some(object) = f.state.heap.get_mut(*id) {
                    object.rest.taint.join(&taint);
                }
            }
        }
    }

    /// Whether tainted arguments taint the result: where a model says so, and where a new object is made.
    fn passes_on(&self, site: &Site<'_>) -> bool {
        let Some(path) = &site.path else { return site.call.is_new };
        site.call.is_new
            || self.model.propagators.find(path).next().is_some()
            || (site.receiver.as_ref().is_some_and(|r| r.constant.is_some())
                && fold::is_text_method(&site.name))
    }

    /// A new list, map or object of a library.
    fn construct(&mut self, f: &mut Frame, site: &Site<'_>) -> Option<Value> {
        let containers = &self.model.containers;
        let name: &str = &site.name;
        let path = site.path.clone();
        let kind = if containers.lists.contains(name) {
            ObjectKind::List
        } else if containers.maps.contains(name) {
            ObjectKind::Map
        } else if site.call.is_new || self.names_a_class(site) {
            ObjectKind::Instance
        } else {
            return None;
        };
        let mut object = Object::new(kind);
        let given = match site.args.as_slice() {
            [one] => self.list_of(f, &one.value),
            _ => None,
        };
        match (kind, given) {
            (ObjectKind::List, Some(items)) => object.set_items(items),
            _ => {
                let mut taint = Taint::default();
                for arg in &site.args {
                    match &arg.name {
                        Some(name) => object.set(&Const::Str(Arc::clone(name)), arg.value.clone()),
                        None => taint.join(&self.deep_taint(f, &arg.value)),
                    }
                }
                if !taint.is_empty() {
                    object.blur(&Value::tainted(taint));
                }
            }
        }
        let id = self.allocate(&mut f.state, object);
        Some(Value { path, ..Value::object(id) })
    }

    /// Whether a call is of a class by its name, in a language where calling one makes an object.
    fn names_a_class(&self, site: &Site<'_>) -> bool {
        self.language() == Language::Python
            && site.name.starts_with(|c: char| c.is_ascii_uppercase())
            && site.path.is_some()
            && site.receiver.as_ref().is_none_or(|receiver| receiver.path.is_some())
    }

    /// A method that changes its receiver by its arguments.
    fn mutate(&mut self, f: &mut Frame, site: &Site<'_>) {
        let mut taint = Taint::default();
        for arg in &site.args {
            taint.join(&self.deep_taint(f, &arg.value));
        }
        let ExprKind::Field(base, _) = &site.call.callee.kind else { return };
        if site.receiver.as_ref().is_some_and(|receiver| receiver.constant.is_some()) && taint.is_empty() {
            return;
        }
        // `a.append(x).append(y)`: the innermost receiver is the one that is kept.
        let mut base: &Expr = base;
        while let ExprKind::Call(inner) = &base.kind
            && let ExprKind::Field(deeper, name) = &inner.callee.kind
            && self.model.mutators.contains(&**name)
        {
            base = deeper;
        }
        if taint.is_empty() {
            return;
        }
        self.writes += 1;
        let holder = self.object_of_kept(f, base, site);
        for id in &holder.objects {
            if let Some(object) = f.state.heap.get_mut(*id) {
                object.rest.taint.join(&taint);
            }
        }
    }

    /// The receiver as it was evaluated, or a new object for a plain variable.
    fn object_of_kept(&mut self, f: &mut Frame, base: &Expr, site: &Site<'_>) -> Value {
        match &base.kind {
            ExprKind::Name(_) => self.object_of(f, base),
            _ => site.receiver.clone().unwrap_or_default(),
        }
    }

    /// Functions that are given to a library: it calls them, with what the receiver holds or what it passes on.
    /// Gives what they return.
    fn run_callbacks(&mut self, f: &mut Frame, site: &Site<'_>) -> Option<Taint> {
        let mut held = site.receiver.as_ref().map(|receiver| self.element(f, receiver)).unwrap_or_default();
        if self.passes_on(site) {
            for arg in site.args.iter().filter(|arg| arg.value.callable.is_none()) {
                held.join(&self.element(f, &arg.value));
            }
        }
        let mut returned = None;
        for arg in &site.args {
            let Some(Callable::Function { function, this, outer }) = arg.value.callable.as_deref() else {
                continue;
            };
            if held.taint.is_empty() && function.shares.is_empty() {
                continue;
            }
            // A block of Ruby is given keys and values, one that folds the sum and the item.
            let all = self.language() == Language::Ruby || matches!(&*site.name, "reduce" | "fold");
            let count = if all { function.parameters.len().max(1) } else { 1 };
            let given = vec![ArgValue { name: None, value: held.clone() }; count];
            let (function, this, outer) = (Arc::clone(function), this.clone(), outer.clone());
            let class = f.class.clone();
            let value = self.invoke(f, &function, class, this, outer, &given, false, site.at);
            let taint = self.deep_taint(f, &value);
            returned.get_or_insert_with(Taint::default).join(&taint);
        }
        returned
    }

    /// Whether a name promises something that its value does not keep.
    pub(super) fn named(&mut self, f: &Frame, name: &str, value: &Value, at: At) {
        if value.taint.is_empty() {
            return;
        }
        let model = self.model;
        let name = name.trim_start_matches(['$', '@']);
        for (regex, rule) in &model.named {
            if regex.is_match(name) {
                self.check_marks(f, *rule, at, value.taint.marks());
            }
        }
    }

    /// Whether something is put where nothing of its kind should be.
    pub(super) fn stored(
        &mut self,
        f: &mut Frame,
        holder: &Value,
        name: Option<&Name>,
        key: Option<&Value>,
        value: &Value,
        at: At,
    ) {
        let unknown = Path::root("?");
        let path = holder.path.as_ref().unwrap_or(&unknown);
        let path = name.and_then(|name| path.field(name)).unwrap_or_else(|| Rc::clone(path));
        let model = self.model;
        for sink in model.stores.find(&path) {
            let mut taint = self.deep_taint(f, value);
            if let Some(key) = key {
                taint.join(&key.taint);
            }
            self.check_marks(f, sink.rule, at, taint.marks());
        }
    }

    /// What an import binds: something of the project, or a path.
    pub(super) fn imported(&mut self, f: &mut Frame, path: &Name) -> Value {
        if let Some(value) = self.module_value(path) {
            return value;
        }
        if let Some((module, member)) = path.rsplit_once('.')
            && let Some(file) = self.project.module(module)
            && let Some(value) = self.module_member(f, file, member)
        {
            return value;
        }
        Value::path(Path::root(path))
    }

    fn module_value(&self, path: &str) -> Option<Value> {
        let file = self.project.module(path)?;
        Some(Value { callable: Some(Rc::new(Callable::Module(file))), ..Value::path(Path::root(path)) })
    }

    /// What a file of the project gives under a name.
    pub(super) fn module_member(&mut self, f: &mut Frame, file: u32, member: &str) -> Option<Value> {
        let module = self.module(file)?;
        let variable = |name: &str| {
            let slot = module.function.names.iter().position(|known| &**known == name)?;
            module.state.vars.get(slot)?.clone()
        };
        let held = |value: &Value, key: &str| {
            let key = Const::text(key);
            value.objects.iter().find_map(|id| module.state.heap.get(*id)?.get(&key).cloned())
        };
        let exported = || held(&variable("module")?, "exports").and_then(|all| held(&all, member));
        let value = variable(member)
            .or_else(|| variable("exports").and_then(|all| held(&all, member)))
            .or_else(exported)?;
        f.state.heap.absorb(&module.state.heap);
        Some(value)
    }

    /// A function of another package of the project, for languages whose packages are folders.
    pub(super) fn package_function(&self, path: &Rc<Path>) -> Option<Value> {
        if self.language() != Language::Go || path.called {
            return None;
        }
        let package = path.parent.as_ref().filter(|parent| !parent.called)?.text();
        let mut folder = package.as_str();
        loop {
            if let Some(function) = self.project.function(folder, &path.name) {
                let callable = Callable::Function { function: Arc::clone(function), this: None, outer: None };
                return Some(Value { callable: Some(Rc::new(callable)), ..Value::default() });
            }
            folder = folder.split_once('/')?.1;
        }
    }

    /// `a.b` where `a` was imported and `a.b` is a module of the project.
    pub(super) fn project_member(&mut self, path: &Rc<Path>) -> Option<Value> {
        let mut at = Some(path);
        while let Some(part) = at {
            if part.called {
                return None;
            }
            at = part.parent.as_ref();
        }
        self.module_value(&path.text())
    }
}
