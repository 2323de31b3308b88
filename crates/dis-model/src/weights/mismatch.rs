//! How a set of tensors differs from the expected one, as a table.

use super::TensorMap;
use crate::config::DisPreset;
use crate::params::ParamLayout;
use std::fmt;

/// All differences between the tensors of one source and a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// File or set the tensors came from.
    pub source_name: String,
    /// One entry per tensor that does not fit.
    pub differences: Vec<Difference>,
    /// What the tensors look like instead.
    pub hint: Option<String>,
}

/// One tensor that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what way.
    pub kind: DifferenceKind,
    /// Name of the tensor.
    pub name: String,
    /// Shape the network has; empty for unexpected tensors.
    pub expected: String,
    /// Shape or value found; empty for missing tensors.
    pub got: String,
}

/// In what way a tensor does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// The network has it, the source has not.
    Missing,
    /// The source has it, the network has not.
    Unexpected,
    /// Both have it, in different shapes.
    Shape,
    /// An element is infinite or not a number.
    NonFinite,
}

impl DifferenceKind {
    const ALL: [Self; 4] = [Self::Missing, Self::Unexpected, Self::Shape, Self::NonFinite];

    fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Shape => "wrong shape",
            Self::NonFinite => "not finite",
        }
    }
}

/// Rows printed per kind; a network may have 891 parameters.
const MAX_ROWS: usize = 20;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not fit the network:", self.source_name)?;
        for kind in DifferenceKind::ALL {
            let rows: Vec<_> = self.differences.iter().filter(|d| d.kind == kind).collect();
            let shown = &rows[..rows.len().min(MAX_ROWS)];
            let name = shown.iter().map(|d| d.name.len()).max().unwrap_or(0);
            let expected = shown.iter().map(|d| d.expected.len()).max().unwrap_or(0);
            for d in shown {
                write!(f, "\n  {:<11}  {:<name$}", kind.label(), d.name)?;
                match (d.expected.is_empty(), d.got.is_empty()) {
                    (false, true) => write!(f, "  expected {}", d.expected)?,
                    (true, _) => write!(f, "  got {}", d.got)?,
                    _ => write!(f, "  expected {:<expected$}  got {}", d.expected, d.got)?,
                }
            }
            if rows.len() > MAX_ROWS {
                write!(f, "\n  {:<11}  ... and {} more", kind.label(), rows.len() - MAX_ROWS)?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\nhelp: {hint}"),
            None => Ok(()),
        }
    }
}

/// Every tensor that keeps `tensors` from filling an arena of `layout`.
pub(super) fn compare(layout: &ParamLayout, tensors: &TensorMap) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut add = |kind, name: &str, expected: String, got: String| {
        differences.push(Difference { kind, name: name.to_string(), expected, got });
    };
    for param in layout.iter() {
        let (name, expected) = (&param.name, format!("{:?}", param.shape));
        match tensors.get(name) {
            None => add(DifferenceKind::Missing, name, expected, String::new()),
            Some(tensor) if tensor.shape != param.shape => {
                add(DifferenceKind::Shape, name, expected, format!("{:?}", tensor.shape));
            }
            Some(tensor) if tensor.data.len() != param.range.len() => {
                let got = format!("{} elements", tensor.data.len());
                add(DifferenceKind::Shape, name, expected, got);
            }
            Some(tensor) => {
                if let Some(at) = tensor.data.iter().position(|x| !x.is_finite()) {
                    let count = tensor.data[at..].iter().filter(|x| !x.is_finite()).count();
                    let got = format!("{} at element {at}, {count} in all", tensor.data[at]);
                    add(DifferenceKind::NonFinite, name, String::new(), got);
                }
            }
        }
    }
    for (name, tensor) in tensors.iter().filter(|(name, _)| layout.get(name).is_none()) {
        add(DifferenceKind::Unexpected, name, String::new(), format!("{:?}", tensor.shape));
    }
    differences
}

/// What `tensors` would fit, as far as their names and widths tell.
pub(super) fn hint(layout: &ParamLayout, tensors: &TensorMap) -> Option<String> {
    if let Some(prefix) = tensors.keys().find_map(|name| name.strip_suffix(".pos_embed")) {
        return Some(format!("names start with `{prefix}.`: read the tensors below that prefix"));
    }
    let size = |width: Option<usize>, names: &mut dyn Iterator<Item = &str>| {
        let blocks = names
            .filter(|n| n.starts_with("in_blocks.") && n.ends_with(".mixer.in_proj.weight"))
            .count();
        Some((width?, 2 * blocks))
    };
    let ours = layout.get("norm_f.weight").map(|p| p.shape[0]);
    let ours = size(ours, &mut layout.iter().map(|p| p.name.as_str()));
    let theirs = tensors.get("norm_f.weight").and_then(|t| t.shape.first().copied());
    let theirs = size(theirs, &mut tensors.keys().map(String::as_str));
    let preset = DisPreset::ALL.into_iter().find(|p| Some(p.size()) == theirs)?;
    let (width, depth) = preset.size();
    (ours != theirs)
        .then(|| format!("width {width} and depth {depth} are those of preset {}", preset.name()))
}
