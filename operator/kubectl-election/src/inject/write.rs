//! Prints documents: YAML in blocks, and JSON with the indentation that it had.

use super::node::{Node, NodeContent, Plain, QuoteStyle, plain};

/// A document as YAML in blocks, with its comments and the comments after it.
pub(super) fn yaml(root: &Node, after: &[String]) -> String {
    let mut out = String::new();
    match &root.content {
        NodeContent::Mapping(fields) if !fields.is_empty() => mapping(&mut out, fields, 0, false),
        NodeContent::Sequence(items) if !items.is_empty() => sequence(&mut out, items, 0),
        NodeContent::Mapping(_) | NodeContent::Sequence(_) | NodeContent::Scalar { .. } => {
            value(&mut out, root, 0, None)
        }
    }
    comments(&mut out, after, 0);
    out
}

fn indented(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn comments(out: &mut String, lines: &[String], indent: usize) {
    for line in lines {
        indented(out, indent);
        out.push_str(line);
        out.push('\n');
    }
}

/// Prints a mapping. If it follows a dash, its first key is on the line of the dash, which has the comments above it
/// already.
fn mapping(out: &mut String, fields: &[(Node, Node)], indent: usize, mut follows_dash: bool) {
    for (key, node) in fields {
        if !std::mem::take(&mut follows_dash) {
            comments(out, &key.above, indent);
            indented(out, indent);
        }
        if let Some(tag) = &key.tag {
            out.push_str(tag);
            out.push(' ');
        }
        match (&key.written, &key.content) {
            (Some(written), _) => out.push_str(written),
            (None, NodeContent::Scalar { value, style: QuoteStyle::Plain }) if !value.contains('\n') => {
                out.push_str(value)
            }
            (None, NodeContent::Scalar { value, .. }) => out.push_str(&quoted(value)),
            (None, NodeContent::Sequence(_) | NodeContent::Mapping(_)) => {}
        }
        out.push(':');
        value(out, node, indent, key.right.as_deref());
    }
}

fn sequence(out: &mut String, items: &[Node], indent: usize) {
    for item in items {
        comments(out, &item.above, indent);
        match &item.content {
            NodeContent::Mapping(fields) if !fields.is_empty() && item.written.is_none() && item.tag.is_none() => {
                comments(out, &fields[0].0.above, indent);
                indented(out, indent);
                out.push_str("- ");
                mapping(out, fields, indent + 2, true);
            }
            NodeContent::Sequence(items) if !items.is_empty() && item.written.is_none() => {
                indented(out, indent);
                out.push('-');
                tagged(out, item);
                out.push('\n');
                sequence(out, items, indent + 2);
            }
            NodeContent::Scalar { .. } | NodeContent::Mapping(_) | NodeContent::Sequence(_) => {
                indented(out, indent);
                out.push('-');
                value(out, item, indent, None);
            }
        }
    }
}

fn tagged(out: &mut String, node: &Node) {
    if let Some(tag) = &node.tag {
        out.push(' ');
        out.push_str(tag);
    }
}

/// Prints a value after a key or a dash at `indent`, to the end of its last line.
fn value(out: &mut String, node: &Node, indent: usize, right: Option<&str>) {
    tagged(out, node);
    let end = |out: &mut String| {
        for comment in [node.right.as_deref(), right].into_iter().flatten() {
            out.push_str("  ");
            out.push_str(comment);
        }
        out.push('\n');
    };
    match (&node.written, &node.content) {
        (Some(written), _) => {
            out.push(' ');
            out.push_str(written);
            end(out);
        }
        (None, NodeContent::Mapping(fields)) if !fields.is_empty() => {
            end(out);
            mapping(out, fields, indent + 2, false);
        }
        (None, NodeContent::Sequence(items)) if !items.is_empty() => {
            end(out);
            sequence(out, items, indent);
        }
        (None, NodeContent::Mapping(_)) => {
            out.push_str(" {}");
            end(out);
        }
        (None, NodeContent::Sequence(_)) => {
            out.push_str(" []");
            end(out);
        }
        (None, NodeContent::Scalar { value, style }) => match style {
            QuoteStyle::Plain if value.is_empty() => end(out),
            QuoteStyle::Plain if !value.contains('\n') => {
                out.push(' ');
                out.push_str(value);
                end(out);
            }
            QuoteStyle::Block if is_literal(value) => {
                out.push_str(if value.ends_with('\n') { " |" } else { " |-" });
                end(out);
                for line in value.lines() {
                    if !line.is_empty() {
                        indented(out, indent + 2);
                    }
                    out.push_str(line);
                    out.push('\n');
                }
            }
            QuoteStyle::Plain | QuoteStyle::Quoted | QuoteStyle::Block => {
                out.push(' ');
                out.push_str(&quoted(value));
                end(out);
            }
        },
    }
}

/// Whether a text can be written as a block of lines without indicators, which further line breaks at its end or blanks
/// at its start would need.
fn is_literal(value: &str) -> bool {
    !value.starts_with(|first: char| first.is_whitespace())
        && !value.ends_with("\n\n")
        && !value.is_empty()
        && value.chars().all(|character| character == '\n' || character == '\t' || is_printable(character))
}

/// Whether every YAML reader takes this character as it is.
fn is_printable(character: char) -> bool {
    let is_text = matches!(character, ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}');
    is_text && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if is_printable(character) => out.push(character),
            _ => out.push_str(&match u32::from(character) {
                code @ 0..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push('"');
    out
}

/// A document as JSON, in lines with this indentation, or on one line.
pub(super) fn json(root: &Node, indent: Option<&str>) -> String {
    let mut out = String::new();
    json_node(&mut out, root, indent, 0);
    out
}

fn json_node(out: &mut String, node: &Node, indent: Option<&str>, depth: usize) {
    match (&node.written, &node.content) {
        // What was added, or read, as YAML.
        (written, NodeContent::Scalar { value, style }) => match written {
            Some(written) => out.push_str(written),
            None if *style == QuoteStyle::Plain && plain(value) != Plain::Text => out.push_str(value),
            None => out.push_str(&serde_json::Value::from(value.as_str()).to_string()),
        },
        (_, NodeContent::Sequence(items)) => {
            json_list(out, '[', ']', items, indent, depth, |out, item| json_node(out, item, indent, depth + 1));
        }
        (_, NodeContent::Mapping(fields)) => {
            json_list(out, '{', '}', fields, indent, depth, |out, (key, value)| {
                json_node(out, key, indent, depth + 1);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                json_node(out, value, indent, depth + 1);
            });
        }
    }
}

fn json_list<T>(
    out: &mut String,
    open: char,
    close: char,
    items: &[T],
    indent: Option<&str>,
    depth: usize,
    print: impl Fn(&mut String, &T),
) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent, depth));
        }
    };
    out.push(open);
    for (number, item) in items.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        line(out, depth + 1);
        print(out, item);
    }
    if !items.is_empty() {
        line(out, depth);
    }
    out.push(close);
}
