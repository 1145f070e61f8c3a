//! PHP.

use std::borrow::Cow;

use ast_grep_language::SupportLang;

use super::{Entry, Syntax};

pub(super) static PHP: Entry = Entry {
    name: "PHP",
    aliases: &[],
    extensions: &["php", "phtml", "php5", "inc"],
    file_names: &[],
    interpreters: &["php"],
    grammar: SupportLang::Php,
    syntax: Syntax {
        functions: &["function_definition", "method_declaration", "anonymous_function"],
        lambdas: &["arrow_function"],
        types: &["class_declaration", "interface_declaration", "trait_declaration", "enum_declaration"],
        comments: &["comment"],
        ifs: &["if_statement"],
        else_ifs: &["else_if_clause"],
        elses: &["else_clause"],
        ternaries: &["conditional_expression"],
        loops: &["for_statement", "foreach_statement", "while_statement", "do_statement"],
        switches: &["switch_statement", "match_expression"],
        cases: &["case_statement", "match_conditional_expression"],
        catches: &["catch_clause"],
        logicals: &["binary_expression"],
        logical_operators: &["&&", "||", "and", "or"],
        decisions: &[],
        jumps: &["goto_statement"],
        labels: &["name"],
        parentheses: &["parenthesized_expression"],
        calls: &["function_call_expression"],
        strings: &["string", "nowdoc"],
        receivers: &[],
    },
};

/// Blanks out the markup around `<?php … ?>`, byte for byte, so that every place stays where it is. A `?>`
/// ends a statement, which is what it does in PHP too.
pub(super) fn without_markup(text: &str) -> Cow<'_, str> {
    if !text.contains("?>") && text.trim_start().starts_with("<?php") {
        return Cow::Borrowed(text);
    }
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find("<?") {
        blank(&rest[..open], &mut code);
        rest = &rest[open..];
        let tag = ["<?php", "<?=", "<?"].into_iter().find(|tag| rest.starts_with(tag)).unwrap_or("<?");
        // A form feed is a blank, too; behind it stands what the page shows.
        code.push_str(if tag == "<?=" { "\u{c}  " } else { &"     "[..tag.len()] });
        rest = &rest[tag.len()..];
        let close = rest.find("?>").unwrap_or(rest.len());
        code.push_str(&rest[..close]);
        rest = &rest[close..];
        if let Some(after) = rest.strip_prefix("?>") {
            code.push_str("; ");
            rest = after;
        }
    }
    blank(rest, &mut code);
    Cow::Owned(code)
}

fn blank(markup: &str, code: &mut String) {
    for byte in markup.bytes() {
        code.push(if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { ' ' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_blanked_and_nothing_moves() {
        let text = "<p>é</p>\n<?php f(); ?>\n<b><?= $x ?></b>";
        let code = without_markup(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code, "         \n      f(); ; \n   \u{c}   $x ;     ");
        assert_eq!(without_markup("<?php\nf();"), "<?php\nf();");
    }
}
