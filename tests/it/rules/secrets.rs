//! Secrets: found by their format, never shown, told apart from placeholders.
//!
//! The values are put together here, so that no scanner of secrets takes this file for a leak.

use codeyard::analysis::secrets::rules;
use codeyard::analysis::{Options, Report, Unwatched, analyze};
use codeyard::model::{Confidence, Severity};

use super::{file, report};

/// Characters that look random and are not.
fn noise(length: usize, alphabet: &str) -> String {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut state = 7_usize;
    let next = |_| {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
        letters[(state / 65_536) % letters.len()]
    };
    (0..length).map(next).collect()
}

const ALPHANUMERIC: &str = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A value of each format, by the id of its rule.
fn values() -> Vec<(&'static str, String)> {
    let word = |length| noise(length, ALPHANUMERIC);
    let upper = |length| noise(length, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567");
    let hex = |length| noise(length, "0123456789abcdef");
    vec![
        ("secret-aws-access-key", format!("AKIA{}", upper(16))),
        ("secret-github-token", format!("ghp_{}", word(36))),
        ("secret-gitlab-token", format!("glpat-{}", word(20))),
        ("secret-slack-token", format!("xoxb-{}-{}", noise(12, "2345678901"), word(24))),
        ("secret-stripe-key", format!("sk_live_{}", word(24))),
        ("secret-google-api-key", format!("AIza{}", word(35))),
        ("secret-openai-key", format!("sk-{}T3BlbkFJ{}", word(20), word(20))),
        ("secret-anthropic-key", format!("sk-ant-api03-{}", word(93))),
        ("secret-npm-token", format!("npm_{}", word(36))),
        ("secret-pypi-token", format!("pypi-AgEIcHlwaS5vcmc{}", word(60))),
        ("secret-sendgrid-key", format!("SG.{}.{}", word(22), word(43))),
        ("secret-digitalocean-token", format!("dop_v1_{}", noise(64, "0123456789abcdef"))),
        ("secret-huggingface-token", format!("hf_{}", noise(34, &ALPHANUMERIC[..48]))),
        ("secret-azure-storage-key", format!("AccountKey={}==", word(86))),
        ("secret-google-oauth-secret", format!("GOCSPX-{}", word(28))),
        ("secret-docker-token", format!("dckr_pat_{}", word(27))),
        ("secret-twilio-key", format!("twilio:SK{}", hex(32))),
        ("secret-telegram-token", format!("{}:AA{}", noise(9, "2345678901"), word(33))),
        ("secret-discord-token", format!("discord M{}.{}.{}", word(23), word(6), word(27))),
        ("secret-shopify-token", format!("shpat_{}", hex(32))),
        ("secret-square-token", format!("sq0atp-{}", word(22))),
        ("secret-mailgun-key", format!("mailgun key-{}", hex(32))),
        ("secret-datadog-key", format!("dd_api_key={}", hex(32))),
        ("secret-new-relic-key", format!("NRAK-{}", upper(27))),
        ("secret-heroku-key", format!("HRKU-{}", word(40))),
        ("secret-cloudflare-key", format!("v1.0-{}-{}", hex(24), hex(146))),
        ("secret-vault-token", format!("hvs.{}", word(24))),
        ("secret-terraform-token", format!("{}.atlasv1.{}", word(14), word(64))),
        ("secret-grafana-token", format!("glsa_{}_{}", word(32), hex(8))),
        ("secret-databricks-token", format!("dapi{}", hex(32))),
        ("secret-postman-key", format!("PMAK-{}-{}", hex(24), hex(34))),
        ("secret-linear-key", format!("lin_api_{}", word(40))),
        ("secret-rubygems-key", format!("rubygems_{}", hex(48))),
        ("secret-sentry-token", format!("sntryu_{}", hex(64))),
        ("secret-atlassian-token", format!("ATATT3{}", word(190))),
        ("secret-azure-client-secret", format!("{}8Q~{}", word(3), word(34))),
        ("secret-azure-shared-key", format!("SharedAccessKey={}=", word(43))),
        ("secret-private-key", format!("-----BEGIN RSA {} KEY-----\\n{}\\n", "PRIVATE", word(120))),
        ("secret-json-web-token", format!("eyJ{}.eyJ{}.{}", word(20), word(30), word(43))),
        ("secret-in-url", format!("postgres://app:{}@db.internal/app", word(12))),
        ("secret-in-connection-string", format!("Server=db;Database=a;User Id=sa;Password={};", word(12))),
        ("secret-in-assignment", format!("\", api_key=\"{}", word(24))),
    ]
}

#[test]
fn every_format_is_found_and_never_shown() {
    let values = values();
    assert_eq!(
        values.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        rules().iter().map(|r| r.id.as_str()).collect::<Vec<_>>()
    );
    for (id, value) in values {
        for path in ["src/settings.py", "src/settings.yml"] {
            let report = report(&[file(path, format!("connect(\"{value}\")\n"))]);
            let found: Vec<_> = report.findings().map(|finding| finding.rule.as_str()).collect();
            assert_eq!(found, [id], "{path}: {value}");
            let json = serde_json::to_string(&report).unwrap();
            let secret = value.split('@').next().unwrap();
            let tail = &secret[secret.len() - 10..];
            assert!(!json.contains(tail), "{id} is shown: {json}");
        }
    }
}

#[test]
fn a_secret_is_hidden_in_the_findings_of_other_rules_too() {
    let value = noise(24, ALPHANUMERIC);
    let code = format!("import os\nos.system(\"login --api_key='{value}' \" + name)\n");
    let report = report(&[file("a.py", code)]);
    assert_eq!(report.security_issues.len(), 2);
    assert!(!serde_json::to_string(&report).unwrap().contains(&value[5..]));
    assert_eq!(report.security_issues[0].message, "`os.$FN` hands `$CMD` to a shell");
}

#[test]
fn placeholders_are_not_secrets() {
    let placeholders = [
        "password = \"changeme123\"",
        "password = \"<your-password1>\"",
        "password = \"${DB_PASSWORD_1}\"",
        "password = \"hunter\"",
        "api_key = \"your-api-key-12345\"",
        "api_key = \"aaaaaaaa1111\"",
        "api_key = \"XXXXXXXXXXXXXXXX1\"",
        "secret_key = \"secret_key_field2\"",
        "password = os.environ['A1b2C3d4E5']",
        "password_label = \"Password field 12\"",
        "key = \"AKIAIOSFODNN7EXAMPLE\"",
        "url = \"https://user:password@example.org\"",
        "url = \"postgres://user:${PASSWORD}@host\"",
        "db = \"Server=db;User Id=sa;Password=${DB_PASSWORD};\"",
        "db = \"Server=db;User Id=sa;Password=your_password;\"",
        "twilio_account = \"SK is followed by 32 digits\"",
        "datadog_api_key = os.environ['DD_API_KEY']",
        "version = \"v1.0-3f2a1b\"",
        "time = \"12345678:AA\"",
        "class = \"key-00112233445566778899\"",
        "token = \"ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
        "text = \"-----BEGIN PUBLIC KEY-----\"",
        "# a file with '-----BEGIN RSA PRIVATE KEY-----' and so on, until the line that ends the whole of it",
        "hash = \"sha512-Q2hlY2tzdW1zYXJlbm90c2VjcmV0cw==\"",
    ];
    for line in placeholders {
        let found: Vec<_> = report(&[file("a.py", line)]).findings().map(|f| f.message.clone()).collect();
        assert!(found.is_empty(), "{line}: {found:?}");
    }
}

#[test]
fn what_stands_in_tests_and_documents_weighs_less() {
    let line = format!("token = \"ghp_{}\"\n", noise(36, ALPHANUMERIC));
    let of = |path: &str| {
        let report = report(&[file(path, &line)]);
        (report.security_issues[0].severity, report.security_issues[0].confidence)
    };
    assert_eq!(of("src/a.py"), (Severity::Critical, Confidence::High));
    assert_eq!(of("tests/a.py"), (Severity::Medium, Confidence::Low));
    assert_eq!(of("README.md"), (Severity::Medium, Confidence::Low));
}

#[test]
fn what_a_document_assigns_is_an_example_and_what_it_leaks_is_not() {
    let assigned = format!("SECRET_KEY = '{}'\n", noise(24, ALPHANUMERIC));
    assert_eq!(report(&[file("settings.py", &assigned)]).findings().count(), 1);
    for path in ["docs/config.rst", "README.md", "guide.adoc"] {
        assert_eq!(report(&[file(path, &assigned)]).findings().count(), 0, "{path}");
        for (id, value) in values().into_iter().filter(|(id, _)| *id == "secret-github-token") {
            let leaked = report(&[file(path, format!("curl -u {value}\n"))]);
            assert_eq!(leaked.findings().map(|finding| finding.rule.as_str()).collect::<Vec<_>>(), [id]);
        }
    }
}

#[test]
fn only_a_key_tells_two_secrets_at_the_same_place_apart() {
    let fingerprint = |value: &str, key: Option<&[u8]>| {
        let options = Options { fingerprint_key: key.map(<[u8]>::to_vec), ..Options::default() };
        let files = [file("a.py", format!("token = \"ghp_{value}\"\n"))];
        let report: Report = analyze(&files, Vec::new(), &options, &Unwatched).unwrap();
        report.security_issues[0].fingerprints.stable.clone()
    };
    let (one, two) = (noise(36, ALPHANUMERIC), noise(37, &ALPHANUMERIC[3..]));
    assert_eq!(fingerprint(&one, None), fingerprint(&two, None));
    assert_ne!(fingerprint(&one, Some(b"key")), fingerprint(&two, Some(b"key")));
    assert_ne!(fingerprint(&one, Some(b"key")), fingerprint(&one, Some(b"other")));
    assert_eq!(fingerprint(&one, Some(b"key")), fingerprint(&one, Some(b"key")));
}

#[test]
fn a_known_secret_can_be_suppressed_in_any_text() {
    let line = format!(
        "token: \"ghp_{}\"  # codeyard: ignore[secret-github-token] revoked\n",
        noise(36, ALPHANUMERIC)
    );
    let report = report(&[file("a.yml", line)]);
    assert_eq!((report.summary.findings, report.suppressed.len()), (0, 1));
}
