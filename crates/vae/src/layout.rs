//! Names and shapes of all weights, in the order of diffusers.

use crate::config::VaeConfig;

/// One weight of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Name as diffusers has it.
    pub name: String,
    /// Shape: `[out, in, 3, 3]` or `[out, in, 1, 1]` of a convolution, `[out, in]` of a linear map of
    /// attention, `[channels]` of biases and norms.
    pub shape: Vec<usize>,
}

/// All weights of a network of `config`, which is taken to be valid.
pub fn params(config: &VaeConfig) -> Vec<Param> {
    let mut list = List(Vec::new());
    list.encoder(config);
    list.decoder(config);
    let latent = config.latent_channels;
    if config.use_quant_conv {
        list.conv("quant_conv", 2 * latent, 2 * latent, 1);
    }
    if config.use_post_quant_conv {
        list.conv("post_quant_conv", latent, latent, 1);
    }
    list.0
}

/// Input and output channels of the levels of the decoder, from the coarsest.
pub(crate) fn decoder_levels(config: &VaeConfig) -> Vec<(usize, usize)> {
    let widths = config.block_out_channels.iter().rev();
    let inputs = std::iter::once(config.deepest()).chain(widths.clone().copied());
    inputs.zip(widths.copied()).collect()
}

/// Input and output channels of the levels of the encoder, from the finest.
pub(crate) fn encoder_levels(config: &VaeConfig) -> Vec<(usize, usize)> {
    let widths = config.block_out_channels.iter();
    let inputs = std::iter::once(config.block_out_channels[0]).chain(widths.clone().copied());
    inputs.zip(widths.copied()).collect()
}

struct List(Vec<Param>);

impl List {
    fn weight_and_bias(&mut self, name: &str, shape: Vec<usize>) {
        let bias = vec![shape[0]];
        self.0.push(Param { name: format!("{name}.weight"), shape });
        self.0.push(Param { name: format!("{name}.bias"), shape: bias });
    }

    fn conv(&mut self, name: &str, out: usize, input: usize, side: usize) {
        self.weight_and_bias(name, vec![out, input, side, side]);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        self.weight_and_bias(name, vec![channels]);
    }

    fn resnet(&mut self, name: &str, (input, out): (usize, usize)) {
        self.norm(&format!("{name}.norm1"), input);
        self.conv(&format!("{name}.conv1"), out, input, 3);
        self.norm(&format!("{name}.norm2"), out);
        self.conv(&format!("{name}.conv2"), out, out, 3);
        if input != out {
            self.conv(&format!("{name}.conv_shortcut"), out, input, 1);
        }
    }

    /// Residual blocks of one level.
    fn resnets(&mut self, name: &str, n: usize, (input, out): (usize, usize)) {
        for i in 0..n {
            let input = if i == 0 { input } else { out };
            self.resnet(&format!("{name}.resnets.{i}"), (input, out));
        }
    }

    fn mid_block(&mut self, name: &str, config: &VaeConfig) {
        let channels = config.deepest();
        if config.mid_block_add_attention {
            let name = format!("{name}.attentions.0");
            self.norm(&format!("{name}.group_norm"), channels);
            for part in ["to_q", "to_k", "to_v", "to_out.0"] {
                self.weight_and_bias(&format!("{name}.{part}"), vec![channels, channels]);
            }
        }
        self.resnets(name, 2, (channels, channels));
    }

    fn encoder(&mut self, config: &VaeConfig) {
        let levels = encoder_levels(config);
        self.conv("encoder.conv_in", levels[0].0, config.in_channels, 3);
        for (i, &level) in levels.iter().enumerate() {
            let name = format!("encoder.down_blocks.{i}");
            self.resnets(&name, config.layers_per_block, level);
            if i + 1 < levels.len() {
                self.conv(&format!("{name}.downsamplers.0.conv"), level.1, level.1, 3);
            }
        }
        self.mid_block("encoder.mid_block", config);
        self.norm("encoder.conv_norm_out", config.deepest());
        self.conv("encoder.conv_out", 2 * config.latent_channels, config.deepest(), 3);
    }

    fn decoder(&mut self, config: &VaeConfig) {
        let levels = decoder_levels(config);
        self.conv("decoder.conv_in", config.deepest(), config.latent_channels, 3);
        for (i, &level) in levels.iter().enumerate() {
            let name = format!("decoder.up_blocks.{i}");
            self.resnets(&name, config.layers_per_block + 1, level);
            if i + 1 < levels.len() {
                self.conv(&format!("{name}.upsamplers.0.conv"), level.1, level.1, 3);
            }
        }
        self.mid_block("decoder.mid_block", config);
        self.norm("decoder.conv_norm_out", config.block_out_channels[0]);
        self.conv("decoder.conv_out", config.out_channels, config.block_out_channels[0], 3);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and shapes as diffusers prints them for the autoencoder of Stable Diffusion.
    const STABLE_DIFFUSION: &str = include_str!("../tests/goldens/sd_vae_keys.txt");

    #[test]
    fn stable_diffusion_has_the_official_weights() {
        let params = params(&VaeConfig::stable_diffusion());
        assert!(params.iter().map(as_in_python).eq(STABLE_DIFFUSION.lines()));
    }

    #[test]
    fn stable_diffusion_has_its_number_of_parameters() {
        let params = params(&VaeConfig::stable_diffusion());
        let count: usize = params.iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!((params.len(), count), (248, 83_653_863));
    }

    /// `name (3, 4)`, or `name (3,)`.
    fn as_in_python(param: &Param) -> String {
        let sizes: Vec<String> = param.shape.iter().map(usize::to_string).collect();
        let comma = if sizes.len() == 1 { "," } else { "" };
        format!("{} ({}{comma})", param.name, sizes.join(", "))
    }
}
