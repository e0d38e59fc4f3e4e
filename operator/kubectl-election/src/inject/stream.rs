//! A stream of documents, split as kubectl splits it. What is not changed is printed to the letter.

use serde_json::value::RawValue;

use super::node::Node;
use super::{read, write};

/// A part of the stream.
#[derive(Debug)]
pub(super) enum Segment<'a> {
    /// The text between documents.
    Between(&'a str),
    YamlDocument(YamlDocument<'a>),
}

#[derive(Debug)]
pub(super) struct YamlDocument<'a> {
    text: &'a str,
    /// Whether the document is a JSON object.
    is_json: bool,
    pub(super) root: Node,
    after: Vec<String>,
}

/// Splits a stream into documents and the text between them.
///
/// # Errors
/// What is wrong, and in which document, in one line.
pub(super) fn segments(text: &str) -> Result<Vec<Segment<'_>>, String> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut segments = vec![Segment::Between(&text[..text.len() - body.len()])];
    if let Some(objects) = json_objects(body) {
        let mut end = 0;
        for (start, object) in objects {
            segments.push(Segment::Between(&body[end..start]));
            end = start + object.len();
            let root = read::json(object)?;
            segments.push(Segment::YamlDocument(YamlDocument { text: object, is_json: true, root, after: Vec::new() }));
        }
        segments.push(Segment::Between(&body[end..]));
        return Ok(segments);
    }
    let mut number = 0;
    for chunk in chunks(body)? {
        if chunk.starts_with("---") {
            segments.push(Segment::Between(chunk));
            continue;
        }
        number += 1;
        segments.push(match document(chunk).map_err(|why| format!("document {number}: {why}"))? {
            Some(document) => Segment::YamlDocument(document),
            None => Segment::Between(chunk),
        });
    }
    Ok(segments)
}

/// The positions and texts of the objects in a stream of JSON. `None` if it is no such stream.
fn json_objects(text: &str) -> Option<Vec<(usize, &str)>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut objects = Vec::new();
    while let Some(object) = stream.next() {
        let object = object.ok()?.get();
        objects.push((stream.byte_offset() - object.len(), object));
    }
    Some(objects)
}

/// The documents of a stream of YAML, and the separating lines, each of which begins with three dashes.
fn chunks(text: &str) -> Result<Vec<&str>, String> {
    let (mut chunks, mut start, mut end) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix("---") {
            let rest = rest.trim();
            if !rest.is_empty() && !rest.starts_with('#') {
                return Err(format!("no document begins with {:?}: begin it on the next line", line.trim_end()));
            }
            chunks.extend([&text[start..end], &text[end..end + line.len()]]);
            start = end + line.len();
        }
        end += line.len();
    }
    chunks.push(&text[start..]);
    chunks.retain(|chunk| !chunk.is_empty());
    Ok(chunks)
}

fn document(text: &str) -> Result<Option<YamlDocument<'_>>, String> {
    if text.trim_start().starts_with('{')
        && let Ok(root) = read::json(text)
    {
        return Ok(Some(YamlDocument { text, is_json: true, root, after: Vec::new() }));
    }
    let read = read::yaml(text)?;
    Ok(read.map(|(root, after)| YamlDocument { text, is_json: false, root, after }))
}

impl YamlDocument<'_> {
    /// The document as it was read.
    pub(super) fn unchanged(&self) -> &str {
        self.text
    }

    /// The document as it is now, in the form in which it was read.
    pub(super) fn printed(&self) -> String {
        let text = if self.is_json {
            let indent = self.text.split_once('\n').map(|(_, next)| {
                let end = next.find(|letter: char| letter != ' ' && letter != '\t').unwrap_or(0);
                if end == 0 { "  " } else { &next[..end] }
            });
            let end = &self.text[self.text.trim_end().len()..];
            write::json(&self.root, indent) + end
        } else {
            write::yaml(&self.root, &self.after)
        };
        if self.text.contains("\r\n") { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text }
    }
}
