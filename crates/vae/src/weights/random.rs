//! Weights to test and to experiment with.

use super::{Tensor, TensorMap};
use crate::config::VaeConfig;
use crate::layout::{Param, params};
use philox::{Draws, Purpose, name_position};

/// Random weights of a network of `config`, a function of its arguments alone.
///
/// Convolutions, linear maps and their biases are uniform within `1 / sqrt(fan in)`, as PyTorch
/// starts them. Norms are within 0.1 of factor 1 and shift 0, so that each of them counts. Nothing
/// is learned: latents of such a network say little of an image.
pub fn random(config: &VaeConfig, seed: u64) -> TensorMap {
    let params = params(config);
    let mut tensors = TensorMap::new();
    let mut fan_in = 1;
    for Param { name, shape } in params {
        // A bias stands behind its weight, and has its fan in.
        if shape.len() > 1 {
            fan_in = shape[1..].iter().product();
        }
        let is_norm = name.contains("norm");
        let (centre, bound) = match (is_norm, name.ends_with(".weight")) {
            (true, true) => (1.0, 0.1),
            (true, false) => (0.0, 0.1),
            (false, _) => (0.0, 1.0 / (fan_in as f32).sqrt()),
        };
        let mut data = vec![0.0; shape.iter().product()];
        Draws::new(seed, Purpose::ParameterInitialisation, name_position(&name))
            .fill_uniform(&mut data);
        for x in &mut data {
            *x = centre + bound * (2.0 * *x - 1.0);
        }
        tensors.insert(name, Tensor { shape, data });
    }
    tensors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_a_function_of_configuration_and_seed() {
        let config = VaeConfig {
            block_out_channels: vec![32, 64],
            layers_per_block: 1,
            ..VaeConfig::stable_diffusion()
        };
        let tensors = random(&config, 7);
        assert_eq!(tensors, random(&config, 7));
        assert_ne!(tensors, random(&config, 8));
        super::super::check(&config, &tensors, "random").unwrap();
        let largest = |name: &str| tensors[name].data.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let bound = 1.0 / (32.0f32 * 9.0).sqrt();
        for name in ["encoder.down_blocks.0.resnets.0.conv1.weight", "decoder.conv_out.weight"] {
            assert!((0.9 * bound..=bound).contains(&largest(name)), "{name}");
        }
        assert!((1.05..=1.1).contains(&largest("decoder.conv_norm_out.weight")));
    }
}
