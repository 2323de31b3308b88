//! The configuration that the shapes of weights describe.

use super::TensorMap;
use super::mismatch::{Difference, DifferenceKind, Mismatch, hint};
use crate::config::VaeConfig;
use crate::error::VaeError;
use crate::scaling::LatentScaling;
use std::ops::Bound;

/// The configuration of the network that `tensors` are the weights of.
///
/// Shapes show neither the groups of norms nor the scaling of latents, which get the defaults of
/// diffusers: 32 and 0.18215. Whoever knows better overrides these, or has a `config.json`.
///
/// # Errors
/// [`VaeError::Weights`] names a tensor that is absent or has another number of axes;
/// [`VaeError::Config`] a size out of range.
pub fn infer_config(tensors: &TensorMap, source_name: &str) -> Result<VaeConfig, VaeError> {
    let shapes = Shapes { tensors, source_name };
    let [_, in_channels] = shapes.conv("encoder.conv_in.weight")?;
    let [out_channels, _] = shapes.conv("decoder.conv_out.weight")?;
    let [_, latent_channels] = shapes.conv("decoder.conv_in.weight")?;
    let level = |i: usize| format!("encoder.down_blocks.{i}.resnets.");
    let levels = (0..).take_while(|&i| i == 0 || shapes.has_below(&level(i))).count();
    let widths = (0..levels).map(|i| Ok(shapes.conv(&format!("{}0.conv1.weight", level(i)))?[0]));
    let block_out_channels = widths.collect::<Result<_, VaeError>>()?;
    let layers = (0..).take_while(|j| shapes.has_below(&format!("{}{j}.", level(0)))).count();
    let config = VaeConfig {
        in_channels,
        out_channels,
        latent_channels,
        block_out_channels,
        layers_per_block: layers,
        norm_num_groups: 32,
        mid_block_add_attention: shapes.has_below("encoder.mid_block.attentions."),
        use_quant_conv: shapes.has_below("quant_conv."),
        use_post_quant_conv: shapes.has_below("post_quant_conv."),
        scaling: LatentScaling::STABLE_DIFFUSION,
    };
    config.validate(source_name)?;
    Ok(config)
}

struct Shapes<'a> {
    tensors: &'a TensorMap,
    source_name: &'a str,
}

impl Shapes<'_> {
    /// Output and input channels of a convolution.
    fn conv(&self, name: &str) -> Result<[usize; 2], VaeError> {
        let expected = "[out, in, 3, 3]";
        match self.tensors.get(name) {
            None => Err(self.mismatch(DifferenceKind::Missing, name, expected, String::new())),
            Some(tensor) => match tensor.shape[..] {
                [out, input, 3, 3] => Ok([out, input]),
                _ => {
                    let got = format!("{:?}", tensor.shape);
                    Err(self.mismatch(DifferenceKind::Shape, name, expected, got))
                }
            },
        }
    }

    /// Whether a name starts like this.
    fn has_below(&self, start: &str) -> bool {
        let mut from = self.tensors.range::<str, _>((Bound::Included(start), Bound::Unbounded));
        from.next().is_some_and(|(name, _)| name.starts_with(start))
    }

    fn mismatch(&self, kind: DifferenceKind, name: &str, expected: &str, got: String) -> VaeError {
        let difference = Difference { kind, name: name.into(), expected: expected.into(), got };
        VaeError::Weights(Box::new(Mismatch {
            source_name: self.source_name.into(),
            differences: vec![difference],
            hint: hint(self.tensors),
        }))
    }
}
