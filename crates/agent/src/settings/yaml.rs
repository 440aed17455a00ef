//! YAML text to trees in which every key and value knows its place.
//!
//! Values stay text: whether `yes`, `5` or `1e3` is a truth value, a number or a name is decided by the key that holds
//! it. Aliases and merge keys (`<<`) are resolved as PyYAML does. Faults name places, never values.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

/// Bound on the nodes of one file once aliases are resolved, so that a small file cannot fill the memory.
const MAX_NODES: usize = 100_000;

/// A place in the text: line and column from 1; 0 and 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A value and where it begins.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a node holds.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Already reported; whoever meets it says nothing more.
    Faulty,
}

/// A scalar that is not null.
#[derive(Clone)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Whether it was quoted, so that it is text also for YAML.
    pub(crate) quoted: bool,
    /// The text of the file, where variables have been filled in since.
    pub(crate) written: Option<String>,
}

/// One entry of a mapping.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// A fault of the text itself.
pub(crate) struct TextFault {
    pub(crate) place: Place,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl TextFault {
    fn new(place: Place, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { place, message: message.into(), hint: hint.map(str::to_owned) }
    }
}

impl Node {
    /// The value under a key of a mapping, null included.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key of a mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Scalar(_) | Value::List(_) | Value::Faulty => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Scalar(_) | Value::Map(_) | Value::Faulty => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Faulty => None,
        }
    }

    /// What kind of thing it is, for messages.
    pub(crate) fn noun(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Faulty => "a faulty value",
        }
    }
}

/// The documents of a file. Faults that leave the tree readable (a repeated key) come beside it.
pub(crate) fn documents(text: &str) -> Result<(Vec<Node>, Vec<TextFault>), TextFault> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| scan_fault(&error))?;
        builder.take(&event, span)?;
    }
    Ok((builder.documents, builder.faults))
}

fn scan_fault(error: &ScanError) -> TextFault {
    let marker = error.marker();
    let place = Place { line: marker.line(), column: marker.col() + 1 };
    let reason = error.info();
    let hint = if reason.contains("tab") {
        "indent with spaces"
    } else if reason.contains("anchor") || reason.contains("character") || reason.contains("tag") {
        "a value that begins with one of `*&!%@|>{[` and the like must be quoted"
    } else if reason.contains("':'") || reason.contains("indentation") || reason.contains("key") {
        "check the indentation of this line and the one before, and the `:` after the key"
    } else {
        "check brackets, quotes and indentation up to this place"
    };
    TextFault::new(place, format!("not valid YAML: {reason}"), Some(hint))
}

/// A collection whose end has not been seen yet.
struct Open {
    place: Place,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<Node>, key: Option<(String, Place)> },
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    faults: Vec<TextFault>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// How many nodes each anchored tree has, to bound what aliases add.
    sizes: HashMap<usize, usize>,
}

impl Builder {
    fn take(&mut self, event: &Event<'_>, span: Span) -> Result<(), TextFault> {
        let place = Place { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let quoted =
                    *style != ScalarStyle::Plain || tag.as_deref().is_some_and(|tag| says(tag, "str"));
                self.refuse_tag(tag.as_deref(), place);
                let value = scalar(text, quoted);
                self.close(Node { place, value }, *anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                self.open.push(Open { place, anchor: *anchor, kind: OpenKind::List(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), place);
                let kind = OpenKind::Map { entries: Vec::new(), merges: Vec::new(), key: None };
                self.open.push(Open { place, anchor: *anchor, kind });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.end_collection(),
            Event::Alias(anchor) => {
                let size = self.sizes.get(anchor).copied().unwrap_or(1);
                self.count(size, place)?;
                let target = self.anchors.get(anchor).cloned();
                let value = target.map_or(Value::Faulty, |node| node.value);
                self.close(Node { place, value }, 0)
            }
            Event::UnresolvedAlias(_) => {
                Err(TextFault::new(place, "an alias (`*…`) has no anchor before it", Some("quote the value")))
            }
            // Stream and document marks, comments, and whatever a later parser adds beside values.
            _ => Ok(()),
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, place: Place) {
        if tag.is_some_and(|tag| !tag.is_yaml_core_schema()) {
            self.faults.push(TextFault::new(
                place,
                "a tag (`!…`) has no meaning here",
                Some("remove it, or quote the value if it begins with `!`"),
            ));
        }
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), TextFault> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(TextFault::new(place, format!("more than {MAX_NODES} values in the file"), None));
        }
        Ok(())
    }

    fn end_collection(&mut self) -> Result<(), TextFault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.kind {
            OpenKind::List(items) => Value::List(items),
            OpenKind::Map { mut entries, merges, .. } => {
                merge(&mut entries, merges);
                Value::Map(entries)
            }
        };
        self.close(Node { place: open.place, value }, open.anchor)
    }

    /// Puts a finished node where it belongs: into the collection around it, or as a document.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), TextFault> {
        self.count(1, node.place)?;
        if anchor != 0 {
            self.sizes.insert(anchor, size(&node));
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        let (entries, merges, key) = match &mut open.kind {
            OpenKind::List(items) => {
                items.push(node);
                return Ok(());
            }
            OpenKind::Map { entries, merges, key } => (entries, merges, key),
        };
        let Some((name, place)) = key.take() else {
            let text = match &node.value {
                Value::Scalar(scalar) => scalar.text.clone(),
                Value::Null => "null".to_owned(),
                Value::List(_) | Value::Map(_) | Value::Faulty => {
                    let message = format!("{} stands where a key is expected", node.noun());
                    let hint =
                        "quote a value that begins with `{` or `[`, and a `${…}` at the beginning of a line";
                    self.faults.push(TextFault::new(node.place, message, Some(hint)));
                    String::new()
                }
            };
            *key = Some((text, node.place));
            return Ok(());
        };
        if name == "<<" {
            merges.push(node);
        } else if let Some(first) = entries.iter().find(|entry| entry.key == name) {
            let message =
                format!("the key `{name}` appears twice; the first time in line {}", first.place.line);
            self.faults.push(TextFault::new(place, message, Some("keep one of them")));
        } else {
            entries.push(Entry { key: name, place, node });
        }
        Ok(())
    }
}

fn scalar(text: &str, quoted: bool) -> Value {
    if !quoted && matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    Value::Scalar(Scalar { text: text.to_owned(), quoted, written: None })
}

fn says(tag: &Tag, name: &str) -> bool {
    tag.is_yaml_core_schema_tag(name)
}

/// Own keys win over merged ones, earlier merges over later ones.
fn merge(entries: &mut Vec<Entry>, merges: Vec<Node>) {
    let sources = merges.into_iter().flat_map(|node| match node.value {
        Value::List(items) => items,
        value @ (Value::Map(_) | Value::Null | Value::Scalar(_) | Value::Faulty) => {
            vec![Node { place: node.place, value }]
        }
    });
    for source in sources {
        let Value::Map(merged) = source.value else { continue };
        for entry in merged {
            if !entries.iter().any(|own| own.key == entry.key) {
                entries.push(entry);
            }
        }
    }
}

fn size(node: &Node) -> usize {
    let inner: usize = match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node) + 1).sum(),
        Value::Null | Value::Scalar(_) | Value::Faulty => 0,
    };
    inner + 1
}
