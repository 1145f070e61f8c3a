//! All files in the intermediate form, and what can be found in them by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ir::{Class, Function, Name, Unit};
use crate::analysis::languages::Language;

/// A method and the class it stands in.
pub(super) type Method = (Arc<Class>, Arc<Function>);

/// Files and indexes over them. A file without a unit is one that has nothing to do with any flow.
pub(super) struct Project {
    pub(super) units: Vec<Option<Unit>>,
    /// Modules by the last part of their dotted path.
    modules: HashMap<String, Vec<(String, u32)>>,
    classes: HashMap<Name, Vec<Arc<Class>>>,
    /// Classes by the names of what they extend or implement.
    heirs: HashMap<Name, Vec<Arc<Class>>>,
    methods: HashMap<Name, Vec<Method>>,
    /// Functions by package, for languages whose packages span files.
    functions: HashMap<String, Arc<Function>>,
}

/// A call that could go to more methods than this goes to none.
const MOST_TARGETS: usize = 6;

impl Project {
    pub(super) fn new(units: Vec<Option<Unit>>, paths: &[&str]) -> Self {
        let mut classes: HashMap<Name, Vec<Arc<Class>>> = HashMap::new();
        let mut heirs: HashMap<Name, Vec<Arc<Class>>> = HashMap::new();
        let mut methods: HashMap<Name, Vec<Method>> = HashMap::new();
        let mut functions = HashMap::new();
        for unit in units.iter().flatten() {
            for class in &unit.classes {
                classes.entry(Arc::clone(&class.name)).or_default().push(Arc::clone(class));
                for base in &class.bases {
                    heirs.entry(Arc::clone(base)).or_default().push(Arc::clone(class));
                }
                for method in &class.methods {
                    let entry = methods.entry(Arc::clone(&method.name.0)).or_default();
                    entry.push((Arc::clone(class), Arc::clone(method)));
                }
            }
            if matches!(unit.language, Language::Go | Language::Php) {
                for stmt in &unit.module.body {
                    if let super::ir::Stmt::Function(_, function) = stmt {
                        let key = format!("{} {}", unit.package, function.name.0);
                        functions.entry(key).or_insert_with(|| Arc::clone(function));
                    }
                }
            }
        }
        let modules = modules(paths);
        Self { units, modules, classes, heirs, methods, functions }
    }

    /// The file that a dotted path names, as seen from another file: the one that shares most folders with it.
    pub(super) fn module(&self, path: &str) -> Option<u32> {
        find_module(&self.modules, path).filter(|file| self.units[*file as usize].is_some())
    }

    /// The class of this name, the one of the same file first; none if it is not clear which.
    pub(super) fn class(&self, name: &str, file: u32) -> Option<&Arc<Class>> {
        let all = self.classes.get(name)?;
        let language =
            |class: &Arc<Class>| self.units[class.file as usize].as_ref().map(|unit| unit.language);
        let mine = self.units[file as usize].as_ref().map(|unit| unit.language);
        let here = all.iter().find(|class| class.file == file);
        here.or_else(|| match all.as_slice() {
            [one] if language(one) == mine => Some(one),
            _ => None,
        })
    }

    /// A method of a class or of what it extends.
    pub(super) fn method(&self, class: &Arc<Class>, name: &str) -> Option<Method> {
        let mut class = Arc::clone(class);
        for _ in 0..8 {
            if let Some(method) = class.methods.iter().find(|method| &*method.name.0 == name) {
                return Some((Arc::clone(&class), Arc::clone(method)));
            }
            let base = class.bases.iter().find_map(|base| self.class(base, class.file))?;
            class = Arc::clone(base);
        }
        None
    }

    /// The methods of this name in the classes below a class.
    pub(super) fn overrides(&self, class: &str, name: &str) -> Vec<Method> {
        let heirs = self.heirs.get(class).map_or(&[][..], Vec::as_slice);
        let found: Vec<_> = heirs.iter().filter_map(|heir| self.method(heir, name)).collect();
        if found.len() > MOST_TARGETS { Vec::new() } else { found }
    }

    /// Every method of this name in files of the language, if they are few.
    pub(super) fn methods_named(&self, name: &str, language: Language) -> Vec<Method> {
        let all = self.methods.get(name).map_or(&[][..], Vec::as_slice);
        let of_language = |class: &Class| {
            self.units[class.file as usize].as_ref().is_some_and(|unit| unit.language == language)
        };
        let found: Vec<_> = all.iter().filter(|(class, _)| of_language(class)).cloned().collect();
        if found.len() > MOST_TARGETS { Vec::new() } else { found }
    }

    /// A function of a package that spans files.
    pub(super) fn function(&self, package: &str, name: &str) -> Option<&Arc<Function>> {
        if self.functions.is_empty() { None } else { self.functions.get(&format!("{package} {name}")) }
    }
}

type Modules = HashMap<String, Vec<(String, u32)>>;

/// Every file by the last part of its dotted path: `a/b/c.py` is `a.b.c`, a package's own file is the package.
pub(super) fn modules(paths: &[&str]) -> Modules {
    let mut modules: BTreeMap<String, Vec<(String, u32)>> = BTreeMap::new();
    for (file, path) in (0..).zip(paths) {
        let stem = path.rsplit_once('.').map_or(*path, |(stem, _)| stem);
        let stem =
            ["/__init__", "/index", "/mod"].iter().find_map(|own| stem.strip_suffix(own)).unwrap_or(stem);
        let dotted = stem.replace('/', ".");
        let last = dotted.rsplit('.').next().unwrap_or_default().to_owned();
        modules.entry(last).or_default().push((dotted, file));
    }
    modules.into_iter().collect()
}

/// The file with this dotted path, or whose dotted path ends with it; the shortest if there are several.
pub(super) fn find_module(modules: &Modules, path: &str) -> Option<u32> {
    let last = path.rsplit('.').next()?;
    let fits = |dotted: &str| {
        dotted.strip_suffix(path).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let all = modules.get(last)?.iter().filter(|(dotted, _)| fits(dotted));
    all.min_by_key(|(dotted, file)| (dotted.len(), *file)).map(|(_, file)| *file)
}
