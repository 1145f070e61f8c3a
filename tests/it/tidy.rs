//! The rules of the house that no compiler knows: who may import whom, what stands in which list, what stays short.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use codeyard::analysis::rules::BUILTIN;
use codeyard::config::{Config, DEFAULTS};

/// Everyone may read these.
const COMMON: [&str; 4] = ["model", "config", "clock", "error"];

/// Which rooms a room may use besides [`COMMON`]; `src/lib.rs` shows the same table to readers.
const ROOMS: &[(&str, &[&str])] = &[
    ("store", &[]),
    ("hub", &[]),
    ("analysis", &[]),
    ("cache", &["analysis"]),
    ("export", &["analysis"]),
    ("observe", &[]),
    ("sandbox", &[]),
    ("source", &["sandbox"]),
    ("proxy", &["sandbox", "source"]),
    ("llm", &["store", "source"]),
    ("scaffold", &[]),
    ("agent", &["jobs", "llm", "sandbox", "analysis", "source", "proxy"]),
    ("mail", &[]),
    ("auth", &["store", "mail"]),
    ("artifacts", &["store"]),
    ("jobs", &["store", "hub"]),
    (
        "kinds",
        &[
            "jobs",
            "store",
            "analysis",
            "cache",
            "source",
            "sandbox",
            "llm",
            "agent",
            "artifacts",
            "scaffold",
            "export",
            "proxy",
        ],
    ),
    ("worker", &["jobs", "kinds", "store"]),
    (
        "http",
        &[
            "app",
            "agent",
            "analysis",
            "artifacts",
            "auth",
            "export",
            "hub",
            "jobs",
            "kinds",
            "llm",
            "observe",
            "source",
            "store",
            "worker",
        ],
    ),
    ("app", &["all"]),
    ("cli", &["all"]),
    ("main", &["cli", "sandbox"]),
];

/// Crates that only these rooms may touch, so that what they stand for stays in one place.
const KEPT_CRATES: [(&str, &[&str]); 3] = [
    // The hub keeps frames as sockets send them, rendered once for all subscribers; metrics count by method and status.
    ("axum", &["http", "hub", "observe"]),
    // Jobs listen for wake-ups, and whoever calls the store may meet its errors.
    ("sqlx", &["store", "artifacts", "model", "error", "jobs", "kinds", "worker", "http", "cli"]),
    ("clap", &["cli"]),
];

/// Files longer than this are two files.
const LONGEST_FILE: usize = 600;

#[test]
fn a_room_uses_only_the_rooms_it_may() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        let room = room_of(&path);
        if room == "lib" || COMMON.contains(&room.as_str()) {
            continue;
        }
        let Some(may) = rooms.get(room.as_str()) else {
            wrong.push(format!("{path}: the room {room} stands in no table"));
            continue;
        };
        for used in rooms_used(&path, &text) {
            let fine = used == room || COMMON.contains(&used.as_str()) || may.contains(&"all");
            if !fine && !may.contains(&used.as_str()) {
                wrong.push(format!("{path}: {room} may not use {used}"));
            }
        }
    }
    tidy(&wrong);
}

#[test]
fn what_everyone_may_read_reads_nothing_else() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        if COMMON.contains(&room_of(&path).as_str()) {
            let used = rooms_used(&path, &text);
            wrong.extend(
                used.iter()
                    .filter(|used| !COMMON.contains(&used.as_str()))
                    .map(|used| format!("{path}: uses {used}")),
            );
        }
    }
    tidy(&wrong);
}

#[test]
fn a_crate_that_is_kept_to_some_rooms_stays_there() {
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src") {
        let room = room_of(&path);
        for (name, may) in KEPT_CRATES {
            if !may.contains(&room.as_str()) && code_lines(&text).any(|line| names_crate(line, name)) {
                wrong.push(format!("{path}: {room} may not use the crate {name}"));
            }
        }
    }
    tidy(&wrong);
}

#[test]
fn the_map_in_lib_rs_shows_the_same_table() {
    let text = read("src/lib.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let mut shown = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_end_matches('|').split('|').collect();
        let uses = cells.last().unwrap_or(&"");
        let named: BTreeSet<&str> = uses.split('`').skip(1).step_by(2).collect();
        let named = if uses.trim() == "all" { ["all"].into() } else { named };
        shown.insert(row.split('`').next().unwrap_or_default(), named);
    }
    let kept: BTreeMap<&str, BTreeSet<&str>> = ROOMS
        .iter()
        .filter(|(room, _)| *room != "main")
        .map(|(room, may)| (*room, may.iter().copied().collect()))
        .collect();
    assert_eq!(shown, kept, "the table at the top of src/lib.rs and the one in tests/it/tidy.rs differ");
    for room in kept.keys() {
        assert!(text.contains(&format!("pub mod {room};")), "src/lib.rs declares no room {room}");
    }
}

#[test]
fn every_rust_file_is_declared_where_it_belongs() {
    let mut wrong = Vec::new();
    for (path, _) in rust_files("src").into_iter().chain(rust_files("tests/it")) {
        let file = Path::new(&path);
        let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap().to_str().unwrap());
        let (home, name) = match stem {
            "lib" | "main" => continue,
            "mod" => (folder.parent().unwrap(), folder.file_name().unwrap().to_str().unwrap()),
            _ => (folder, stem),
        };
        let declaration = format!("mod {name};");
        let parents = ["mod.rs", "lib.rs", "main.rs"].map(|parent| home.join(parent));
        let declared = parents.iter().filter_map(|parent| fs::read_to_string(root().join(parent)).ok());
        if !declared.into_iter().any(|text| text.lines().any(|line| line.trim_end().ends_with(&declaration)))
        {
            wrong.push(format!("{path}: nothing declares it, so nothing compiles it"));
        }
    }
    tidy(&wrong);
}

#[test]
fn every_rule_file_stands_in_the_list_of_rules() {
    let listed: BTreeSet<String> =
        BUILTIN.iter().map(|(path, _)| format!("src/analysis/rules/{path}.yml")).collect();
    let there: BTreeSet<String> =
        files("src/analysis/rules").into_iter().filter(|path| path.ends_with(".yml")).collect();
    assert_eq!(there, listed, "src/analysis/rules/list.rs and its folder differ");
}

#[test]
fn every_template_stands_in_the_list_of_templates() {
    let folder = "src/scaffold/templates/";
    let there: Vec<String> = files("src/scaffold/templates")
        .into_iter()
        .map(|path| path[folder.len()..].trim_end_matches(".tmpl").to_owned())
        .collect();
    let list = read("src/scaffold/list.rs");
    let listed: Vec<&str> =
        list.lines().filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\",")).collect();
    assert_eq!(there, listed, "src/scaffold/list.rs and its folder differ");
}

#[test]
fn every_kind_stands_in_the_list_of_kinds() {
    let list = read("src/kinds/mod.rs");
    let mut wrong = Vec::new();
    for (path, text) in rust_files("src/kinds") {
        for line in text.lines().filter_map(|line| line.strip_prefix("impl Kind for ")) {
            let kind = line.split([' ', '<']).next().unwrap_or_default();
            if !list.contains(&format!(".with::<{kind}>()")) {
                wrong.push(format!("{path}: kinds::all() does not list {kind}"));
            }
        }
    }
    tidy(&wrong);
}

#[test]
fn every_format_and_every_tool_stands_in_its_list() {
    let mut wrong = Vec::new();
    for folder in ["src/export", "src/agent/tools"].into_iter().filter(|folder| root().join(folder).is_dir())
    {
        let list = read(&format!("{folder}/mod.rs"));
        let names = files(folder).into_iter().filter_map(|path| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
            Some(name.strip_suffix("/mod").unwrap_or(name).to_owned())
        });
        let forgotten =
            names.filter(|name| name != "mod" && !name.contains('/') && !list.contains(&format!("{name}::")));
        wrong.extend(forgotten.map(|name| format!("{folder}/mod.rs does not list {name}")));
    }
    tidy(&wrong);
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |database: &str| -> BTreeSet<String> {
        let folder = format!("migrations/{database}");
        files(&folder).into_iter().map(|path| path[folder.len()..].to_owned()).collect()
    };
    assert_eq!(names("postgres"), names("sqlite"));
}

#[test]
fn every_setting_has_a_default_and_every_default_a_comment() {
    // Unknown names are refused and none is optional, so that reading the defaults compares the two lists.
    Config::defaults().unwrap();
    let declared = read("src/config/mod.rs");
    for word in ["serde(default", "Option<"] {
        let optional =
            declared.lines().any(|line| line.trim_start().starts_with("pub ") && line.contains(word));
        assert!(
            !optional,
            "a setting of src/config/mod.rs is optional ({word}): give it a line in default.toml"
        );
    }
    let mut wrong = Vec::new();
    for block in DEFAULTS.split("\n\n") {
        let mut explained = false;
        for line in block.lines() {
            explained |= line.starts_with('#');
            if line.contains(" = ") && !line.starts_with('#') && !explained && !block.starts_with("[queues.")
            {
                wrong.push(format!("config/default.toml: nothing explains {line}"));
            }
        }
    }
    tidy(&wrong);
}

#[test]
fn no_file_is_too_long_and_each_opens_with_a_sentence_about_itself() {
    let mut wrong = Vec::new();
    let all = ["src", "tests/it", "benches"].into_iter().flat_map(rust_files);
    for (path, text) in all.filter(|(path, _)| !path.contains("/fixtures/")) {
        let lines = text.lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{path}: has {lines} lines; {LONGEST_FILE} are the most"));
        }
        let first = text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") {
            wrong.push(format!("{path}: opens with no `//!` sentence"));
        }
    }
    tidy(&wrong);
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file does not find itself.
    let words = [("TO", "DO"), ("FIX", "ME"), ("to", "do!"), ("db", "g!("), ("#[all", "ow(")];
    tidy(&lines_with(&["src", "tests", "benches", "config", "migrations", ".ci"], &words));
}

#[test]
fn nothing_that_is_shipped_is_tied_to_one_machine() {
    // Tests may tell of imagined machines.
    let paths = [("/ho", "me/"), ("/Us", "ers/"), ("/ro", "ot/"), ("/wo", "rk/")];
    tidy(&lines_with(&["src", "benches", "config", "migrations", ".ci"], &paths));
}

/// The places below these folders where one of the words stands, each given in two halves.
fn lines_with(folders: &[&str], halves: &[(&str, &str)]) -> Vec<String> {
    let words: Vec<String> = halves.iter().map(|(start, end)| format!("{start}{end}")).collect();
    let mut found = Vec::new();
    for path in folders.iter().flat_map(|folder| files(folder)) {
        // Fixtures and rules are about bad code.
        let is_example = path.contains("/fixtures/") || path.ends_with(".yml");
        let Some(text) = fs::read_to_string(root().join(&path)).ok().filter(|_| !is_example) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let here = words.iter().filter(|word| line.contains(word.as_str()));
            found.extend(here.map(|word| format!("{path}:{}: {word}", number + 1)));
        }
    }
    found
}

/// Fails with all that is wrong, one line each.
#[track_caller]
fn tidy(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} things are out of place:\n{}", wrong.len(), wrong.join("\n"));
}

/// The room a file belongs to: the folder below `src`, or the file itself.
fn room_of(path: &str) -> String {
    let below = path.strip_prefix("src/").unwrap_or(path);
    below.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The rooms that a file names, however it does: `crate::…`, `crate::{…}`, or `super::` out of its own room.
fn rooms_used(path: &str, text: &str) -> BTreeSet<String> {
    let code: String = code_lines(text).flat_map(|line| [line, "\n"]).collect();
    let depth = Path::new(path).components().count() - if path.ends_with("/mod.rs") { 2 } else { 1 };
    let out_of_room = format!("\nuse {}", "super::".repeat(depth));
    ["crate::", "codeyard::", &out_of_room]
        .iter()
        .flat_map(|start| code.match_indices(*start).map(|(place, _)| &code[place + start.len()..]))
        .flat_map(first_names)
        .filter(|name| {
            root().join(format!("src/{name}.rs")).exists() || root().join("src").join(name).is_dir()
        })
        .collect()
}

/// What stands first behind `crate::`: one name, or the first names of each branch in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name_at = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![name_at(rest)] };
    let (mut names, mut depth) = (vec![name_at(group)], 0);
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name_at(&group[place + 1..])),
            _ => {}
        }
    }
    names
}

/// Whether a line of code names something of this crate.
fn names_crate(line: &str, name: &str) -> bool {
    let path = format!("{name}::");
    line.match_indices(&path).any(|(place, _)| {
        let before = line[..place].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '"' || c == ':')
    })
}

/// The lines of a file that are not only a comment.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// The Rust files below a folder, with their texts.
fn rust_files(folder: &str) -> Vec<(String, String)> {
    let rust = files(folder).into_iter().filter(|path| path.ends_with(".rs") && !path.contains("/fixtures/"));
    rust.map(|path| (path.clone(), read(&path))).collect()
}

/// All files below a folder, by their path from the root of the project, in order.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_scan_sees_every_way_to_name_a_room() {
    let text =
        "use crate::{jobs::{Context, Failure}, store};\nfn f() { crate::hub::wake() }\n// crate::http\n";
    let used = |path| rooms_used(path, text).into_iter().collect::<Vec<_>>();
    assert_eq!(used("src/kinds/mod.rs"), ["hub", "jobs", "store"]);
    let escapes = rooms_used("src/kinds/build/mod.rs", "\nuse super::super::http::router;\n");
    assert_eq!(escapes.into_iter().collect::<Vec<_>>(), ["http"]);
    assert!(names_crate("pub use axum::Router;", "axum") && !names_crate("my_axum::Router", "axum"));
}
