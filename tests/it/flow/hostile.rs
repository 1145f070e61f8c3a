//! Broken code and code that is made to be hard: an answer, always, and the same one.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{file, found, report};

#[test]
fn code_that_is_nested_without_end_is_followed_as_far_as_it_goes() {
    let deep = format!("from flask import request\nx = {}request.args{}\n", "(".repeat(900), ")".repeat(900));
    let sums = format!("from flask import request\nx = {}\n", vec!["request.args['a']"; 3_000].join(" + "));
    let blocks: String = (0..90).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect();
    let calls: String =
        (0..200).map(|n| format!("def f{n}(x):\n    return f{}(f{}(x))\n", n + 1, (n + 2) % 200)).collect();
    for text in [deep, sums, blocks, format!("from flask import request\n{calls}eval(f0(request.args))\n")] {
        report(&[file("a.py", &text)]);
    }
}

#[test]
fn a_file_that_takes_too_long_is_broken_off_and_says_so() {
    let mut text = "from flask import request\nx = request.args\n".to_owned();
    for n in 0..20 {
        text.push_str(&format!("def f{n}(a):\n"));
        for other in 0..20 {
            text.push_str(&format!("    a = f{other}(a) + f{}(a)\n", (other + n) % 20));
        }
        text.push_str("    return a\n");
    }
    text.push_str("f0(request.args['x'])\n");
    let report = report(&[file("a.py", &text)]);
    let notes: Vec<_> = report.skipped.iter().map(|skipped| skipped.reason.as_str()).collect();
    assert!(notes.iter().any(|note| note.starts_with("data flow:")), "{notes:?}");
}

#[test]
fn recursion_ends() {
    let text = "from flask import request\ndef f(x):\n    return g(x)\ndef g(x):\n    return f(x + 'a')\n\
                eval(f(request.args['a']))\n";
    assert_eq!(found(&report(&[file("a.py", text)]), "code-injection").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn no_mutilation_of_a_fixture_breaks_the_analysis(
        which in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        length in 0_usize..60,
        insert in "[(){}\\[\\]:;=+.,'\"a-z \n]{0,6}",
    ) {
        let names = [
            "python/flask.py",
            "java/Shop.java",
            "javascript/server.js",
            "go/server.go",
            "php/shop.php",
            "ruby/users_controller.rb",
        ];
        let name = names[which.index(names.len())];
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/flow/fixtures");
        let text = fs::read_to_string(root.join(name)).unwrap();
        let start = from.index(text.len());
        let end = (start + length).min(text.len());
        let mutilated = [text.as_bytes()[..start].to_vec(), insert.into_bytes(), text.as_bytes()[end..].to_vec()];
        let source = file(name, &String::from_utf8_lossy(&mutilated.concat()));
        let once = report(std::slice::from_ref(&source));
        prop_assert_eq!(once, report(&[source]));
    }
}
