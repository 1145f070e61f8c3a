//! The list of checks: what each says, and for which languages it is made.

use crate::analysis::languages::Language::{
    self, Cpp, Go, Java, JavaScript, Php, Python, Ruby, Rust, Tsx, TypeScript,
};
use crate::model::{Category, Confidence, Severity};

/// A check, apart from its code.
pub(super) struct Check {
    pub(super) id: &'static str,
    pub(super) languages: &'static [Language],
    pub(super) category: Category,
    pub(super) severity: Severity,
    pub(super) confidence: Confidence,
    pub(super) cwe: &'static [&'static str],
    pub(super) owasp: &'static [&'static str],
    pub(super) message: &'static str,
    pub(super) why: &'static str,
    pub(super) instead: &'static str,
    pub(super) example: &'static str,
    pub(super) references: &'static [&'static str],
    pub(super) aliases: &'static [&'static str],
    pub(super) in_tests: bool,
}

const BUG: Check = Check {
    id: "",
    languages: &Language::ALL,
    category: Category::Bug,
    severity: Severity::Medium,
    confidence: Confidence::High,
    cwe: &[],
    owasp: &[],
    message: "",
    why: "",
    instead: "",
    example: "",
    references: &[],
    aliases: &[],
    in_tests: true,
};

/// Every check.
pub(super) static CHECKS: &[Check] = &[
    Check {
        id: "unreachable-code",
        cwe: &["CWE-561"],
        message: "Nothing leads to this line",
        why: "The statement before it leaves the block; what follows was meant to run and never does.",
        instead: "Remove it, or move the jump into the condition it was meant for.",
        example: "return total; log(total);",
        references: &["https://cwe.mitre.org/data/definitions/561.html"],
        aliases: &["W0101", "unreachable", "no-unreachable", "unreachable_code"],
        ..BUG
    },
    Check {
        id: "duplicate-key",
        languages: &[Python, JavaScript, TypeScript, Tsx, Php, Ruby],
        cwe: &["CWE-1109"],
        message: "A key stands twice in this table",
        why: "The last value wins without a word; the first one was never there.",
        instead: "Remove one of the two, or correct the key.",
        example: "ports = {'http': 80, 'https': 443, 'http': 8080}",
        references: &["https://eslint.org/docs/latest/rules/no-dupe-keys"],
        aliases: &["F601", "W0109", "duplicate-key", "no-dupe-keys", "Lint/DuplicateHashKey"],
        ..BUG
    },
    Check {
        id: "duplicate-condition",
        cwe: &["CWE-561"],
        severity: Severity::High,
        message: "The same condition was asked above",
        why: "The first branch that fits is taken, so this one never runs; another condition was meant.",
        instead: "Write the condition that was meant, or remove the branch.",
        example: "if (a) { x() } else if (b) { y() } else if (a) { z() }",
        references: &["https://eslint.org/docs/latest/rules/no-dupe-else-if"],
        aliases: &["no-dupe-else-if", "Lint/DuplicateElsifCondition", "bugprone-branch-clone"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "duplicate-case",
        languages: &[JavaScript, TypeScript, Tsx, Php, Ruby, Go],
        cwe: &["CWE-561"],
        severity: Severity::High,
        message: "The same case stands above",
        why: "The first case that fits is taken, so this one never runs; another value was meant.",
        instead: "Write the value that was meant, or remove the case.",
        example: "switch (day) { case 1: a(); break; case 1: b() }",
        references: &["https://eslint.org/docs/latest/rules/no-duplicate-case"],
        aliases: &["no-duplicate-case", "Lint/DuplicateCaseCondition"],
        ..BUG
    },
    Check {
        id: "same-branches",
        cwe: &["CWE-1164"],
        message: "Both branches do the same",
        why: "The condition decides about nothing; one of the branches was meant to differ.",
        instead: "Correct the branch, or remove the condition.",
        example: "if (ready) { start() } else { start() }",
        references: &["https://rules.sonarsource.com/javascript/RSPEC-3923/"],
        aliases: &["if_same_then_else", "bugprone-branch-clone", "Style/IdenticalConditionalBranches"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "constant-condition",
        severity: Severity::Low,
        cwe: &["CWE-570", "CWE-571"],
        message: "The condition is a constant",
        why: "One of the branches never runs; often it is left over from trying something out.",
        instead: "Remove the condition, and the branch that never runs.",
        example: "if (false) { cleanup() }",
        references: &["https://eslint.org/docs/latest/rules/no-constant-condition"],
        aliases: &["no-constant-condition", "W0125", "using-constant-test", "Lint/LiteralAsCondition"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "same-operands",
        cwe: &["CWE-571", "CWE-1164"],
        message: "Both sides are the same",
        why: "The second side changes nothing; something else was meant to stand there.",
        instead: "Write what was meant, or remove one side.",
        example: "if (width > 0 && width > 0) draw()",
        references: &["https://rules.sonarsource.com/java/RSPEC-1764/"],
        aliases: &[
            "PLR0124",
            "comparison-with-itself",
            "misc-redundant-expression",
            "Lint/BinaryOperatorWithIdenticalOperands",
        ],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "self-assignment",
        cwe: &["CWE-1164"],
        message: "This assigns a value to itself",
        why: "Nothing changes; another name was meant, often a field or a parameter.",
        instead: "Write the name that was meant, or remove the line.",
        example: "width = width;",
        references: &["https://eslint.org/docs/latest/rules/no-self-assign"],
        aliases: &["no-self-assign", "PLW0127", "W0127", "self-assigning-variable", "Lint/SelfAssignment"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "function-redefined",
        languages: &[Python, JavaScript, TypeScript, Tsx, Ruby],
        cwe: &["CWE-561"],
        severity: Severity::High,
        message: "A method of this name stands above in the class",
        why: "The second one replaces the first, which is never called; in tests, it never runs.",
        instead: "Give one of the two another name, or remove it.",
        example: "class A:\n    def total(self): return 1\n    def total(self): return 2",
        references: &["https://eslint.org/docs/latest/rules/no-dupe-class-members"],
        aliases: &["F811", "E0102", "function-redefined", "no-dupe-class-members", "Lint/DuplicateMethods"],
        ..BUG
    },
    Check {
        id: "unused-private-function",
        languages: &[Python, JavaScript, TypeScript, Tsx, Java, Php],
        category: Category::Smell,
        severity: Severity::Low,
        cwe: &["CWE-561"],
        message: "Nobody calls this function, and nobody outside can",
        why: "It is read, tested and kept up to date for nothing, or its call was forgotten.",
        instead: "Remove it, or call it where it was meant to be called.",
        example: "private int total() { return 1; }",
        references: &["https://cwe.mitre.org/data/definitions/561.html"],
        aliases: &[
            "unused-private-member",
            "W0238",
            "no-unused-private-class-members",
            "UnusedPrivateMethod",
            "unused-function",
        ],
        ..BUG
    },
    Check {
        id: "too-many-returns",
        category: Category::Smell,
        severity: Severity::Low,
        cwe: &["CWE-1121"],
        message: "A function has more than 12 places that return",
        why: "Whoever adds a step at the end has to find every way out.",
        instead: "Use a table, or split the function where its decisions part.",
        example: "a function with 13 `return` statements",
        references: &[
            "https://pylint.readthedocs.io/en/stable/user_guide/messages/refactor/too-many-return-statements.html",
        ],
        aliases: &["PLR0911", "R0911", "too-many-return-statements"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "large-class",
        languages: &[Python, JavaScript, TypeScript, Tsx, Java, Cpp, Ruby, Php, Rust],
        category: Category::Smell,
        severity: Severity::Low,
        cwe: &["CWE-1093"],
        message: "A class has more than 50 methods",
        why: "It does several things that change for different reasons, and everything can reach everything.",
        instead: "Move the methods that use the same fields into a class of their own.",
        example: "a class with 51 methods",
        references: &["https://refactoring.guru/smells/large-class"],
        aliases: &["PLR0904", "R0904", "too-many-public-methods", "TooManyMethods"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "catastrophic-regex",
        languages: &[Python, JavaScript, TypeScript, Tsx, Java, Ruby, Php],
        category: Category::Security,
        confidence: Confidence::Medium,
        cwe: &["CWE-1333"],
        owasp: &["A05:2021"],
        message: "This expression may take exponential time",
        why: "A repetition within a repetition can cut a text in ever more ways; on a text that almost fits, \
              all of them are tried.",
        instead: "Let each character be taken by one repetition only, or use a possessive or atomic one.",
        example: "/^(\\w+\\s?)*$/.test(text)",
        references: &["https://owasp.org/www-community/attacks/Regular_expression_Denial_of_Service_-_ReDoS"],
        aliases: &["redos", "security/detect-unsafe-regex", "no-super-linear-backtracking"],
        in_tests: false,
        ..BUG
    },
    Check {
        id: "bidirectional-text",
        category: Category::Security,
        confidence: Confidence::Medium,
        cwe: &["CWE-1007"],
        owasp: &["A08:2021"],
        message: "Invisible characters change the direction of the text here",
        why: "The line looks different from what the compiler reads; a comment may hide code.",
        instead: "Remove them, or write them as escapes where a text needs them.",
        example: "if role != 'user\\u202e': # …",
        references: &["https://trojansource.codes"],
        aliases: &["PLE2502", "B613", "trojansource", "bidirectional-unicode"],
        ..BUG
    },
];
