//! What a project says in its file, and when a report is good enough.

use codeyard::analysis::{
    Gate, GateVerdict, Options, PROJECT_FILE, Project, Report, Threshold, Unwatched, analyze, compare,
};
use codeyard::model::{Severity, SourceFile};

use super::{file, report};

const RULE: &str = "id: no-launch\nlanguage: python\nmessage: m\nrule:\n  pattern: launch($X)\n";

/// The report on a tree whose file says this, on a day in 2026.
fn with(said: &str, files: &[SourceFile]) -> Result<Report, String> {
    let mut files = [files, &[file(PROJECT_FILE, said)]].concat();
    let mut skipped = Vec::new();
    let project = Project::of(&files).map_err(|bad| bad.to_string())?;
    project.leave_out(&mut files, &mut skipped);
    let options = Options { today: "2026-06-15".parse().ok(), ..Options::default() };
    let options = project.complete(options, &files).map_err(|bad| bad.to_string())?;
    Ok(analyze(&files, skipped, &options, &Unwatched).unwrap())
}

fn rules(report: &Report) -> Vec<&str> {
    report.findings().map(|finding| finding.rule.as_str()).collect()
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    for (said, line, part) in [
        ("[analysis]\nlanguagse = []\n", 2, "languagse"),
        ("[analysis]\n\nlanguages = ['python', 'klingon']\n", 3, "klingon"),
        ("[analysis]\nexclude = [\n  'a',\n  '[z-a]',\n]\n", 4, "z-a"),
        ("[analysis]\ndisabled_rules = ['py-evil']\n", 2, "`py-evil`"),
        ("[analysis]\nrule_files = ['rules/*.yml']\n", 2, "rules/*.yml"),
        (
            "[analysis]\nrules = ['''\nid: x\nlanguage: python\nmessage: m\nrule: {kind: nonsense}\n''']\n",
            6,
            "nonsense",
        ),
        (
            "[analysis]\nrules = ['''\nid: x\nlanguage: klingon\nmessage: m\nrule: {kind: call}\n''']\n",
            4,
            "klingon",
        ),
        ("[severity]\n'py-eval-used' = 'terrible'\n", 2, "terrible"),
        ("[severity]\n'py-evil' = 'low'\n", 2, "`py-evil`"),
        ("[thresholds]\ncomplexity = -1\n", 2, "-1"),
        ("[thresholds]\nbeauty = 1\n", 2, "beauty"),
        ("[gate]\nmin_score = 11\n", 2, "from 0 to 10"),
        ("[gate]\nmin_coverage = 0.8\n", 2, "such as 80"),
        ("[gate]\nfail_on = 'sometimes'\n", 2, "sometimes"),
        ("x = 1\n", 1, "x"),
        ("\n[[suppress]]\nrule = 'py-eval-used'\n", 2, "reason"),
        ("[[suppress]]\nrule = 'py-eval-used'\nreason = ' '\n", 3, "reason"),
        ("\n[[suppress]]\nreason = 'all of it'\n", 2, "a rule, a path or a fingerprint"),
        ("[[suppress]]\nrule = 'py-evil'\nreason = 'x'\n", 1, "`py-evil`"),
        ("[[suppress]]\npath = '[z-a]'\nreason = 'x'\n", 2, "z-a"),
        ("[[suppress]]\npath = 'a'\nreason = 'x'\nuntil = 'soon'\n", 4, "2027-01-31"),
        ("[gate\n", 1, ""),
    ] {
        let refused = with(said, &[]).expect_err(said);
        let place = format!("codeyard.toml, line {line}: ");
        let place = if said.contains("rules = ['''") { "codeyard.toml: ".to_owned() } else { place };
        assert!(refused.starts_with(&place) && refused.contains(part), "{said}: {refused}");
        assert!(refused.contains(&format!("line {line}")), "{said}: {refused}");
    }
}

#[test]
fn a_file_that_would_cost_too_much_is_refused() {
    let globs = format!("[analysis]\nexclude = [{}]\n", "'*a*b*',".repeat(501));
    let known = "[[suppress]]\npath = 'a'\nreason = 'x'\n".repeat(1_001);
    let long = format!("# {}\n", "x".repeat(256 << 10));
    for (said, part) in [(globs, "500 globs"), (known, "1000 suppressions"), (long, "262144 bytes")] {
        assert!(with(&said, &[]).unwrap_err().contains(part));
    }
    let rules = [file("a.yml", format!("{RULE}# {}\n", "x".repeat(1 << 20)))];
    let refused = with("[analysis]\nrule_files = ['*.yml']\n", &rules).unwrap_err();
    assert!(refused.contains("codeyard.toml, line 2: the rules have more than 1048576 bytes"), "{refused}");
}

#[test]
fn the_example_can_be_used_as_it_stands() {
    let example = include_str!("../../../config/codeyard.example.toml");
    let files = [
        file("lint/a.yml", RULE),
        file("a.py", "import requests\nrequests.get(a, timeout=1)\nlaunch(b)\n"),
        file("tools/b.py", "import subprocess\nsubprocess.run(x, shell=True)\n"),
    ];
    let found = with(example, &files).unwrap();
    assert_eq!(rules(&found), ["use-our-client", "no-launch"]);
    assert_eq!(found.suppressed.len(), 1);
    assert_eq!(Project::read(example.as_bytes()).unwrap().gate.min_coverage, Some(80.0));
}

#[test]
fn files_rules_and_severities_are_the_projects_choice() {
    let files = [
        file("app.py", "import os\neval(a)\nlaunch(b)\nos.system('ls ' + c)\n"),
        file("gen/deep/made.py", "eval(a)\n"),
        file("gen/made.go", "package gen\n"),
        file("own/rules.yml", RULE),
    ];
    let said = "[analysis]\nexclude = ['gen/']\nrule_files = ['own/*.yml']\ndisabled_rules = ['py-os-system']\n\
                [severity]\npy-eval-used = 'info'\nno-launch = 'critical'\n";
    let found = with(said, &files).unwrap();
    assert_eq!(rules(&found), ["py-eval-used", "no-launch"]);
    let severities: Vec<Severity> = found.findings().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Info, Severity::Critical]);
    assert!(found.score.cap.is_none(), "a smell of medium confidence caps nothing");
    let left_out: Vec<_> = found.skipped.iter().map(|it| (it.path.as_str(), it.reason.as_str())).collect();
    assert_eq!(left_out, [("gen", "excluded by codeyard.toml")]);

    let inline = format!(
        "[analysis]\nlanguages = ['python']\nrules = ['''\n{RULE}''']\n[severity]\npy-eval-used = 'off'\n"
    );
    let found = with(&inline, &files).unwrap();
    assert_eq!(rules(&found), ["py-os-system", "no-launch"]);
    assert!(found.skipped.iter().any(|it| it.path == "gen/made.go"), "{:?}", found.skipped);
}

#[test]
fn a_callers_choice_of_languages_holds() {
    let files = [file("a.py", "eval(a)\n"), file("a.js", "eval(a)\n")];
    let project = Project::read(b"[analysis]\nlanguages = ['python']\n").unwrap();
    let options =
        Options { languages: Some(vec![codeyard::analysis::Language::JavaScript]), ..Options::default() };
    let options = project.complete(options, &files).unwrap();
    let report = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
    assert!(report.findings().all(|finding| finding.region.path == "a.js") && report.summary.findings > 0);
}

#[test]
fn thresholds_are_the_projects_choice() {
    let files = [file("a.py", "def f(a, b, c):\n    return a + b + c\n")];
    assert_eq!(rules(&with("", &files).unwrap()), [""; 0]);
    let found = with("[thresholds]\nparameters = 2\n", &files).unwrap();
    assert_eq!(rules(&found), ["too-many-parameters"]);
}

#[test]
fn what_is_known_is_suppressed_until_its_day_and_what_knows_nothing_is_named() {
    let files = [file("app.py", "eval(a)\nexec(b)\n"), file("tools/x.py", "eval(a)\n")];
    let plain = with("", &files).unwrap();
    let print = &plain.findings().find(|finding| finding.rule == "py-exec-used").unwrap().fingerprints.stable;
    let said = format!(
        "[[suppress]]\nrule = 'py-eval-used'\npath = 'tools/'\nreason = 'ours'\n\
         [[suppress]]\nfingerprint = '{print}'\nreason = 'for now'\nuntil = 2026-06-15\n\
         [[suppress]]\nrule = 'py-eval-used'\npath = 'app.py'\nreason = 'it was'\nuntil = '2026-06-14'\n\
         [[suppress]]\npath = 'nowhere/**'\nreason = 'left over'\n"
    );
    let found = with(&said, &files).unwrap();
    assert_eq!(rules(&found), ["py-eval-used"]);
    assert_eq!(found.summary.findings, 1);
    let by: Vec<_> = found.suppressed.iter().map(|it| (it.by.line, it.by.reason.as_str())).collect();
    assert_eq!(by, [(5, "for now"), (1, "ours")]);
    let unused: Vec<_> =
        found.unused_suppressions.iter().map(|it| (it.path.as_str(), it.line, it.expired)).collect();
    assert_eq!(unused, [(PROJECT_FILE, 9, true), (PROJECT_FILE, 14, false)]);
    assert!(found.quality_score > plain.quality_score);
}

/// Whether each condition holds, and what was found.
fn judged(gate: Gate, report: &Report) -> Vec<(bool, String)> {
    let GateVerdict { passed, conditions } = gate.judge(report);
    assert_eq!(passed, conditions.iter().all(|condition| condition.passed));
    conditions.into_iter().map(|condition| (condition.passed, condition.found)).collect()
}

#[test]
fn a_gate_says_which_of_its_conditions_hold() {
    let found = report(&[file("a.py", "import os\neval(a)\nos.system('ls ' + a)\n")]);
    let fails = |threshold| Gate { fail_on: Some(threshold), ..Gate::default() };
    assert_eq!(judged(fails(Threshold::Critical), &found), [(true, "no finding is critical".to_owned())]);
    assert_eq!(judged(fails(Threshold::High), &found), [(false, "2 findings are high or worse".to_owned())]);
    assert_eq!(judged(fails(Threshold::Never), &found), []);
    let gate = Gate { min_score: Some(9.5), min_coverage: Some(50.0), ..Gate::default() };
    let score = format!("the score is {:.1}", found.quality_score.unwrap());
    assert_eq!(
        judged(gate, &found),
        [(false, score), (false, "there is no coverage report in the tree".to_owned())]
    );
    let covered = report(&[
        file("a.py", "x = 1\ny = 2\n"),
        file("lcov.info", "SF:a.py\nDA:1,1\nDA:2,0\nend_of_record\n"),
    ]);
    assert_eq!(judged(gate, &covered)[1], (true, "tests reach 50.0 % of the lines".to_owned()));
    assert!(!judged(Gate { min_coverage: Some(50.1), ..Gate::default() }, &covered)[0].0);
}

#[test]
fn against_a_baseline_only_what_is_new_counts_unless_told_otherwise() {
    let before = report(&[file("a.py", "eval(a)\n")]);
    let mut after = report(&[file("a.py", "# moved\neval(a)\n")]);
    compare(&before, &mut after, "what was");
    let gate = Gate { fail_on: Some(Threshold::Info), ..Gate::default() };
    assert!(gate.judge(&after).passed);
    assert!(!Gate { new_only: Some(false), ..gate }.judge(&after).passed);
    assert!(!Gate { new_only: Some(true), ..gate }.judge(&before).passed, "without a baseline all are new");
}

#[test]
fn of_several_gates_the_first_that_says_something_holds() {
    let project = Project::read(b"[gate]\nfail_on = 'low'\nmin_score = 7.5\nmin_coverage = 0\n").unwrap();
    let house = Gate { fail_on: Some(Threshold::High), min_coverage: Some(80.0), ..Gate::default() };
    let both = Gate { fail_on: Some(Threshold::Never), ..Gate::default() }.or(project.gate).or(house);
    let expected = Gate {
        fail_on: Some(Threshold::Never),
        new_only: None,
        min_score: Some(7.5),
        min_coverage: Some(0.0),
    };
    assert_eq!(both, expected);
}
