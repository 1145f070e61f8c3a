//! What an error of a provider means, and when to come back: from its status, its words, its numbers and its headers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;

use super::draft::Said;
use crate::llm::Error;
use crate::llm::providers::{Class, Provider};

/// The longest message of a provider that is passed on, in characters.
const LONGEST_MESSAGE: usize = 500;

/// Words of providers, in lower case, that tell more than their status. The first that fits counts: they are looked for
/// in the error's code and then in its message.
const WORDS: [(&str, Class); 36] = [
    ("insufficient_quota", Class::NoCredit),
    ("insufficient_balance", Class::NoCredit),
    ("insufficient balance", Class::NoCredit),
    ("insufficient credit", Class::NoCredit),
    ("exceeded_current_quota", Class::NoCredit),
    ("credit balance is too low", Class::NoCredit),
    ("arrearage", Class::NoCredit),
    ("accountoverdue", Class::NoCredit),
    ("billing", Class::NoCredit),
    ("context_length_exceeded", Class::ContextTooLong),
    ("context length", Class::ContextTooLong),
    ("context window", Class::ContextTooLong),
    ("prompt is too long", Class::ContextTooLong),
    ("input token count", Class::ContextTooLong),
    ("range of input length", Class::ContextTooLong),
    ("maximum number of tokens", Class::ContextTooLong),
    ("content_filter", Class::Refused),
    ("content_policy", Class::Refused),
    ("data_inspection_failed", Class::Refused),
    ("datainspectionfailed", Class::Refused),
    ("sensitive", Class::Refused),
    ("api key not valid", Class::Auth),
    ("api_key_invalid", Class::Auth),
    ("invalid_api_key", Class::Auth),
    ("authentication", Class::Auth),
    ("permission", Class::Auth),
    ("rate_limit", Class::RateLimited),
    ("ratelimit", Class::RateLimited),
    ("resource_exhausted", Class::RateLimited),
    ("throttling", Class::RateLimited),
    ("overloaded", Class::Overloaded),
    ("unavailable", Class::Overloaded),
    ("server_error", Class::Overloaded),
    ("internal", Class::Overloaded),
    ("invalid_request", Class::Invalid),
    ("not_found", Class::Invalid),
];

/// The error that a provider reports, with whatever looks like its key taken out.
pub(super) fn error(provider: &Provider, status: u16, said: &Said, headers: Hints) -> Error {
    let name = provider.name.clone();
    let message = presentable(provider, said, status);
    let told = said.retry_after_ms.map(Duration::from_millis);
    let retry_after = headers.retry_after.or(told);
    match class(provider, status, said) {
        Class::Auth => Error::Auth { provider: name, message },
        Class::NoCredit => Error::NoCredit { provider: name, message },
        Class::RateLimited => Error::RateLimited { provider: name, message, retry_after },
        Class::Overloaded => Error::Overloaded { provider: name, message, retry_after },
        Class::ContextTooLong => Error::ContextTooLong { message },
        Class::Refused => Error::Refused { message: format!("{name}: {message}") },
        Class::Invalid => Error::Invalid { message: format!("{name}: {message}") },
    }
}

fn class(provider: &Provider, status: u16, said: &Said) -> Class {
    let number = said.code.parse().ok();
    if let Some((_, class)) = provider.row.codes.iter().find(|(code, _)| Some(*code) == number) {
        return *class;
    }
    if status == 402 {
        return Class::NoCredit;
    }
    let word = |text: &str| {
        let text = text.to_lowercase();
        WORDS.iter().find(|(word, _)| text.contains(word)).map(|(_, class)| *class)
    };
    let coded = word(&said.code);
    let meant = word(&said.message);
    match (status, coded, meant) {
        // What waiting or another key can mend is told apart from what it cannot by the message alone.
        (
            400..=499,
            _,
            Some(class @ (Class::NoCredit | Class::ContextTooLong | Class::Refused | Class::Auth)),
        ) => class,
        (429, Some(Class::NoCredit), _) => Class::NoCredit,
        (429, ..) => Class::RateLimited,
        (_, Some(class), _) => class,
        (401 | 403, ..) => Class::Auth,
        (408 | 425, ..) | (500.., ..) => Class::Overloaded,
        (400..=499, ..) => Class::Invalid,
        (_, None, Some(class)) => class,
        (_, None, None) => Class::Overloaded,
    }
}

/// What is said to people: not too long, without control characters, and never the key.
fn presentable(provider: &Provider, said: &Said, status: u16) -> String {
    let mut message = said.message.clone();
    if let Some(key) = provider.key.as_ref().filter(|key| !key.is_empty()) {
        message = message.replace(key.expose(), "…");
    }
    let message: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect();
    match (message.trim(), said.code.as_str()) {
        ("", "") => format!("HTTP status {status}"),
        ("", code) => code.chars().take(LONGEST_MESSAGE).collect(),
        (message, _) => message.to_owned(),
    }
}

/// What headers say of waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hints {
    /// When to come back after an error.
    pub(crate) retry_after: Option<Duration>,
    /// Nothing is left for now, also where this answer went well: when there will be something again.
    pub(crate) used_up: Option<Duration>,
}

impl Hints {
    /// Reads `Retry-After`, `retry-after-ms`, `x-ratelimit-*` (a span such as `6m0s`) and `anthropic-ratelimit-*` (a
    /// time).
    pub(crate) fn read(headers: &HeaderMap, now: DateTime<Utc>) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let until = |time: DateTime<Utc>| (time - now).to_std().unwrap_or_default();
        let told = header("retry-after-ms")
            .and_then(|text| text.parse::<f64>().ok())
            .map(|millis| millis / 1000.0)
            .or_else(|| header("retry-after")?.parse::<f64>().ok())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .or_else(|| Some(until(DateTime::parse_from_rfc2822(header("retry-after")?).ok()?.to_utc())));
        let mut used_up: Option<Duration> = None;
        for (what, prefix) in [
            ("requests", "x-ratelimit"),
            ("tokens", "x-ratelimit"),
            ("requests", "anthropic-ratelimit"),
            ("tokens", "anthropic-ratelimit"),
            ("input-tokens", "anthropic-ratelimit"),
            ("output-tokens", "anthropic-ratelimit"),
        ] {
            let named = |word: &str| match prefix {
                "x-ratelimit" => header(&format!("{prefix}-{word}-{what}")),
                _ => header(&format!("{prefix}-{what}-{word}")),
            };
            if named("remaining").is_some_and(|left| left == "0") {
                let reset = named("reset");
                let wait = reset.and_then(|text| {
                    span(text).or_else(|| Some(until(DateTime::parse_from_rfc3339(text).ok()?.to_utc())))
                });
                used_up = used_up.max(wait);
            }
        }
        Self { retry_after: told.or(used_up), used_up }
    }
}

/// Reads `1s`, `6m0s`, `120ms`, `1h2m3.5s`, and a bare number as seconds.
pub(super) fn span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        let behind = &rest[digits..];
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        seconds += number
            * match &behind[..letters] {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &behind[letters..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Hidden};

    fn provider(name: &str) -> Provider {
        Provider::of(name, &Config::defaults().unwrap().llm.providers[name])
    }

    fn said(code: &str, message: &str) -> Said {
        Said { code: code.to_owned(), message: message.to_owned(), retry_after_ms: None }
    }

    #[test]
    fn spans_are_read_as_the_providers_write_them() {
        let millis = |text| span(text).map(|span| span.as_millis());
        assert_eq!(millis("120ms"), Some(120));
        assert_eq!(millis("6m0s"), Some(360_000));
        assert_eq!(millis("1h2m3.5s"), Some(3_723_500));
        assert_eq!(millis("17"), Some(17_000));
        assert_eq!((millis(""), millis("soon"), millis("1y")), (None, None, None));
    }

    #[test]
    fn headers_say_when_to_come_back() {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00Z").unwrap().to_utc();
        let hints = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| {
                (reqwest::header::HeaderName::from_static(name), value.parse().unwrap())
            });
            let hints = Hints::read(&headers.collect(), now);
            (hints.retry_after.map(|wait| wait.as_millis()), hints.used_up.map(|wait| wait.as_millis()))
        };
        assert_eq!(hints(&[("retry-after", "7")]), (Some(7_000), None));
        assert_eq!(hints(&[("retry-after", "Thu, 01 Jan 2026 00:00:09 GMT")]), (Some(9_000), None));
        assert_eq!(hints(&[("retry-after-ms", "250"), ("retry-after", "7")]), (Some(250), None));
        assert_eq!(
            hints(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "1m2s")]),
            (Some(62_000), Some(62_000))
        );
        assert_eq!(
            hints(&[("x-ratelimit-remaining-requests", "9"), ("x-ratelimit-reset-requests", "1s")]),
            (None, None)
        );
        assert_eq!(
            hints(&[
                ("anthropic-ratelimit-requests-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:30Z")
            ]),
            (Some(30_000), Some(30_000))
        );
        assert_eq!(hints(&[("retry-after", "-1"), ("retry-after-ms", "NaN")]), (None, None));
    }

    #[test]
    fn what_helps_is_told_from_status_words_and_numbers() {
        let openai = provider("openai");
        let class = |status, code: &str, message: &str| class(&openai, status, &said(code, message));
        assert_eq!(class(429, "rate_limit_exceeded", "slow down"), Class::RateLimited);
        assert_eq!(class(429, "insufficient_quota", "check your plan"), Class::NoCredit);
        assert_eq!(class(400, "context_length_exceeded", ""), Class::ContextTooLong);
        assert_eq!(class(400, "INVALID_ARGUMENT", "API key not valid."), Class::Auth);
        assert_eq!(class(401, "", ""), Class::Auth);
        assert_eq!(class(404, "model_not_found", "no such model"), Class::Invalid);
        assert_eq!(class(529, "overloaded_error", ""), Class::Overloaded);
        assert_eq!(class(503, "", "try later"), Class::Overloaded);
        assert_eq!(class(200, "rate_limit_error", ""), Class::RateLimited);
        assert_eq!(class(200, "", "something broke"), Class::Overloaded);
        assert_eq!(super::class(&provider("minimax"), 200, &said("1008", "")), Class::NoCredit);
        assert_eq!(super::class(&provider("baidu"), 200, &said("18", "qps")), Class::RateLimited);
    }

    #[test]
    fn a_key_in_a_message_is_not_passed_on() {
        let key = ["sk", "not", "a", "key"].join("-");
        let provider = Provider { key: Some(Hidden::new(&key)), ..provider("openai") };
        let echoed = said("invalid_api_key", &format!("Incorrect API key provided: {key}\u{7}."));
        let error = error(&provider, 401, &echoed, Hints::default());
        assert!(
            matches!(&error, Error::Auth { message, .. } if message == "Incorrect API key provided: … ."),
            "{error}"
        );
        assert!(!format!("{error:?} {error} {provider:?}").contains(&key));
    }
}
