//! What a job is filed under: a project and tags, by which lists are narrowed.

use serde::{Serialize, Serializer};

/// What a job is filed under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filing {
    /// The project it is for.
    pub project: Option<String>,
    /// Words of its submitter's own.
    pub tags: Tags,
}

/// Words that a job is filed under: at most 20 different ones, in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<String>);

impl Tags {
    /// The most that one job has.
    pub const MOST: usize = 20;
    /// What one tag looks like, as a regular expression.
    pub const PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$";

    /// Refuses what is no tag, and too many of them, with the reason. The same tag twice is one tag.
    pub fn new(mut tags: Vec<String>) -> Result<Self, String> {
        if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
            let start: String = bad.chars().take(64).collect();
            return Err(format!(
                "{start:?} is no tag: 1 to 64 of letters, digits and . _ : / -, beginning with a letter or digit"
            ));
        }
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > Self::MOST {
            return Err(format!("must be at most {}", Self::MOST));
        }
        Ok(Self(tags))
    }

    /// One after another.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// From the database, which puts spaces between them.
impl From<Option<String>> for Tags {
    fn from(joined: Option<String>) -> Self {
        Self(joined.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned).collect())
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(&self.0)
    }
}

/// Whether a project may be called so: 1 to 64 of letters, digits, `-` and `_`, beginning with a letter or digit.
pub fn is_project_name(name: &str) -> bool {
    is_word(name, "-_")
}

fn is_tag(tag: &str) -> bool {
    is_word(tag, "._:/-")
}

fn is_word(word: &str, marks: &str) -> bool {
    (1..=64).contains(&word.len())
        && word.starts_with(|first: char| first.is_ascii_alphanumeric())
        && word.chars().all(|letter| letter.is_ascii_alphanumeric() || marks.contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_is_plain_and_short() {
        for good in ["a", "0", "word-count", "A_b-9", &"x".repeat(64)] {
            assert!(is_project_name(good), "{good}");
        }
        for bad in ["", "-a", "_a", "a b", "../a", "a/b", "é", "a\0", "<b>", &"x".repeat(65)] {
            assert!(!is_project_name(bad), "{bad}");
        }
    }

    #[test]
    fn tags_are_plain_words_in_order_and_not_too_many() {
        let tags = |words: &[&str]| Tags::new(words.iter().map(|word| (*word).to_owned()).collect());
        let sorted = tags(&["nightly", "team:core/web", "nightly", "1.2"]).unwrap();
        assert_eq!(sorted.iter().collect::<Vec<_>>(), ["1.2", "nightly", "team:core/web"]);
        assert_eq!(Tags::from(Some("a b".to_owned())), tags(&["b", "a"]).unwrap());
        assert_eq!(Tags::from(None), Tags::default());
        for bad in ["", "a b", "-a", "a,b", "ä", "a\0", &"x".repeat(65)] {
            assert!(tags(&[bad]).is_err(), "{bad:?}");
        }
        let many: Vec<_> = (0..21).map(|n| n.to_string()).collect();
        assert!(Tags::new(many).is_err());
    }
}
