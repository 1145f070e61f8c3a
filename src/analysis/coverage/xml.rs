//! Just enough XML to read the tags of a coverage report: no entities of its own, no network, no recursion.

/// A tag that was opened (or is empty), or closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tag<'t> {
    /// `<name …>` or `<name …/>`, with the text of its attributes.
    Open(&'t str, Attributes<'t>),
    /// `</name>`.
    Close(&'t str),
}

/// The attributes of a tag, looked up by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attributes<'t>(&'t str);

impl Attributes<'_> {
    /// The value of an attribute, with the five entities that XML always has.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let mut rest = self.0;
        while let Some((key, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, next) = after[1..].split_once(quote)?;
            if key.trim() == name {
                return Some(unescape(value));
            }
            rest = next;
        }
        None
    }

    /// The value of an attribute as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

/// The tags of a document, in order. Text, comments, declarations and instructions are passed over.
pub(super) fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find('<')? + 1..];
            if let Some(comment) = rest.strip_prefix("!--") {
                rest = &comment[comment.find("-->")?..];
                continue;
            }
            let end = rest.find('>')?;
            let inner = &rest[..end];
            rest = &rest[end + 1..];
            if inner.starts_with(['!', '?']) {
                continue;
            }
            if let Some(name) = inner.strip_prefix('/') {
                return Some(Tag::Close(name.trim()));
            }
            let inner = inner.trim_end_matches('/');
            let (name, attributes) = inner.split_once(char::is_whitespace).unwrap_or((inner, ""));
            return Some(Tag::Open(name, Attributes(attributes)));
        }
    })
}

fn unescape(value: &str) -> String {
    value
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_attributes_are_read_and_the_rest_is_passed_over() {
        let text =
            "<?xml version=\"1.0\"?><!DOCTYPE a SYSTEM \"x\"><!-- <b/> --><a n='1 &amp; 2' m=\"3\">t<c/></a>";
        let all: Vec<_> = tags(text).collect();
        assert_eq!(all.len(), 3);
        let Tag::Open("a", attributes) = &all[0] else { unreachable!("{all:?}") };
        assert_eq!(attributes.get("n").as_deref(), Some("1 & 2"));
        assert_eq!(attributes.number::<usize>("m"), Some(3));
        assert_eq!(attributes.get("x"), None);
        assert_eq!(all[2], Tag::Close("a"));
    }
}
