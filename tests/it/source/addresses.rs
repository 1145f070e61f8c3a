//! Which addresses and references git is given.

use codeyard::source::address::is_public;
use codeyard::source::{Error, Limits, Source, check};

fn checked(url: &str, reference: Option<&str>, limits: &Limits) -> Result<(), Error> {
    check(&Source::Repository { url: url.into(), reference: reference.map(str::to_owned) }, limits)
}

#[test]
fn only_the_public_internet_is_public() {
    for public in
        ["1.1.1.1", "140.82.121.4", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808"]
    {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
    for closed in [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2001::1",
    ] {
        assert!(!is_public(closed.parse().unwrap()), "{closed}");
    }
}

#[test]
fn an_address_that_git_must_not_get_is_refused_before_any_work() {
    for (url, why) in [
        ("http://github.com/a/b", "https only"),
        ("ssh://git@github.com/a/b", "ssh needs a key"),
        ("git@github.com:a/b.git", "ssh needs a key"),
        ("git://github.com/a/b", "not by `git`"),
        ("file:///etc", "not by `file`"),
        ("ext::sh -c true", "spaces"),
        ("ext::sh", "not by `ext`"),
        ("/etc/passwd", "cannot be read"),
        ("--upload-pack=touch", "cannot be read"),
        ("https://user:password@github.com/a/b", "credentials"),
        ("https://token@github.com/a/b", "credentials"),
        ("https://github.com/a/b?x=1", "contains `?`"),
        ("https://github.com/a\n/b", "control characters"),
        ("https://127.0.0.1/a", "private network"),
        ("https://2130706433/a", "private network"),
        ("https://0x7f.1/a", "private network"),
        ("https://[::1]/a", "private network"),
        ("https://[::ffff:10.0.0.1]/a", "private network"),
        ("https://169.254.169.254/latest/meta-data", "private network"),
    ] {
        let error = checked(url, None, &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(why), "{url}: {error}");
        assert!(error.is_callers_fault(), "{url}");
        assert!(!error.to_string().contains("password"), "{error}");
    }
    assert!(checked("https://github.com/a/b.git", Some("main"), &Limits::default()).is_ok());
    let intranet = Limits { allow_private_addresses: true, ..Limits::default() };
    assert!(checked("http://127.0.0.1:8080/a", None, &intranet).is_ok());
}

#[test]
fn a_reference_is_a_name_and_nothing_else() {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    for good in ["main", "feature/x-1", "v1.2.3", "refs/tags/v1", "release#7", "größe", sha] {
        assert!(checked("https://github.com/a/b", Some(good), &Limits::default()).is_ok(), "{good}");
    }
    let long = "x".repeat(256);
    for bad in [
        "",
        "-x",
        "--upload-pack=touch /tmp/x",
        "a b",
        "a..b",
        "a:b",
        "+a:b",
        "a^",
        "a~1",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a\nb",
        "@",
        "a@{1}",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.",
        "a.lock",
        "a.lock/b",
        &long,
    ] {
        let error = checked("https://github.com/a/b", Some(bad), &Limits::default()).unwrap_err();
        assert!(error.is_callers_fault() && error.to_string().contains("branch"), "{bad}: {error}");
    }
}
