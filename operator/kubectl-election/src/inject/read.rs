//! Reads documents. YAML is read as kubectl does, which accepts a key that stands twice, and resolves aliases and
//! merges.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::iter::Peekable;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, Tag, options};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::node::{Node, NodeContent, QuoteStyle};

/// The most that the anchors and aliases of a document may stand for in all: bytes of text, and [`NODE_BYTES`] for each
/// node.
const MAX_SHARED_BYTES: usize = 16 * MIB;
const MIB: usize = 1024 * 1024;
const NODE_BYTES: usize = 64;
/// The deepest nesting of YAML.
const MAX_DEPTH: usize = 255;

/// Reads a YAML document. Returns its root and the comments after its last node; `None` if the document is empty.
///
/// # Errors
/// What is wrong, and where, in one line.
pub(super) fn yaml(text: &str) -> Result<Option<(Node, Vec<String>)>, String> {
    let options = options! {
        block_scalar_eof_without_line_feed: true,
        max_buffered_comment_events: usize::MAX,
    };
    let events = Parser::new_from_str_with_options(text, options).peekable();
    let mut reader = YamlReader { text, events, anchors: HashMap::new(), shared: 0, above: Vec::new() };
    reader.document()
}

type Events<'a> = Parser<'a, granit_parser::StrInput<'a>>;

struct YamlReader<'a> {
    text: &'a str,
    events: Peekable<Events<'a>>,
    /// The anchored nodes by number, with the size of each.
    anchors: HashMap<usize, (Node, usize)>,
    /// The size of all anchored nodes, and of all that aliases stood for, in all.
    shared: usize,
    /// The comments that belong to the next node.
    above: Vec<String>,
}

impl<'a> YamlReader<'a> {
    fn document(&mut self) -> Result<Option<(Node, Vec<String>)>, String> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(None),
                (event, span) => {
                    let (root, _) = self.node(event, span)?;
                    // Of several documents kubectl reads the first; what follows must be YAML nonetheless.
                    while !matches!(self.next()?, (Event::DocumentEnd | Event::StreamEnd, _)) {}
                    let is_nothing = root.is_null() && root.scalar() == Some("");
                    return Ok((!is_nothing).then(|| (root, std::mem::take(&mut self.above))));
                }
            }
        }
    }

    /// The next event that is no comment.
    fn next(&mut self) -> Result<(Event<'a>, Span), String> {
        loop {
            let next = self.events.next().ok_or("it ends too early")?;
            match next.map_err(|error| error.to_string())? {
                (Event::Comment(text, _), _) => self.above.push(format!("#{text}")),
                event => return Ok(event),
            }
        }
    }

    /// The comment on the line where a value has ended, if there is one.
    fn right(&mut self, end: &Span) -> Option<String> {
        let next = self
            .events
            .next_if(|next| matches!(next, Ok((Event::Comment(..), span)) if span.start.line() == end.end.line()))?;
        match next {
            Ok((Event::Comment(text, _), _)) => Some(format!("#{text}")),
            _ => None,
        }
    }

    /// Reads the node that begins with `event`. Returns it with its size.
    fn node(&mut self, event: Event<'a>, span: Span) -> Result<(Node, usize), String> {
        let (mut node, size, anchor) = match event {
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(format!("an alias stands for what it is in, at line {}", span.start.line()));
                };
                let (node, size) = (node.clone(), *size);
                self.share(size)?;
                (node, size, 0)
            }
            Event::Scalar(value, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => QuoteStyle::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => QuoteStyle::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => QuoteStyle::Block,
                };
                let size = NODE_BYTES + value.len();
                let mut node = Node::new(NodeContent::Scalar { value: value.into_owned(), style });
                node.tag = tag.as_deref().map(tag_text);
                if style == QuoteStyle::Quoted {
                    node.written = self.written(&span, &span).filter(|text| text.ends_with(['"', '\'']));
                }
                (node, size, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                let (before, mut items, mut size) = (self.sharing(), Vec::new(), NODE_BYTES);
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, span) => {
                            let above = std::mem::take(&mut self.above);
                            let (mut item, more) = self.node(event, span)?;
                            item.above = above;
                            items.push(item);
                            size += more;
                        }
                    }
                };
                let mut node = Node::new(NodeContent::Sequence(items));
                node.tag = tag.as_deref().map(tag_text);
                self.end(&mut node, style, &span, &end, before);
                (node, size, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                let (before, mut fields, mut size) = (self.sharing(), MappingBuilder::default(), NODE_BYTES);
                let end = loop {
                    let (event, span) = match self.next()? {
                        (Event::MappingEnd, end) => break end,
                        key => key,
                    };
                    let above = std::mem::take(&mut self.above);
                    let line = span.start.line();
                    let (mut key, more) = self.node(event, span)?;
                    if key.scalar().is_none() {
                        return Err(format!("a key that is no text, at line {line}"));
                    }
                    key.above = above;
                    let (event, span) = self.next()?;
                    let (value, much) = self.node(event, span)?;
                    size += more + much;
                    if is_merge(&key) {
                        merge(&mut fields, value).ok_or_else(|| format!("<< of what is no mapping, at line {line}"))?;
                    } else {
                        fields.set(key, value);
                    }
                };
                let mut node = Node::new(NodeContent::Mapping(fields.list));
                node.tag = tag.as_deref().map(tag_text);
                self.end(&mut node, style, &span, &end, before);
                (node, size, anchor)
            }
            other => return Err(format!("{other:?} at line {}", span.start.line())),
        };
        if node.right.is_none() && !matches!(&node.content, NodeContent::Scalar { style: QuoteStyle::Block, .. }) {
            node.right = self.right(&span_of(&node, &span));
        }
        if anchor > 0 {
            self.share(size)?;
            self.anchors.insert(anchor, (node.clone().uncommented(), size));
        }
        Ok((node, size))
    }

    /// Ends a collection. One in brackets keeps its text if that is one line without anchors and aliases.
    fn end(&mut self, node: &mut Node, style: StructureStyle, start: &Span, end: &Span, shared: (usize, usize)) {
        if style == StructureStyle::Flow {
            node.right = self.right(end);
            node.written = self.written(start, end).filter(|_| self.sharing() == shared);
        }
    }

    fn share(&mut self, size: usize) -> Result<(), String> {
        self.shared += size;
        if self.shared > MAX_SHARED_BYTES {
            return Err(format!("its anchors and aliases stand for more than {} MiB", MAX_SHARED_BYTES / MIB));
        }
        Ok(())
    }

    /// The number of anchors and the shared size so far: if both stay the same, nothing was shared in between.
    fn sharing(&self) -> (usize, usize) {
        (self.anchors.len(), self.shared)
    }

    fn written(&self, start: &Span, end: &Span) -> Option<String> {
        let text = self.text.get(start.start.byte_offset()?..end.end.byte_offset()?)?;
        (!text.contains(['\n', '\r'])).then(|| text.to_owned())
    }
}

/// The span of a scalar, after which a comment may follow. The comments of a collection are read already.
fn span_of(node: &Node, span: &Span) -> Span {
    match node.content {
        NodeContent::Scalar { .. } => *span,
        NodeContent::Sequence(_) | NodeContent::Mapping(_) => Span::default(),
    }
}

fn tag_text(tag: &Tag) -> String {
    match (tag.handle(), tag.suffix()) {
        ("tag:yaml.org,2002:", suffix) => format!("!!{suffix}"),
        ("!", suffix) => format!("!{suffix}"),
        (handle, suffix) => format!("!<{handle}{suffix}>"),
    }
}

fn is_merge(key: &Node) -> bool {
    matches!(&key.content, NodeContent::Scalar { value, style: QuoteStyle::Plain } if value == "<<")
}

/// A mapping that is being read.
#[derive(Default)]
struct MappingBuilder {
    list: Vec<(Node, Node)>,
    /// The position of each key in the list.
    places: HashMap<String, usize>,
}

impl MappingBuilder {
    /// Sets a key. If a key stands twice, the later value counts.
    fn set(&mut self, key: Node, value: Node) {
        match self.places.entry(key.scalar().unwrap_or_default().to_owned()) {
            Entry::Occupied(place) => self.list[*place.get()].1 = value,
            Entry::Vacant(place) => {
                place.insert(self.list.len());
                self.list.push((key, value));
            }
        }
    }
}

/// Merges one or several mappings into `fields`. If several have a key, the earlier one counts.
fn merge(fields: &mut MappingBuilder, value: Node) -> Option<()> {
    match value.content {
        NodeContent::Mapping(merged) => merged.into_iter().for_each(|(key, value)| fields.set(key, value)),
        NodeContent::Sequence(items) => {
            for item in items.into_iter().rev() {
                let NodeContent::Mapping(merged) = item.content else { return None };
                merged.into_iter().for_each(|(key, value)| fields.set(key, value));
            }
        }
        NodeContent::Scalar { .. } => return None,
    }
    Some(())
}

/// Reads a JSON value.
///
/// # Errors
/// What is wrong, in one line.
pub(super) fn json(text: &str) -> Result<Node, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    json_node(raw, 0)
}

fn json_node(raw: &RawValue, depth: usize) -> Result<Node, String> {
    if depth > MAX_DEPTH {
        return Err(format!("it is nested more than {MAX_DEPTH} deep"));
    }
    let text = raw.get();
    let failed = |error: serde_json::Error| error.to_string();
    let content = match text.as_bytes().first() {
        Some(b'{') => {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            let mut known = MappingBuilder::default();
            for (key, value) in deserializer.deserialize_map(Entries).map_err(failed)? {
                let key = Node::new(NodeContent::Scalar { value: key, style: QuoteStyle::Quoted });
                known.set(key, json_node(value, depth + 1)?);
            }
            NodeContent::Mapping(known.list)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
            NodeContent::Sequence(items.into_iter().map(|item| json_node(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        Some(b'"') => {
            NodeContent::Scalar { value: serde_json::from_str(text).map_err(failed)?, style: QuoteStyle::Quoted }
        }
        _ => NodeContent::Scalar { value: text.to_owned(), style: QuoteStyle::Plain },
    };
    let is_scalar = matches!(content, NodeContent::Scalar { .. });
    Ok(Node { written: is_scalar.then(|| text.to_owned()), ..Node::new(content) })
}

/// Reads the fields of a JSON object, in their order.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = fields.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
