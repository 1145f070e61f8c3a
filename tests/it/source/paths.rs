//! Which paths are taken.

use codeyard::source::path::{Fault, clean};
use proptest::prelude::*;

#[test]
fn a_plain_path_stays_as_it_is() {
    assert_eq!(clean("src/ä b/main.rs", 64).as_deref(), Ok("src/ä b/main.rs"));
    assert_eq!(clean("..gitignore", 64).as_deref(), Ok("..gitignore"));
}

#[test]
fn empty_parts_and_dots_are_dropped() {
    assert_eq!(clean("./src//./main.rs", 64).as_deref(), Ok("src/main.rs"));
}

#[test]
fn every_way_out_is_named() {
    let long = format!("{}/a", "x".repeat(256));
    let deep = "a/".repeat(66);
    for (path, fault) in [
        ("", Fault::Empty),
        ("./.", Fault::Empty),
        ("/etc/passwd", Fault::Absolute),
        ("//server/share", Fault::Absolute),
        ("C:/windows", Fault::Absolute),
        ("c:x", Fault::Absolute),
        ("./c:x", Fault::Absolute),
        ("../x", Fault::Climbs),
        ("a/../../x", Fault::Climbs),
        ("a/..", Fault::Climbs),
        ("..\\x", Fault::Backslash),
        ("a\\b", Fault::Backslash),
        ("a\0b", Fault::Control),
        ("a\nb", Fault::Control),
        ("\u{1b}[2J", Fault::Control),
        (&long, Fault::TooLong),
        (&deep, Fault::TooDeep),
    ] {
        assert_eq!(clean(path, 64), Err(fault), "{path:?}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_stays_inside(raw in "[a./\\\\C:\\x00 ]{0,12}") {
        if let Ok(path) = clean(&raw, 64) {
            let joined = std::path::Path::new("/root").join(&path);
            prop_assert!(joined.starts_with("/root"));
            prop_assert!(joined.components().all(|c| c.as_os_str() != ".."));
            prop_assert_eq!(clean(&path, 64), Ok(path));
        }
    }
}
