//! Cuts what is too long for a model, and says so.

/// Text cut to about `most` bytes: its beginning and its end, with a note between them that tells what is missing
/// and `how` to see it. Text that fits comes back as it is.
pub(super) fn clip(text: &str, most: usize, how: &str) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    // Errors stand at the end more often than at the beginning.
    let head = line_end_before(text, most / 3);
    let tail = line_start_after(text, text.len() - most * 2 / 3);
    let missing = &text[head..tail];
    let lines = missing.matches('\n').count();
    format!(
        "{}\n[… {lines} lines, {} bytes left out: {how} …]\n{}",
        &text[..head].trim_end_matches('\n'),
        missing.len(),
        &text[tail..]
    )
}

/// Where to cut at or before `place`: behind a line's end if one is near, else between two characters.
fn line_end_before(text: &str, place: usize) -> usize {
    let place = text.floor_char_boundary(place);
    text[..place].rfind('\n').map(|end| end + 1).filter(|end| place - end < 400).unwrap_or(place)
}

/// Where to go on at or after `place`.
fn line_start_after(text: &str, place: usize) -> usize {
    let place = text.ceil_char_boundary(place);
    text[place..].find('\n').map(|end| place + end + 1).filter(|start| start - place < 400).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_and_what_does_not_keeps_both_ends_and_says_what_is_missing() {
        assert_eq!(clip("short", 5, "x"), "short");
        let long: String = (0..1000).map(|line| format!("line {line}\n")).collect();
        let cut = clip(&long, 600, "read_file shows it");
        assert!(cut.starts_with("line 0\n") && cut.ends_with("line 999\n"), "{cut}");
        assert!(cut.contains("lines, ") && cut.contains("left out: read_file shows it"), "{cut}");
        assert!(cut.len() < 700);
    }

    #[test]
    fn a_cut_never_falls_into_a_character() {
        let long = "é".repeat(1000);
        for most in 1..200 {
            assert!(clip(&long, most, "x").contains("left out"));
        }
    }
}
