//! A document of YAML or JSON, as a tree that keeps how it was written: a scalar is printed as it was read, so that
//! every reader understands it as before.

/// A value, with its comments.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) content: NodeContent,
    /// The tag of the value, such as `!!str`.
    pub(super) tag: Option<String>,
    /// The line from which the value was read, if it was only one; dropped when something in the value changes.
    pub(super) written: Option<String>,
    /// The lines of comments before the value.
    pub(super) above: Vec<String>,
    /// The comment after the value, on the same line.
    pub(super) right: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum NodeContent {
    Scalar { value: String, style: QuoteStyle },
    Sequence(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuoteStyle {
    /// A scalar without quotes: it may be a number, a boolean or null.
    Plain,
    Quoted,
    Block,
}

/// The meaning of a plain scalar for kubectl, which reads YAML 1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plain {
    Null,
    Bool,
    Number(String),
    Text,
}

const NULLS: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const BOOLEANS: [&str; 22] = [
    "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO", "false",
    "False", "FALSE", "off", "Off", "OFF",
];

/// The meaning of `text` for kubectl if it is not quoted. A number is converted to decimal.
pub(super) fn plain(text: &str) -> Plain {
    if NULLS.contains(&text) {
        return Plain::Null;
    }
    if BOOLEANS.contains(&text) {
        return Plain::Bool;
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return Plain::Text;
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Plain::Number(number.to_string());
    }
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((&digits, "0"));
    let is_digits = |text: &str| text.chars().all(|letter| letter.is_ascii_digit());
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let (whole, fraction) = (unsigned(mantissa), unsigned(exponent));
    let parts = whole.split_once('.').unwrap_or((&whole, ""));
    let is_float = is_digits(parts.0) && is_digits(parts.1) && !(parts.0.is_empty() && parts.1.is_empty());
    if is_float && is_digits(&fraction) && !fraction.is_empty() { Plain::Number(digits) } else { Plain::Text }
}

/// Reads an integer as Go does: also in bases 2, 8 and 16.
fn integer(text: &str) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    let is_unsigned = digits.starts_with(|first: char| first.is_ascii_hexdigit());
    let number = is_unsigned.then(|| i128::from_str_radix(digits, radix).ok()).flatten()?;
    (number <= i128::from(u64::MAX)).then_some(sign * number)
}

impl Node {
    pub(super) fn new(content: NodeContent) -> Node {
        Node { content, tag: None, written: None, above: Vec::new(), right: None }
    }

    /// A string. It is printed without quotes if every reader takes it for a string.
    pub(super) fn string(value: &str) -> Node {
        let is_word = value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
            && value.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter));
        let is_word = is_word || value.chars().all(|letter| letter.is_ascii_alphanumeric());
        let style = if is_word && plain(value) == Plain::Text { QuoteStyle::Plain } else { QuoteStyle::Quoted };
        Node::new(NodeContent::Scalar { value: value.to_owned(), style })
    }

    pub(super) fn mapping<'a>(fields: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
        Node::new(NodeContent::Mapping(fields.into_iter().map(|(key, value)| (Node::string(key), value)).collect()))
    }

    pub(super) fn sequence(items: Vec<Node>) -> Node {
        Node::new(NodeContent::Sequence(items))
    }

    /// The text of a scalar of any type.
    pub(super) fn scalar(&self) -> Option<&str> {
        match &self.content {
            NodeContent::Scalar { value, .. } => Some(value),
            NodeContent::Sequence(_) | NodeContent::Mapping(_) => None,
        }
    }

    /// The text of a scalar that is a string.
    pub(super) fn as_str(&self) -> Option<&str> {
        self.scalar().filter(|text| self.is_quoted() || plain(text) == Plain::Text)
    }

    /// The text of a quantity, which may be written as a number.
    pub(super) fn as_quantity(&self) -> Option<String> {
        let text = self.scalar()?;
        if self.is_quoted() {
            return Some(text.to_owned());
        }
        match plain(text) {
            Plain::Number(number) => Some(number),
            Plain::Text => Some(text.to_owned()),
            Plain::Null | Plain::Bool => None,
        }
    }

    fn is_quoted(&self) -> bool {
        self.tag.as_deref() == Some("!!str")
            || matches!(&self.content, NodeContent::Scalar { style: QuoteStyle::Quoted | QuoteStyle::Block, .. })
    }

    pub(super) fn is_null(&self) -> bool {
        !self.is_quoted() && self.scalar().is_some_and(|text| plain(text) == Plain::Null)
    }

    /// The value of a key, if the key is set to something.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.fields()
            .iter()
            .find(|(name, _)| name.scalar() == Some(key))
            .map(|(_, value)| value)
            .filter(|it| !it.is_null())
    }

    pub(super) fn path(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(super) fn fields(&self) -> &[(Node, Node)] {
        match &self.content {
            NodeContent::Mapping(fields) => fields,
            NodeContent::Scalar { .. } | NodeContent::Sequence(_) => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.content {
            NodeContent::Sequence(items) => items,
            NodeContent::Scalar { .. } | NodeContent::Mapping(_) => &[],
        }
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self.content, NodeContent::Mapping(_))
    }

    /// The value of a key, to be changed.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.written = None;
        let NodeContent::Mapping(fields) = &mut self.content else { return None };
        let value = fields.iter_mut().find(|(name, _)| name.scalar() == Some(key)).map(|(_, value)| value);
        value.filter(|it| !it.is_null())
    }

    /// The items of a sequence, to be changed.
    pub(super) fn items_mut(&mut self) -> &mut [Node] {
        self.written = None;
        match &mut self.content {
            NodeContent::Sequence(items) => items,
            NodeContent::Scalar { .. } | NodeContent::Mapping(_) => &mut [],
        }
    }

    /// Sets a key of a mapping: in its place, or else before the key `before`, or else at the end.
    pub(super) fn set(&mut self, key: &str, value: Node, before: Option<&str>) {
        self.written = None;
        let NodeContent::Mapping(fields) = &mut self.content else { return };
        let at = |key: &str| fields.iter().position(|(name, _)| name.scalar() == Some(key));
        match (at(key), before.and_then(at)) {
            (Some(at), _) => fields[at].1 = value,
            (None, Some(at)) => fields.insert(at, (Node::string(key), value)),
            (None, None) => fields.push((Node::string(key), value)),
        }
    }

    /// The items of the sequence that is the value of a key; an empty sequence is made if the key is missing.
    pub(super) fn list_mut(&mut self, key: &str, before: Option<&str>) -> Option<&mut Vec<Node>> {
        if self.get(key).is_none() {
            self.set(key, Node::sequence(Vec::new()), before);
        }
        let list = self.get_mut(key)?;
        list.written = None;
        match &mut list.content {
            NodeContent::Sequence(items) => Some(items),
            NodeContent::Scalar { .. } | NodeContent::Mapping(_) => None,
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.written = None;
        if let NodeContent::Mapping(fields) = &mut self.content {
            fields.retain(|(name, _)| name.scalar() != Some(key));
        }
    }

    /// The value without comments.
    pub(super) fn uncommented(mut self) -> Node {
        fn strip(node: &mut Node) {
            node.above.clear();
            node.right = None;
            match &mut node.content {
                NodeContent::Scalar { .. } => {}
                NodeContent::Sequence(items) => items.iter_mut().for_each(strip),
                NodeContent::Mapping(fields) => fields.iter_mut().for_each(|(key, value)| {
                    strip(key);
                    strip(value);
                }),
            }
        }
        strip(&mut self);
        self
    }
}

/// Compares what readers understand, not how it is written.
impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        match (&self.content, &other.content) {
            (NodeContent::Scalar { value, .. }, NodeContent::Scalar { value: theirs, .. }) => {
                value == theirs && self.tag == other.tag && self.as_str() == other.as_str()
            }
            (NodeContent::Sequence(items), NodeContent::Sequence(theirs)) => items == theirs && self.tag == other.tag,
            (NodeContent::Mapping(fields), NodeContent::Mapping(theirs)) => fields == theirs && self.tag == other.tag,
            _ => false,
        }
    }
}
