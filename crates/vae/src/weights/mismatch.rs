//! How a set of tensors differs from the expected one, as a table.

use super::TensorMap;
use crate::config::VaeConfig;
use crate::error::VaeError;
use crate::layout::params;
use std::collections::BTreeSet;
use std::fmt;

/// All differences between the tensors of one source and a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// File or set the tensors came from.
    pub source_name: String,
    /// One entry for each tensor that does not fit.
    pub differences: Vec<Difference>,
    /// What the tensors look like instead.
    pub hint: Option<&'static str>,
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
    /// An element is infinite or not a number.
    NonFinite,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Unexpected => "unexpected",
            Self::Shape => "wrong shape",
            Self::NonFinite => "not finite",
        })
    }
}

/// Rows printed; a network has 248 weights.
const MAX_ROWS: usize = 30;

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not fit the autoencoder:", self.source_name)?;
        for Difference { kind, name, expected, got } in self.differences.iter().take(MAX_ROWS) {
            write!(f, "\n  {kind:<11}  {name}")?;
            if !expected.is_empty() {
                write!(f, "  expected {expected}")?;
            }
            if !got.is_empty() {
                write!(f, "  got {got}")?;
            }
        }
        if self.differences.len() > MAX_ROWS {
            write!(f, "\n  ... and {} more", self.differences.len() - MAX_ROWS)?;
        }
        self.hint.map_or(Ok(()), |hint| write!(f, "\nhelp: {hint}"))
    }
}

/// Checks that `tensors` are the weights of a network of `config`; `source_name` names them in errors.
///
/// # Errors
/// [`VaeError::Weights`] with every missing, unexpected, misshapen and non-finite tensor.
pub fn check(config: &VaeConfig, tensors: &TensorMap, source_name: &str) -> Result<(), VaeError> {
    let differences = compare(config, tensors);
    if differences.is_empty() {
        return Ok(());
    }
    let (source_name, hint) = (source_name.into(), hint(tensors));
    Err(VaeError::Weights(Box::new(Mismatch { source_name, differences, hint })))
}

fn compare(config: &VaeConfig, tensors: &TensorMap) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut add = |kind, name: &str, expected: String, got: String| {
        differences.push(Difference { kind, name: name.into(), expected, got });
    };
    let params = params(config);
    for param in &params {
        let expected = format!("{:?}", param.shape);
        match tensors.get(&param.name) {
            None => add(DifferenceKind::Missing, &param.name, expected, String::new()),
            Some(tensor) if tensor.shape != param.shape => {
                add(DifferenceKind::Shape, &param.name, expected, format!("{:?}", tensor.shape));
            }
            Some(tensor) if tensor.data.len() != param.shape.iter().product::<usize>() => {
                let got = format!("{} elements", tensor.data.len());
                add(DifferenceKind::Shape, &param.name, expected, got);
            }
            Some(tensor) => {
                if let Some(at) = tensor.data.iter().position(|x| !x.is_finite()) {
                    let got = format!("{} at element {at}", tensor.data[at]);
                    add(DifferenceKind::NonFinite, &param.name, String::new(), got);
                }
            }
        }
    }
    let expected: BTreeSet<&str> = params.iter().map(|param| param.name.as_str()).collect();
    for (name, tensor) in tensors.iter().filter(|(name, _)| !expected.contains(name.as_str())) {
        add(DifferenceKind::Unexpected, name, String::new(), format!("{:?}", tensor.shape));
    }
    differences
}

/// What other layouts `tensors` may have.
pub(super) fn hint(tensors: &TensorMap) -> Option<&'static str> {
    let any = |is: fn(&str) -> bool| tensors.keys().any(|name| is(name));
    if any(|name| name.contains("encoder.down.") || name.starts_with("first_stage_model.")) {
        return Some(
            "names are those of the latent-diffusion code; in Python, \
             `AutoencoderKL.from_single_file(file).save_pretrained(folder)` of diffusers translates them",
        );
    }
    any(|name| name.starts_with("vae.") || name.starts_with("module.")).then_some(
        "names have a prefix; save the autoencoder alone, with `save_pretrained` of diffusers",
    )
}
