//! How a set of tensors differs from the network's, as a table.

use super::{TensorMap, layout};
use crate::EvalError;
use std::collections::BTreeSet;
use std::fmt;

/// All differences between the tensors of one source and the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// File or set the tensors came from.
    pub source_name: String,
    /// One entry for each tensor that does not fit.
    pub differences: Vec<Difference>,
}

/// One tensor that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// The network has it, the source has not.
    Missing,
    /// The source has it, the network has not.
    Unexpected,
    /// Both have it, in different shapes.
    Shape,
    /// An element is infinite or not a number, or a variance is negative.
    Value,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Shape => "wrong shape",
            Self::Value => "wrong value",
        })
    }
}

/// Rows printed; another network differs in hundreds.
const MAX_ROWS: usize = 8;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has not the weights of the Inception network:", self.source_name)?;
        for Difference { kind, name, expected, got } in self.differences.iter().take(MAX_ROWS) {
            write!(f, "\n  {kind:<11}  {name}")?;
            if !expected.is_empty() {
                write!(f, "  expected {expected}")?;
            }
            if !got.is_empty() {
                write!(f, "  got {got}")?;
            }
        }
        match self.differences.len().checked_sub(MAX_ROWS) {
            Some(more @ 1..) => write!(f, "\n  ... and {more} more"),
            _ => Ok(()),
        }
    }
}

/// Checks that `tensors` are the weights of the network; `source_name` names them in errors.
///
/// # Errors
/// [`EvalError::Weights`] with every missing, unexpected and misshapen tensor, and every one with a
/// value that no network has.
pub fn check(tensors: &TensorMap, source_name: &str) -> Result<(), EvalError> {
    let mut differences = Vec::new();
    let mut add = |kind, name: &str, expected: String, got: String| {
        differences.push(Difference { kind, name: name.into(), expected, got });
    };
    let params = layout();
    for param in &params {
        let (name, expected) = (&param.name, format!("{:?}", param.shape));
        let Some(tensor) = tensors.get(name) else {
            add(DifferenceKind::Missing, name, expected, String::new());
            continue;
        };
        if tensor.shape != param.shape {
            add(DifferenceKind::Shape, name, expected, format!("{:?}", tensor.shape));
        } else if tensor.data.len() != param.shape.iter().product::<usize>() {
            add(DifferenceKind::Shape, name, expected, format!("{} elements", tensor.data.len()));
        } else {
            // The root of a variance is taken.
            let least = if name.ends_with("running_var") { 0.0 } else { f32::MIN };
            let is_value = |x: &f32| (least..=f32::MAX).contains(x);
            if let Some(at) = tensor.data.iter().position(|x| !is_value(x)) {
                let got = format!("{} at element {at}", tensor.data[at]);
                add(DifferenceKind::Value, name, String::new(), got);
            }
        }
    }
    let expected: BTreeSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
    for (name, tensor) in tensors.iter().filter(|(name, _)| !expected.contains(name.as_str())) {
        add(DifferenceKind::Unexpected, name, String::new(), format!("{:?}", tensor.shape));
    }
    if differences.is_empty() {
        return Ok(());
    }
    let source_name = source_name.into();
    Err(EvalError::Weights(Box::new(Mismatch { source_name, differences })))
}
