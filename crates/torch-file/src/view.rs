//! What a file describes, for readers outside of the crate.

use crate::values::{Id, Node, Values};

/// A value of a file, as far as it is known without running anything.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number that fits 64 bits.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// A tuple, a list or a set.
    Items(Items<'a>),
    /// A dict, also an `OrderedDict` or a `defaultdict`.
    Dict(Dict<'a>),
    /// Anything else: a tensor, an object of a class, a class, bytes, a number beyond 64 bits.
    Other(Other<'a>),
}

impl<'a> Value<'a> {
    pub(crate) fn new(values: &'a Values, id: Id) -> Self {
        match values.node(id) {
            Node::None => Self::None,
            Node::Bool(value) => Self::Bool(*value),
            Node::Int(value) => Self::Int(*value),
            Node::Float(value) => Self::Float(*value),
            Node::Text(span) => Self::Text(values.text(*span)),
            Node::Tuple(span) => Self::Items(Items { values, ids: values.items(*span) }),
            Node::List(ids) => Self::Items(Items { values, ids }),
            Node::Dict(entries) => Self::Dict(Dict { values, entries }),
            _ => Self::Other(Other { values, id }),
        }
    }

    /// The value in words that fit a message, such as `a list`.
    pub fn describe(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(_) => "a truth value".into(),
            Self::Int(_) | Self::Float(_) => "a number".into(),
            Self::Text(_) => "a text".into(),
            Self::Items(_) => "a list".into(),
            Self::Dict(_) => "a dict".into(),
            Self::Other(Other { values, id }) => values.describe(*id),
        }
    }
}

/// A value of which only a description is known.
#[derive(Clone, Copy)]
pub struct Other<'a> {
    values: &'a Values,
    id: Id,
}

/// The values of a tuple, list or set.
#[derive(Clone, Copy)]
pub struct Items<'a> {
    values: &'a Values,
    ids: &'a [Id],
}

impl<'a> Items<'a> {
    /// The values in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let values = self.values;
        self.ids.iter().map(move |id| Value::new(values, *id))
    }
}

/// The entries of a dict.
#[derive(Clone, Copy)]
pub struct Dict<'a> {
    values: &'a Values,
    entries: &'a [(Id, Id)],
}

impl<'a> Dict<'a> {
    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let values = self.values;
        self.entries
            .iter()
            .map(move |(key, value)| (Value::new(values, *key), Value::new(values, *value)))
    }

    /// The keys that are texts, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let values = self.values;
        self.entries.iter().filter_map(move |(key, _)| values.as_text(*key))
    }

    /// The value of a text; the last where it stands several times, as Python has it.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let is_it = |(key, _): &&(Id, Id)| self.values.as_text(*key) == Some(name);
        let (_, value) = self.entries.iter().rev().find(is_it)?;
        Some(Value::new(self.values, *value))
    }

    pub(crate) fn ids(&self) -> &'a [(Id, Id)] {
        self.entries
    }
}

/// Values are not printed with what they hold: one may hold itself.
macro_rules! debug_as_description {
    ($($kind:ident: $what:expr),*) => {
        $(impl std::fmt::Debug for $kind<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let describe: fn(&Self) -> String = $what;
                f.write_str(&describe(self))
            }
        })*
    };
}

debug_as_description!(
    Other: |other| other.values.describe(other.id),
    Items: |items| format!("{} items", items.ids.len()),
    Dict: |dict| format!("{} entries", dict.entries.len())
);
