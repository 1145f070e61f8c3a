//! What is remembered of an earlier analysis, and when it is not believed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::NaiveDate;
use codeyard::analysis::{Memory, Options, Project, Report, Unwatched, Watch, analyze};
use codeyard::cache::Cache;
use codeyard::model::SourceFile;

use super::file;

const PLENTY: u64 = 1 << 30;

fn remembering(dir: &Path, most_bytes: u64) -> (Arc<Cache>, Options) {
    let cache = Arc::new(Cache::open(dir.to_owned(), most_bytes).unwrap());
    let memory: Arc<dyn Memory> = cache.clone();
    (cache, Options { memory: Some(memory), ..Options::default() })
}

/// The report, and whether any file was looked at for it.
fn look(files: &[SourceFile], options: &Options) -> (Report, bool) {
    struct Seen(std::sync::atomic::AtomicBool);
    impl Watch for Seen {
        fn progress(&self, _: usize, _: usize, _: &str) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let seen = Seen(false.into());
    let report = analyze(files, Vec::new(), options, &seen).unwrap();
    (report, seen.0.into_inner())
}

fn kept(dir: &Path) -> Vec<PathBuf> {
    let folders =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut files: Vec<_> = folders
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn sources() -> Vec<SourceFile> {
    vec![file("a.py", "import os\nos.system(input())\n"), file("b.js", "eval(location.hash)\n")]
}

#[test]
fn a_remembered_report_is_the_same_and_costs_no_look() {
    let dir = tempfile::tempdir().unwrap();
    let (_, options) = remembering(dir.path(), PLENTY);
    let fresh = analyze(&sources(), Vec::new(), &Options::default(), &Unwatched).unwrap();
    assert!(fresh.findings().count() > 0);
    let (first, looked) = look(&sources(), &options);
    assert!(looked && first == fresh);
    let mut shuffled = sources();
    shuffled.reverse();
    let (second, looked) = look(&shuffled, &options);
    assert!(!looked && second == fresh);
}

#[test]
fn whatever_the_report_depends_on_makes_it_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let (_, options) = remembering(dir.path(), PLENTY);
    look(&sources(), &options);
    let mut renamed = sources();
    renamed[0].path = "c.py".to_owned();
    let mut changed = sources();
    changed[1].content.push(b' ');
    let others = [
        (renamed, options.clone()),
        (changed, options.clone()),
        (sources(), Options { disabled_rules: vec!["py-os-system".to_owned()], ..options.clone() }),
        (sources(), Options { fingerprint_key: Some(vec![1]), ..options.clone() }),
    ];
    for (files, options) in others {
        assert!(look(&files, &options).1);
    }
    // What is left of it is known, and yet the report is another one.
    let (fewer, looked) = look(&sources()[..1], &options);
    let fresh = analyze(&sources()[..1], Vec::new(), &Options::default(), &Unwatched).unwrap();
    assert!(!looked && fewer == fresh);
    let threads = Options { threads: Some(1), ..options };
    assert!(!look(&sources(), &threads).1, "the number of threads changes nothing");
}

#[test]
fn a_report_is_forgotten_when_a_suppression_in_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let (_, options) = remembering(dir.path(), PLENTY);
    let code = "import os\n# codeyard: ignore[py-os-system] trusted until 2027-01-31\nos.system('ls ' + x)\n";
    let files = [file("a.py", code)];
    let on = |day| Options { today: NaiveDate::from_ymd_opt(2027, 1, day), ..options.clone() };
    let (before, _) = look(&files, &on(30));
    assert_eq!(before.suppressed.len(), 1, "{before:?}");
    assert!(!look(&files, &on(31)).1);
    let later = Options { today: NaiveDate::from_ymd_opt(2027, 2, 1), ..options.clone() };
    let (after, looked) = look(&files, &later);
    assert!(looked && after.suppressed.is_empty());
}

#[test]
fn what_was_damaged_is_not_believed_and_what_is_too_much_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (cache, options) = remembering(dir.path(), PLENTY);
    let (report, _) = look(&sources(), &options);
    // The report, the pack of what was found in each file, and then the head of that, too.
    for place in [2, 3, 100] {
        for path in kept(dir.path()) {
            let mut bytes = std::fs::read(&path).unwrap();
            let at = bytes.len() / place;
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        let (again, looked) = look(&sources(), &options);
        assert!(looked && again == report);
    }
    for path in kept(dir.path()) {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    let (again, looked) = look(&sources(), &options);
    assert!(looked && again == report);
    cache.trim().unwrap();
    let before = kept(dir.path()).len();
    assert!(before >= 2);

    let (small, options) = remembering(dir.path(), 10);
    look(&sources()[..1], &options);
    assert_eq!(kept(dir.path()).len(), before + 1, "the report is new, what is in the file is not");
    small.trim().unwrap();
    assert!(kept(dir.path()).is_empty() && dir.path().join("CACHEDIR.TAG").exists());
    // And one whose directory was deleted under it keeps working.
    std::fs::remove_dir_all(dir.path()).unwrap();
    assert!(look(&sources(), &options).1);
}

#[test]
fn what_the_project_says_is_part_of_what_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let (_, options) = remembering(dir.path(), PLENTY);
    let on = |day: &str, said: &str| {
        let project = Project::read(said.as_bytes()).unwrap();
        let options = Options { today: day.parse::<NaiveDate>().ok(), ..options.clone() };
        let (report, looked) = look(&sources(), &project.complete(options, &sources()).unwrap());
        (report.summary.findings, report.unused_suppressions.iter().filter(|it| it.expired).count(), looked)
    };
    let known = "[[suppress]]\npath = '*.py'\nreason = 'ours'\nuntil = 2026-06-15\n\
                 [[suppress]]\npath = '*.rb'\nreason = 'ours'\nuntil = 2026-06-10\n";
    assert_eq!(on("2026-06-09", known), (1, 0, true));
    assert_eq!(on("2026-06-10", known), (1, 0, false));
    assert_eq!(on("2026-06-11", known), (1, 1, false), "one that nobody uses has expired");
    assert_eq!(on("2026-06-16", known), (2, 2, false));
    assert_eq!(on("2026-06-17", known), (2, 2, false));
    assert_eq!(on("2026-06-17", "[severity]\npy-os-system = 'off'\n"), (1, 0, true));
    assert_eq!(on("2026-06-17", "[thresholds]\nlines = 1\n"), (2, 0, true));
}

/// Files of a tree, each with the contents that it may have; together they hold flows from one file to another.
const TREE: [(&str, &[&str]); 9] = [
    (
        "app/views.py",
        &[
            "from flask import request\nfrom app.shell import run\n\ndef view():\n    run(request.args['x'])\n",
            "from flask import request\nfrom app.shell import run\n\ndef view():\n    run('ls')\n",
            "# codeyard: ignore-file until 2027-01-01\nfrom flask import request\nimport os\nos.system(request.args['x'])\n",
        ],
    ),
    (
        "app/shell.py",
        &[
            "import os\n\ndef run(command):\n    os.system('echo ' + command)\n",
            "import os\n\ndef run(command):\n    os.system('echo')\n",
            "from app.inner import run\n",
        ],
    ),
    (
        "app/inner.py",
        &["import os\n\ndef run(it):\n    os.popen('cat ' + it)\n", "def run(it):\n    return it\n"],
    ),
    ("lib/app/shell.py", &["import os\n\ndef run(command):\n    pass\n"]),
    (
        "src/Page.java",
        &[
            "class Page extends HttpServlet {\n void doGet(HttpServletRequest q, HttpServletResponse r) throws Exception {\n  new Store().find(q.getParameter(\"id\"));\n }\n}\n",
            "class Page extends HttpServlet {\n void doGet(HttpServletRequest q, HttpServletResponse r) throws Exception {\n  new Store().find(\"1\");\n }\n}\n",
        ],
    ),
    (
        "src/Store.java",
        &[
            "class Store {\n void find(String id) throws Exception {\n  c.createStatement().executeQuery(\"select \" + id);\n }\n}\n",
            "class Store extends Base {\n}\n",
        ],
    ),
    (
        "src/Base.java",
        &[
            "class Base {\n void find(String id) throws Exception {\n  Runtime.getRuntime().exec(\"ls \" + id);\n }\n}\n",
        ],
    ),
    (
        "web/server.js",
        &[
            "const express = require('express');\nconst { go } = require('./go');\nexpress().get('/', (req, res) => go(req.query.x));\n",
        ],
    ),
    (
        "web/go.js",
        &[
            "const cp = require('child_process');\nexports.go = (x) => { cp.exec('ls ' + x); };\n",
            "exports.go = (x) => x;\n",
        ],
    ),
];

/// The files of the tree, by which content each has; none stands for a file that is not there.
fn tree(chosen: &[Option<usize>; TREE.len()]) -> Vec<SourceFile> {
    let all = TREE.iter().zip(chosen);
    all.filter_map(|((path, contents), at)| Some(file(path, contents[(*at)? % contents.len()]))).collect()
}

#[test]
fn the_tree_of_the_property_has_flows_through_several_files() {
    let report = analyze(&tree(&[Some(0); TREE.len()]), Vec::new(), &Options::default(), &Unwatched).unwrap();
    for ending in [".py", ".java", ".js"] {
        let across = report.findings().any(|finding| {
            let steps = finding.flow.iter().map(|step| &step.region.path);
            finding.region.path.ends_with(ending)
                && steps.collect::<std::collections::BTreeSet<_>>().len() > 1
        });
        assert!(across, "no flow through several files that end in {ending}: {report:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

    /// Files come, change, go and come back under other names; the report is the same as if nothing were remembered.
    #[test]
    fn after_any_edits_the_report_is_that_of_a_cold_run(
        edits in proptest::collection::vec((0..TREE.len(), proptest::option::of(0..3_usize)), 1..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (_, options) = remembering(dir.path(), PLENTY);
        let mut chosen = [Some(0); TREE.len()];
        look(&tree(&chosen), &options);
        for (at, content) in edits {
            chosen[at] = content;
            let warm = analyze(&tree(&chosen), Vec::new(), &options, &Unwatched).unwrap();
            let cold = analyze(&tree(&chosen), Vec::new(), &Options::default(), &Unwatched).unwrap();
            let json = |report: &Report| serde_json::to_string(report).unwrap();
            proptest::prop_assert_eq!(json(&warm), json(&cold));
        }
    }
}
