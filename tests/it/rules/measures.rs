//! Lines and complexity of functions, counted by hand.

use codeyard::analysis::metrics::FunctionMetrics;

use super::{file, report};

/// Name, parameters, cyclomatic and cognitive complexity, nesting of every function.
type Counts<'a> = (&'a str, usize, usize, usize, usize);

#[track_caller]
fn assert_counts(path: &str, code: &str, expected: &[Counts<'_>]) {
    let report = report(&[file(path, code)]);
    let metrics = &report.metrics.files[0];
    assert_eq!(metrics.syntax_errors, 0, "{path} does not parse");
    let counts = |f: &FunctionMetrics| (f.name.clone(), f.parameters, f.cyclomatic, f.cognitive, f.nesting);
    let found: Vec<_> = metrics.functions.iter().map(counts).collect();
    let expected: Vec<_> =
        expected.iter().map(|(name, p, c, k, n)| ((*name).to_owned(), *p, *c, *k, *n)).collect();
    assert_eq!(found, expected, "{path}: (name, parameters, cyclomatic, cognitive, nesting)");
}

#[test]
fn python() {
    let code = r#"
class A:
    def f(self, a, /, b=1, *args):
        """Documentation."""
        if a and b:                    # 1 for if, 1 for and
            for x in b:                # 2
                if x:                  # 3
                    return self.f(a)   # 1 for recursion
                elif x > 1:            # 1
                    pass
                else:                  # 1
                    pass
        return [y for y in a if y]     # two decisions, nothing to follow

def g(k):
    try:
        return 1 if k else 2           # 1
    except (KeyError, ValueError):     # 1
        while k and (k or g):          # 2 for while, 2 for and, or
            k = lambda: 3 if k else 4  # 2 + 1 for the lambda + 1
    else:
        pass

def decorated(h):
    def inner():
        if h:                          # 1: a function that only declares adds nothing
            pass
    return inner
"#;
    let expected = [
        ("A.f", 3, 8, 10, 3),
        ("g", 1, 7, 10, 4),
        ("decorated", 1, 1, 0, 0),
        ("decorated.inner", 0, 2, 1, 1),
    ];
    assert_counts("a.py", code, &expected);
}

#[test]
fn the_published_examples_of_cognitive_complexity() {
    let code = "
class A {
  int sumOfPrimes(int max) {
    int total = 0;
    OUT: for (int i = 1; i <= max; ++i) {
      for (int j = 2; j < i; ++j) {
        if (i % j == 0) {
          continue OUT;
        }
      }
      total += i;
    }
    return total;
  }
  String getWords(int number) {
    switch (number) {
      case 1: return \"one\";
      case 2: return \"a couple\";
      case 3: return \"a few\";
      default: return \"lots\";
    }
  }
}
";
    assert_counts("A.java", code, &[("A.sumOfPrimes", 1, 4, 7, 3), ("A.getWords", 1, 4, 1, 1)]);
}

#[test]
fn java_and_its_chains() {
    let code = "
class A {
  A(int a, String... rest) {
    if (a > 0 && a < 9 || a == 20 || a == 30) { go(); }   // 1, and 2 for two sequences
    else if (a == 7) { stop(); }                           // 1
    else { wait(); }                                       // 1
    run(() -> { if (a > 1) { go(); } });                   // 2: nested in a lambda
  }
  abstract void g();
}
";
    assert_counts("A.java", code, &[("A.A", 2, 7, 7, 2)]);
}

#[test]
fn javascript_and_typescript() {
    let code = "
const named = (a, b) => {
  if (a) {                     // 1
    list.forEach((x) => {
      if (x && b) go();        // 3 for if, 1 for &&; as its own function 2
    });
  } else if (b) {              // 1
    stop();
  } else {                     // 1
    for (const k in a) go(k);  // 2
  }
};
const short = (a) => a ? 1 : 2;
class A { run() { try { go(); } catch { stop(); } } }
";
    let expected = [("named", 2, 4, 9, 2), ("named.(anonymous)", 1, 3, 2, 1), ("A.run", 0, 2, 1, 1)];
    assert_counts("a.js", code, &expected);
    assert_counts("a.ts", code, &expected);
    assert_counts("a.tsx", code, &expected);
}

#[test]
fn go() {
    let code = "
package a

func (s *Store) Save(a, b int, c string) error {
	if a > 0 && b > 0 { // 2
		return nil
	} else if a < 0 { // 1
		return nil
	} else { // 1
		for i := range c { // 2
			switch i { // 3
			case 1:
			default:
			}
		}
	}
	select { // 1
	case <-x:
	}
	goto end // 1
end:
	return nil
}
";
    assert_counts("a.go", code, &[("Store.Save", 3, 7, 11, 3)]);
}

#[test]
fn rust() {
    let code = "
impl Store {
    fn save(&self, a: u8, b: u8) -> u8 {
        if a > 0 && b > 0 { 1 } else if a > 3 { 2 } else { 3 }; // 1 + 1, 1, 1
        'outer: loop {                                          // 1
            match a {                                           // 2
                1 | 2 => break 'outer,                          // 1
                3 if b > 1 => continue,
                _ => {}
            }
        }
        list.map(|x| if x { 1 } else { 2 })                     // 2 in the closure, 1
    }
}
";
    assert_counts("a.rs", code, &[("Store.save", 2, 8, 11, 2)]);
}

#[test]
fn c_and_cpp() {
    let code = "
static int *f(int a, char *b) {
    if (a && b) {                 // 2
        do { a--; } while (a);    // 2
    } else if (!a) {              // 1
        goto end;                 // 1
    } else {                      // 1
        switch (a) {              // 2
        case 1: break;
        default: break;
        }
    }
end:
    return a ? b : 0;             // 1
}
int g(void) { return 1; }
";
    let expected = [("f", 2, 7, 10, 2), ("g", 0, 1, 0, 0)];
    assert_counts("a.c", code, &expected);
    assert_counts("a.cpp", code, &expected);
    let code = "
namespace n {
int A::f(int a) {
  for (auto x : list) {                       // 1
    try { go(); } catch (const E& e) {}       // 2
    run([&] { if (a) go(); });                // 3
  }
}
}
";
    assert_counts("a.cc", code, &[("n.A::f", 1, 4, 6, 3)]);
}

#[test]
fn ruby() {
    let code = "
class A
  def f(a, b = 1)
    if a && b             # 2
      go
    elsif a               # 1
      stop
    else                  # 1
      case b              # 2
      when 1 then go
      else stop
      end
    end
    go unless b           # 1
    begin
      go
    rescue KeyError       # 1
      stop
    end
    a ? b : 1             # 1
  end
end
";
    assert_counts("a.rb", code, &[("A.f", 2, 8, 9, 2)]);
}

#[test]
fn php() {
    let code = "<?php
class A {
    function f($a, $b = 1) {
        if ($a && $b) {              // 2
            foreach ($a as $x) {     // 2
                go($x);
            }
        } elseif ($a) {              // 1
            stop();
        } else {                     // 1
            stop();
        }
        switch ($a) {                // 1
            case 1: break;
            default: break;
        }
        try { go(); } catch (E $e) { stop(); }  // 1
        return $a ? 1 : 2;           // 1
    }
}
";
    assert_counts("a.php", code, &[("A.f", 2, 8, 9, 2)]);
}

#[test]
fn every_line_is_code_comment_or_blank() {
    let lines = |path: &str, code: &str| {
        let lines = report(&[file(path, code)]).metrics.files[0].lines;
        assert_eq!(lines.physical, lines.code + lines.comment + lines.blank);
        (lines.code, lines.comment, lines.blank)
    };
    assert_eq!(lines("a.py", "'''doc\n\nmore'''\n# c\n\nx = 1  # c\ny = '''a\nb'''\n"), (3, 3, 2));
    assert_eq!(lines("a.c", "/* a\n b */\n\nint x; /* c */\n// d\n"), (1, 3, 1));
    assert_eq!(lines("a.rs", "//! a\n/// b\nfn f() {} // c\n"), (1, 2, 0));
    assert_eq!(lines("a.rb", "=begin\na\n=end\nputs 1\n"), (1, 3, 0));
    assert_eq!(lines("a.php", "<?php\n# a\n$x = 1;\n"), (2, 1, 0));
    assert_eq!(lines("a.md", "# title\n\ntext\n"), (2, 0, 1));
    assert_eq!(lines("a.py", ""), (0, 0, 0));
}

#[test]
fn halstead_counts_what_is_written() {
    let report = report(&[file("a.c", "int f(int a) { return a + a * 2; }\n")]);
    let halstead = report.metrics.files[0].functions[0].halstead;
    // Operators: ( { return + *; operands: int int f a a a 2.
    assert_eq!((halstead.distinct_operators, halstead.operators), (5, 5));
    assert_eq!((halstead.distinct_operands, halstead.operands), (4, 7));
    assert!((halstead.volume - 12.0 * 9_f64.log2()).abs() < 0.01);
    assert!((halstead.difficulty - 5.0 / 2.0 * 7.0 / 4.0).abs() < 0.01);
}

#[test]
fn a_function_beyond_a_limit_is_a_finding_on_its_first_line() {
    let nested =
        |levels: usize| (1..=levels).map(|n| format!("{}if x:\n", "    ".repeat(n))).collect::<String>();
    let deep = |levels: usize| {
        format!("\n\nclass A:\n  def f(x):\n{}{}pass\n", nested(levels), "    ".repeat(levels + 1))
    };
    let found = |code: &str| {
        let report = report(&[file("a.py", code)]);
        let found =
            report.findings().map(|f| (f.rule.clone(), f.region.line, f.region.column, f.message.clone()));
        found.collect::<Vec<_>>()
    };
    // Five levels cost 1 + 2 + 3 + 4 + 5 = 15, which is the most; six cost 21.
    assert_eq!(found(&deep(5)), []);
    let message = |text: &str| format!("`A.f` has {text}");
    let expected = [
        ("complex-function".to_owned(), 4, 3, message("a cognitive complexity of 21")),
        ("deep-nesting".to_owned(), 4, 3, message("this many levels of nesting: 6")),
    ];
    assert_eq!(found(&deep(6)), expected);
    let many = |count: usize| {
        format!("def f({}):\n    pass\n", (0..count).map(|n| format!("a{n}, ")).collect::<String>())
    };
    assert_eq!((found(&many(8)).len(), found(&many(9))[0].0.as_str()), (0, "too-many-parameters"));
    let long = |lines: usize| format!("def f():\n{}", "    g(1)\n".repeat(lines - 1));
    assert_eq!((found(&long(100)).len(), found(&long(101))[0].0.as_str()), (0, "long-function"));
    let known = deep(6).replace("def f(x):", "def f(x):  # noqa: C901, PLR1702");
    assert_eq!(found(&known), []);
}
