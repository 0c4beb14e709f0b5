//! YAML bytes to trees that remember where each part stood.
//!
//! It knows nothing of Kubernetes; a tree is what is between two `---`. Start with [`documents`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

/// A place in a file, both numbers from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The line.
    pub(crate) line: u64,
    /// The column, in characters.
    pub(crate) column: u64,
}

impl Position {
    /// Where a file begins: for what concerns all of it.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for Position {
    fn from(location: Location) -> Self {
        // The library says 0 for "unknown".
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// One value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where the value begins.
    pub(crate) position: Position,
    /// The value.
    pub(crate) content: Content,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Null, a boolean, a number or a text.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in the order of the file.
    Map(Vec<Entry>),
}

/// One `name: value` of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name.
    pub(crate) name: String,
    /// Where the name begins.
    pub(crate) position: Position,
    /// What it names.
    pub(crate) value: Node,
}

/// Why a document is not a tree.
#[derive(Clone, Debug)]
pub(crate) struct YamlError {
    /// Where it was noticed.
    pub(crate) position: Position,
    /// What the parser says, without any text of the file.
    pub(crate) message: String,
}

/// The documents of a file in order, the empty ones left out.
///
/// After broken syntax nothing follows; after an error within a document, such as a duplicate key, the next one does.
pub(crate) fn documents(bytes: &[u8]) -> Vec<Result<Node, YamlError>> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let mut reader = bytes;
    serde_saphyr::read_with_options::<_, Node>(&mut reader, options)
        .map(|document| {
            document.map_err(|error| YamlError {
                position: error.location().map_or(Position::START, Position::from),
                message: first_sentence(&error.to_string()),
            })
        })
        .collect()
}

/// The parser's message without its own "at line N", which stands beside it anyway.
fn first_sentence(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).trim().to_owned()
}

impl Node {
    /// What a mapping says under a name; nothing where this is no mapping.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }

    /// The entries of a mapping; none where this is no mapping.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a text; nothing for all else.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether this is null, which in a mapping means the same as no entry.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    /// The same value without places. Entries that are null are left out, as the API server does.
    pub(crate) fn to_value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Node::to_value).collect()),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .filter(|entry| !entry.value.is_null())
                    .map(|entry| (entry.name.clone(), entry.value.to_value()))
                    .collect(),
            ),
        }
    }

    /// The place of `spec.origins[0].id`, or of the deepest part of that path that exists.
    pub(crate) fn locate(&self, path: &str) -> Position {
        let mut node = self;
        let mut rest = path;
        let mut position = self.position;
        while !rest.is_empty() {
            let Some((next, at, after)) = node.step(rest) else { break };
            (node, position, rest) = (next, at, after);
        }
        position
    }

    /// One step along a path: the part, its place, and what is left of the path.
    fn step<'a, 'p>(&'a self, path: &'p str) -> Option<(&'a Node, Position, &'p str)> {
        let path = path.strip_prefix('.').unwrap_or(path);
        match &self.content {
            Content::Scalar(_) => None,
            Content::List(items) => {
                let (index, after) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some((item, item.position, after))
            }
            // The longest name first: names of mappings may hold dots (`data.tls.crt`).
            Content::Map(entries) => entries
                .iter()
                .filter_map(|entry| {
                    let after = path.strip_prefix(entry.name.as_str())?;
                    (after.is_empty() || after.starts_with(['.', '['])).then_some((entry, after))
                })
                .max_by_key(|(entry, _)| entry.name.len())
                .map(|(entry, after)| (&entry.value, entry.position, after)),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { position: spanned.referenced.into(), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        Number::from_f64(value)
            .map(|number| Content::Scalar(Value::Number(number)))
            .ok_or_else(|| E::custom("infinity and not-a-number are not values of a manifest"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Content, E> {
        Ok(Content::Scalar(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Content::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<Node>()? {
            let text = match name.content {
                Content::Scalar(Value::String(text)) => text,
                Content::Scalar(value) => value.to_string(),
                _ => return Err(A::Error::custom("the names of a mapping are texts")),
            };
            entries.push(Entry { name: text, position: name.position, value: map.next_value()? });
        }
        Ok(Content::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Node {
        let mut documents = documents(text.as_bytes());
        assert_eq!(documents.len(), 1, "{documents:?}");
        documents.remove(0).expect("a tree")
    }

    #[test]
    fn every_part_remembers_where_it_stood() {
        let node = only("spec:\n  origins:\n    - id: app\n      service: {name: web}\n");
        let at = |path| {
            let Position { line, column } = node.locate(path);
            (line, column)
        };
        assert_eq!(at("spec"), (1, 1));
        assert_eq!(at("spec.origins"), (2, 3));
        assert_eq!(at("spec.origins[0].id"), (3, 7));
        assert_eq!(at("spec.origins[0].service.name"), (4, 17));
        assert_eq!(at("spec.origins[0].httpPort"), (3, 7), "the deepest part that exists");
    }

    #[test]
    fn names_with_dots_are_found() {
        let node = only("data:\n  tls: b\n  tls.crt: a\n");
        assert_eq!(node.locate("data.tls.crt").line, 3);
    }

    #[test]
    fn a_duplicate_key_costs_its_document_only() {
        let read = documents(b"a: 1\na: 2\n---\nb: 1\n");
        assert_eq!(read.len(), 2, "{read:?}");
        assert_eq!(read[0].as_ref().expect_err("a duplicate").position.line, 2);
        assert!(read[1].is_ok());
    }

    #[test]
    fn broken_syntax_ends_the_file_but_keeps_what_stood_before() {
        let read = documents(b"a: 1\n---\nb: [1\nc: 2\n---\nd: 3\n");
        assert!(read[0].is_ok());
        assert_eq!(read.len(), 2, "{read:?}");
        assert!(read[1].is_err());
    }

    #[test]
    fn empty_documents_are_left_out() {
        assert_eq!(documents(b"---\n# nothing\n---\na: 1\n---\n").len(), 1);
        assert_eq!(documents(b"").len(), 0);
    }

    #[test]
    fn null_entries_mean_no_entries() {
        assert_eq!(
            only("a: ~\nb: yes\nc: 0.5\nd: 7\n").to_value(),
            serde_json::json!({"b": "yes", "c": 0.5, "d": 7})
        );
    }
}
