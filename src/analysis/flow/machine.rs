//! The analysis: an interpreter over the intermediate form that knows less and follows every way.
//!
//! It starts at the top level of a file and at each of its functions (whose arguments are unknown, apart from what
//! the models say of them), goes into the project's own functions with what is known of the arguments, and asks the
//! models about everything else. Where it cannot tell what a call does, the result is as tainted as the receiver;
//! tainted arguments only taint it if a model says so or if it is a new object.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::ir::{At, Class, Const, Function, Unit};
use super::models::{self, Model};
use super::project::{Question, View};
use super::state::{Object, State};
use super::values::{Captured, Mark, Path, Place, Step, Value};
use crate::analysis::languages::Language;

/// What was found.
#[derive(Clone, Debug)]
pub(super) struct Hit {
    /// Index into the rules.
    pub(super) rule: usize,
    pub(super) place: Place,
    /// Where the data came from, if it is about data.
    pub(super) trace: Option<Rc<Step>>,
}

/// A function that is being interpreted.
pub(super) struct Frame {
    pub(super) function: Arc<Function>,
    pub(super) class: Option<Arc<Class>>,
    pub(super) this: Option<Value>,
    pub(super) outer: Option<Rc<Captured>>,
    pub(super) state: State,
    pub(super) returned: Option<Value>,
    /// The rule about what it returns, if that goes out to somebody.
    pub(super) goes_out: Option<usize>,
    /// The states in which it returns.
    pub(super) exit: State,
    pub(super) loops: Vec<Loop>,
    /// The states in which something may be thrown, for each `try` around.
    pub(super) raised: Vec<State>,
}

/// A loop or switch around the place.
pub(super) struct Loop {
    pub(super) is_switch: bool,
    pub(super) left: State,
    pub(super) again: State,
}

/// A call with nothing of interest: function, constants, and the receiver as it was.
pub(super) type Plain = (*const Function, Vec<Option<Const>>, Option<(Vec<u32>, usize)>);

struct Entry {
    function: Arc<Function>,
    class: Option<Arc<Class>>,
    outer: Option<Rc<Captured>>,
}

/// Steps (statements and expressions) that any file gets and that each of its bytes adds, and how deep calls and code may be nested.
const FREE_STEPS: usize = 60_000;
const STEPS_PER_BYTE: usize = 6;
pub(super) const DEEPEST_CALLS: usize = 6;
const DEEPEST_CODE: usize = 220;

/// The interpreter for one file.
pub(super) struct Machine<'p> {
    pub(super) project: View<'p>,
    pub(super) unit: &'p Unit,
    /// Whether data from outside may get here: all of its functions are of interest then.
    outside: bool,
    pub(super) model: &'static Model,
    pub(super) file: u32,
    hits: BTreeMap<(usize, Place), Hit>,
    steps: usize,
    most_steps: usize,
    /// How often an object was written to that may have been there before.
    pub(super) writes: usize,
    /// What functions give that were called with nothing of interest and changed nothing.
    pub(super) plain: HashMap<Plain, Value>,
    depth: usize,
    pub(super) next_object: u32,
    pub(super) calls: Vec<*const Function>,
    pub(super) modules: HashMap<u32, Option<Rc<Captured>>>,
    queue: VecDeque<Entry>,
    queued: HashSet<*const Function>,
    stopped: &'p dyn Fn() -> bool,
}

/// What a file gave.
pub(super) struct Outcome {
    pub(super) hits: Vec<Hit>,
    /// Whether it was broken off.
    pub(super) cut: bool,
    /// What it asked of the other files.
    pub(super) asked: BTreeSet<Question>,
}

impl<'p> Machine<'p> {
    pub(super) fn new(
        project: View<'p>,
        (file, unit, outside): (u32, &'p Unit, bool),
        stopped: &'p dyn Fn() -> bool,
    ) -> Self {
        Self {
            project,
            unit,
            outside,
            model: models::model(unit.language),
            file,
            hits: BTreeMap::new(),
            steps: 0,
            most_steps: FREE_STEPS + STEPS_PER_BYTE * unit.length,
            writes: 0,
            plain: HashMap::new(),
            depth: 0,
            next_object: 0,
            calls: Vec::new(),
            modules: HashMap::new(),
            queue: VecDeque::new(),
            queued: HashSet::new(),
            stopped,
        }
    }

    /// Interprets the whole file.
    pub(super) fn run(mut self) -> Outcome {
        self.module(self.file);
        for class in &self.unit.classes {
            self.enqueue_methods(class, None);
        }
        while let Some(entry) = self.queue.pop_front() {
            self.enter(entry);
        }
        let cut = self.steps >= self.most_steps;
        Outcome { hits: self.hits.into_values().collect(), cut, asked: self.project.asked() }
    }

    /// Whether there is work left to do; counts one step.
    pub(super) fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps.is_multiple_of(4096) && (self.stopped)() {
            self.steps = self.most_steps;
        }
        self.steps < self.most_steps
    }

    /// Goes one level deeper, unless that is too deep.
    pub(super) fn deeper(&mut self) -> bool {
        self.depth += 1;
        if self.depth > DEEPEST_CODE {
            self.depth -= 1;
            return false;
        }
        true
    }

    pub(super) fn shallower(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn language(&self) -> Language {
        self.unit.language
    }

    pub(super) fn place(f: &Frame, at: At) -> Place {
        Place { file: f.function.file, at }
    }

    /// Puts a new object on the heap.
    pub(super) fn allocate(&mut self, state: &mut State, object: Object) -> u32 {
        self.next_object += 1;
        state.heap.add(self.next_object, object);
        self.next_object
    }

    /// Notes what was found. Of two ways to the same place the shorter is told.
    pub(super) fn hit(&mut self, rule: usize, place: Place, trace: Option<&Rc<Step>>) {
        let hit = Hit { rule, place, trace: trace.cloned() };
        let length = |hit: &Hit| {
            hit.trace.as_ref().map_or((0, None), |trace| (trace.length, Some(first(trace).place)))
        };
        let entry = self.hits.entry((rule, place)).or_insert_with(|| hit.clone());
        if length(&hit) < length(entry) {
            *entry = hit;
        }
    }

    /// Notes the marks of a value that a rule is about.
    pub(super) fn check_marks(&mut self, f: &Frame, rule: usize, at: At, marks: &[Mark]) {
        let flow = &models::rules()[rule];
        let [_, quoted, without] = models::FACTS.map(|fact| models::bit(fact).unwrap_or(0));
        for mark in marks.iter().filter(|mark| flow.kinds.contains(&mark.kind)) {
            let mut cleared = mark.cleared | f.state.ruled_out(mark.origin);
            if cleared & quoted != 0 && cleared & without != 0 {
                // A text in quotes without quotes inside is nothing but a text.
                cleared |= models::bit("code-injection").unwrap_or(0);
            }
            if cleared & flow.mask == 0 {
                let trace = Rc::clone(&mark.trace);
                self.hit(rule, Self::place(f, at), Some(&trace));
            }
        }
    }

    /// The top level of a file, interpreted once; none while that is under way.
    pub(super) fn module(&mut self, file: u32) -> Option<Rc<Captured>> {
        if let Some(known) = self.modules.get(&file) {
            return known.clone();
        }
        self.modules.insert(file, None);
        let unit = self.project.unit(file)?;
        if self.modules.len() > 64 {
            return None;
        }
        let mut f = self.frame(&unit.module, None, None, None);
        self.exec(&mut f, &unit.module.body);
        let mut state = f.state;
        state.dead = false;
        let captured =
            Rc::new(Captured { function: Arc::clone(&unit.module), state, this: None, outer: None });
        self.modules.insert(file, Some(Rc::clone(&captured)));
        Some(captured)
    }

    pub(super) fn frame(
        &mut self,
        function: &Arc<Function>,
        class: Option<Arc<Class>>,
        this: Option<Value>,
        outer: Option<Rc<Captured>>,
    ) -> Frame {
        Frame {
            state: State::with_slots(function.names.len()),
            function: Arc::clone(function),
            class,
            this,
            outer,
            returned: None,
            goes_out: None,
            exit: State { dead: true, ..State::default() },
            loops: Vec::new(),
            raised: Vec::new(),
        }
    }

    /// Remembers to interpret a function of this file for itself.
    pub(super) fn enqueue(
        &mut self,
        function: &Arc<Function>,
        class: Option<&Arc<Class>>,
        outer: Option<Rc<Captured>>,
    ) {
        let of_interest = self.outside || function.matters;
        if of_interest && function.file == self.file && self.queued.insert(Arc::as_ptr(function)) {
            self.queue.push_back(Entry { function: Arc::clone(function), class: class.cloned(), outer });
        }
    }

    pub(super) fn enqueue_methods(&mut self, class: &Arc<Class>, outer: Option<&Rc<Captured>>) {
        for method in &class.methods {
            self.enqueue(method, Some(class), outer.cloned());
        }
    }

    /// Interprets a function whose caller is not known.
    fn enter(&mut self, entry: Entry) {
        let heap = entry.outer.as_ref().map(|outer| outer.state.heap.clone()).unwrap_or_default();
        let mut f = self.frame(&entry.function, entry.class.clone(), None, entry.outer);
        f.state.heap = heap;
        if let Some(class) = &entry.class {
            f.this = Some(self.instance(&mut f, class, &[], true));
        }
        let decorators: Vec<Rc<Path>> = {
            let function = Arc::clone(&f.function);
            function.decorators.iter().filter_map(|decorator| self.eval(&mut f, decorator).path).collect()
        };
        f.goes_out =
            decorators.iter().find_map(|path| self.model.returns.find(path).next()).map(|sink| sink.rule);
        self.bind_unknown(&mut f, &decorators);
        let function = Arc::clone(&f.function);
        self.calls.push(Arc::as_ptr(&function));
        self.exec(&mut f, &function.body);
        self.calls.pop();
    }
}

/// The first step of a trace.
pub(super) fn first(step: &Rc<Step>) -> &Step {
    let mut step: &Step = step;
    while let Some(before) = &step.before {
        step = before;
    }
    step
}
