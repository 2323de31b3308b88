//! What a pickle describes: values that name each other by number.
//!
//! All values stand in one arena, and a list holds numbers of values. So a value that is used a
//! thousand times is there once, a value inside of itself is no harm, and dropping a million nested
//! tuples is dropping three vectors.

use crate::error::brief;
use std::ops::Range;

/// The number of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(u32);

/// A part of [`Values::text`] or [`Values::items`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One value.
#[derive(Debug)]
pub(crate) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// Hexadecimal digits of a whole number beyond 64 bits, in two's complement.
    BigInt(Span),
    Float(f64),
    Text(Span),
    /// Bytes, which no tensor needs.
    Bytes,
    Tuple(Span),
    /// A list or a set.
    List(Vec<Id>),
    /// Keys and values in the order of the file; of equal keys the last counts.
    Dict(Vec<(Id, Id)>),
    /// The name of a function or class.
    Global {
        module: Span,
        name: Span,
    },
    /// What calling something would give. Nothing is called.
    Object {
        callable: Id,
        args: Id,
    },
    /// What stands outside of the pickle under this description.
    Outside(Id),
}

/// Most values of a file: the optimizer state of the largest network has a quarter of a million.
const MAX_VALUES: usize = 1 << 24;

/// The values of one file.
#[derive(Debug)]
pub(crate) struct Values {
    nodes: Vec<Node>,
    items: Vec<Id>,
    text: String,
}

impl Values {
    pub(crate) const NONE: Id = Id(0);
    pub(crate) const FALSE: Id = Id(1);
    pub(crate) const TRUE: Id = Id(2);
    pub(crate) const EMPTY_TUPLE: Id = Id(3);

    pub(crate) fn new() -> Self {
        let empty = Node::Tuple(Span { start: 0, end: 0 });
        let nodes = vec![Node::None, Node::Bool(false), Node::Bool(true), empty];
        Self { nodes, items: Vec::new(), text: String::new() }
    }

    /// Adds a value, unless there are too many.
    pub(crate) fn push(&mut self, node: Node) -> Result<Id, String> {
        if self.nodes.len() >= MAX_VALUES {
            return Err(format!("there are more than {MAX_VALUES} values"));
        }
        self.nodes.push(node);
        Ok(Id(self.nodes.len() as u32 - 1))
    }

    pub(crate) fn push_tuple(&mut self, items: impl IntoIterator<Item = Id>) -> Result<Id, String> {
        let start = self.items.len();
        self.items.extend(items);
        let node = Node::Tuple(span(start, self.items.len())?);
        self.push(node)
    }

    pub(crate) fn keep_text(&mut self, text: &str) -> Result<Span, String> {
        let start = self.text.len();
        self.text.push_str(text);
        span(start, self.text.len())
    }

    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        &self.text[span.range()]
    }

    pub(crate) fn items(&self, span: Span) -> &[Id] {
        &self.items[span.range()]
    }

    /// The text that a value is.
    pub(crate) fn as_text(&self, id: Id) -> Option<&str> {
        match self.node(id) {
            Node::Text(span) => Some(self.text(*span)),
            _ => None,
        }
    }

    pub(crate) fn as_tuple(&self, id: Id) -> Option<&[Id]> {
        match self.node(id) {
            Node::Tuple(span) => Some(self.items(*span)),
            _ => None,
        }
    }

    /// The whole number from 0 on that a value is.
    pub(crate) fn as_count(&self, id: Id) -> Option<u64> {
        match self.node(id) {
            Node::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Module and name of the class or function that a value is.
    pub(crate) fn as_global(&self, id: Id) -> Option<(&str, &str)> {
        match self.node(id) {
            Node::Global { module, name } => Some((self.text(*module), self.text(*name))),
            _ => None,
        }
    }

    /// Name and arguments of the call that would give a value.
    pub(crate) fn as_call(&self, id: Id) -> Option<((&str, &str), &[Id])> {
        let Node::Object { callable, args } = self.node(id) else { return None };
        Some((self.as_global(*callable)?, self.as_tuple(*args)?))
    }

    /// A value in words.
    pub(crate) fn describe(&self, id: Id) -> String {
        match self.node(id) {
            Node::None => "None".into(),
            Node::Bool(_) => "a truth value".into(),
            Node::Int(_) | Node::BigInt(_) | Node::Float(_) => "a number".into(),
            Node::Text(_) => "a text".into(),
            Node::Bytes => "bytes".into(),
            Node::Tuple(_) => "a tuple".into(),
            Node::List(_) => "a list".into(),
            Node::Dict(_) => "a dict".into(),
            Node::Global { .. } => format!("the name {}", self.class_name(id)),
            Node::Object { callable, .. } => {
                format!("an object, made by {}", self.class_name(*callable))
            }
            Node::Outside(_) => "a storage".into(),
        }
    }

    fn class_name(&self, id: Id) -> String {
        match self.as_global(id) {
            Some((module, name)) => format!("{}.{}", brief(module), brief(name)),
            None => "something without a name".into(),
        }
    }
}

fn span(start: usize, end: usize) -> Result<Span, String> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Span { start, end }),
        _ => Err("there is more text than fits in four gigabytes".into()),
    }
}
