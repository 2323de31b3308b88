//! The sizes of an autoencoder.

use crate::error::VaeError;
use crate::scaling::LatentScaling;

/// Sizes and switches of an autoencoder, as the `config.json` of diffusers' `AutoencoderKL` has them.
///
/// What shapes do not show, and diffusers does not let vary, is fixed: SiLU, 3x3 convolutions, group
/// norms with eps 1e-6, attention with one head.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of images that are encoded.
    pub in_channels: usize,
    /// Channels of images that are decoded.
    pub out_channels: usize,
    /// Channels of latents.
    pub latent_channels: usize,
    /// Channels of each level, from the finest; each level but the last halves the sides.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of a level of the encoder; a level of the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of every norm.
    pub norm_num_groups: usize,
    /// Whether encoder and decoder have attention at the coarsest level.
    pub mid_block_add_attention: bool,
    /// Whether a 1x1 convolution stands behind the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution stands before the decoder.
    pub use_post_quant_conv: bool,
    /// From latents of this network to those a diffusion model is trained on.
    pub scaling: LatentScaling,
}

/// What a size may be. The largest published network has 512 channels at 4 levels; the bounds keep a
/// hostile file from asking for more than any machine has.
const MAX_CHANNELS: usize = 1 << 16;
const MAX_LEVELS: usize = 8;
const MAX_LAYERS: usize = 64;

impl VaeConfig {
    /// The autoencoder of Stable Diffusion 1 and 2, and of DiT and DiS: sides divided by 8, 4 latent
    /// channels, 83,653,863 parameters.
    pub fn stable_diffusion() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![128, 256, 512, 512],
            layers_per_block: 2,
            norm_num_groups: 32,
            mid_block_add_attention: true,
            use_quant_conv: true,
            use_post_quant_conv: true,
            scaling: LatentScaling::STABLE_DIFFUSION,
        }
    }

    /// Pixels of an image along one side of a latent, `2^(levels - 1)`.
    pub fn downsampling(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Channels of the coarsest level.
    pub(crate) fn deepest(&self) -> usize {
        self.block_out_channels[self.block_out_channels.len() - 1]
    }

    /// Checks ranges; `source_name` names the file in errors.
    ///
    /// # Errors
    /// [`VaeError::Config`] with the first key that is out of range.
    pub fn validate(&self, source_name: &str) -> Result<(), VaeError> {
        let channels = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ];
        for (field, got) in channels {
            in_range(source_name, field, got, MAX_CHANNELS)?;
        }
        in_range(source_name, "norm_num_groups", self.norm_num_groups, MAX_CHANNELS)?;
        in_range(source_name, "layers_per_block", self.layers_per_block, MAX_LAYERS)?;
        let widths = &self.block_out_channels;
        let fits = |&width: &usize| {
            (1..=MAX_CHANNELS).contains(&width) && width.is_multiple_of(self.norm_num_groups)
        };
        if !(1..=MAX_LEVELS).contains(&widths.len()) || !widths.iter().all(fits) {
            let expected = format!(
                "1 to {MAX_LEVELS} widths up to {MAX_CHANNELS}, multiples of norm_num_groups ({})",
                self.norm_num_groups
            );
            let got = format!("{widths:?}");
            return Err(VaeError::config(source_name, "block_out_channels", got, expected));
        }
        self.validate_scaling(source_name)
    }

    fn validate_scaling(&self, source_name: &str) -> Result<(), VaeError> {
        let refuse = |field: &str, got: String, expected: &str| {
            Err(VaeError::config(source_name, field, got, expected))
        };
        let is_divisor = |x: &f64| x.is_finite() && *x > 0.0;
        let (LatentScaling::Constant { factor, .. } | LatentScaling::PerChannel { factor, .. }) =
            &self.scaling;
        if !is_divisor(factor) {
            return refuse("scaling_factor", factor.to_string(), "a finite number above 0");
        }
        match &self.scaling {
            LatentScaling::Constant { shift, .. } if !shift.is_finite() => {
                refuse("shift_factor", shift.to_string(), "a finite number")
            }
            LatentScaling::PerChannel { mean, .. }
                if mean.len() != self.latent_channels || !mean.iter().all(|x| x.is_finite()) =>
            {
                refuse(
                    "latents_mean",
                    format!("{mean:?}"),
                    "a finite number for each latent channel",
                )
            }
            LatentScaling::PerChannel { std, .. }
                if std.len() != self.latent_channels || !std.iter().all(is_divisor) =>
            {
                refuse(
                    "latents_std",
                    format!("{std:?}"),
                    "a number above 0 for each latent channel",
                )
            }
            _ => Ok(()),
        }
    }
}

fn in_range(source_name: &str, field: &str, got: usize, largest: usize) -> Result<(), VaeError> {
    if (1..=largest).contains(&got) {
        return Ok(());
    }
    Err(VaeError::config(source_name, field, got, format!("1 to {largest}")))
}
