//! `--fix`, its preview, and `--watch`.

use std::path::PathBuf;

use tempfile::TempDir;

use super::program::{Program, codeyard, run};

const BAD: &str = "def f(x):\n    if x is 'a':\n        raise NotImplemented\n";
const GOOD: &str = "def f(x):\n    if x == 'a':\n        raise NotImplementedError\n";

struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(made.path("app")).unwrap();
        std::fs::write(made.path("app/a.py"), BAD).unwrap();
        std::fs::write(made.path("app/b.py"), "eval(x)\n").unwrap();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn root(&self) -> String {
        self.0.path().display().to_string()
    }
}

#[tokio::test]
async fn what_is_certain_is_mended_and_the_rest_reported() {
    let tree = Tree::new();
    let preview = run(&["analyze", &tree.root(), "--fix", "--dry-run", "--no-cache"]).await;
    assert!(preview.stderr.contains("2 findings would be fixed."), "{}", preview.stderr);
    let expected = "\
--- a/app/a.py
+++ b/app/a.py
@@ -1,3 +1,3 @@
 def f(x):
-    if x is 'a':
-        raise NotImplemented
+    if x == 'a':
+        raise NotImplementedError
";
    assert_eq!(preview.expect(1), expected);
    assert_eq!(tree.text("app/a.py"), BAD, "a preview writes nothing");

    let mended = run(&["analyze", &tree.root(), "--fix", "--no-cache"]).await;
    assert!(mended.stderr.contains("Fixed app/a.py:2:8 py-is-literal\n"), "{}", mended.stderr);
    assert!(mended.stderr.contains("2 findings fixed in 1 file."), "{}", mended.stderr);
    let text = mended.expect(1);
    assert!(text.contains("py-eval-used") && !text.contains("py-is-literal"), "{text}");
    assert_eq!((tree.text("app/a.py").as_str(), tree.text("app/b.py").as_str()), (GOOD, "eval(x)\n"));

    let preview = run(&["analyze", &tree.root(), "--fix", "--dry-run"]).await;
    assert_eq!(preview.expect(0), "");
    let said = run(&["analyze", "https://example.org/x.git", "--fix"]).await.refused();
    assert!(said.contains("this machine only"), "{said}");
}

#[tokio::test]
async fn one_file_is_mended_where_it_lies_and_a_rule_that_finds_its_own_fix_comes_to_an_end() {
    let tree = Tree::new();
    let file = tree.path("app/a.py").display().to_string();
    run(&["analyze", &file, "--fix"]).await.expect(0);
    assert_eq!(tree.text("app/a.py"), GOOD);

    let rule = tree.path("rule.yml");
    std::fs::write(
        &rule,
        "id: grow\nlanguage: python\nmessage: m\nfix: f(f($A))\nrule: { pattern: f($A) }\n",
    )
    .unwrap();
    std::fs::write(tree.path("app/b.py"), "f(1)\n").unwrap();
    let ended = run(&["analyze", &tree.root(), "--fix", "--rules", rule.to_str().unwrap()]).await;
    assert!(ended.stderr.contains("After 10 rounds"), "{}", ended.stderr);
    ended.expect(0);
}

#[tokio::test]
async fn a_change_is_seen_and_an_interrupt_ends_the_watch_with_0() {
    let tree = Tree::new();
    let root = tree.root();
    let mut watch = Program::start(&mut codeyard(&["analyze", &root, "--watch"]));
    watch.line_with("Fails: 1 finding is high or worse.").await;
    watch.line_with("Watching for changes").await;
    std::fs::write(tree.path("app/b.py"), "x = 1\n").unwrap();
    watch.line_with("Passes: no finding is high or worse.").await;
    watch.line_with("Watching for changes").await;
    std::fs::create_dir(tree.path("app/new")).unwrap();
    std::fs::write(tree.path("app/new/c.py"), "eval(x)\n").unwrap();
    watch.line_with("Fails: 1 finding is high or worse.").await;
    watch.line_with("Watching for changes").await;
    std::fs::write(tree.path("codeyard.toml"), "[gate]\nfail_onn = 'never'\n").unwrap();
    watch.line_with("line 2: unknown field `fail_onn`").await;
    watch.line_with("Watching for changes").await;
    std::fs::write(tree.path("codeyard.toml"), "[gate]\nfail_on = 'never'\n").unwrap();
    watch.line_with("Findings fail nothing here.").await;
    watch.signal("INT");
    watch.ends_with(0).await;
}
