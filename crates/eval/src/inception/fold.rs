//! Norms as part of the convolutions before them.

use super::weights::{NORM, Tensor, TensorMap};

/// Added to variances.
const EPS: f64 = 1e-3;

/// Weights of a convolution that includes its norm.
pub(super) struct Folded {
    /// `[out, in, rows, columns]`.
    pub(super) weight: Vec<f32>,
    /// `[out]`.
    pub(super) bias: Vec<f64>,
}

/// Takes the tensors of layer `name`, so that there are no two copies of all weights.
///
/// `factor = weight / sqrt(running_var + 1e-3)` of a channel goes into the weights of its convolution,
/// and `bias - running_mean factor` is added. In f64, with one rounding of each weight at the end.
///
/// # Panics
/// When a tensor is absent, because the set was checked.
pub(super) fn take(tensors: &mut TensorMap, name: &str) -> Folded {
    let Tensor { data: mut weight, .. } = take_one(tensors, &format!("{name}.conv.weight"));
    let norm = NORM.map(|part| take_one(tensors, &format!("{name}.bn.{part}")).data);
    let [gains, shifts, means, variances] = norm;
    let taps = weight.len() / gains.len();
    let mut bias = Vec::with_capacity(gains.len());
    for (channel, weight) in weight.chunks_exact_mut(taps).enumerate() {
        let [gain, shift, mean, variance] =
            [&gains, &shifts, &means, &variances].map(|part| f64::from(part[channel]));
        let factor = gain / (variance + EPS).sqrt();
        weight.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
        bias.push(shift - mean * factor);
    }
    Folded { weight, bias }
}

/// One tensor of a checked set.
pub(super) fn take_one(tensors: &mut TensorMap, name: &str) -> Tensor {
    let tensor = tensors.remove(name);
    tensor.unwrap_or_else(|| panic!("{name} was not checked, or is used twice"))
}
