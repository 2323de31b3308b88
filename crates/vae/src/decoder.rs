//! Latents to images.

use crate::config::VaeConfig;
use crate::layers::{Conv, Level, Loader, MidBlock, Norm, Resample};
use crate::workspace::Workspace;
use ssm_kernels::{ImageBackend, KernelError};

/// `[B, H, W, latent_channels]` to `[B, f H, f W, out_channels]`.
#[derive(Debug)]
pub(crate) struct Decoder<B: ImageBackend> {
    post_quant_conv: Option<Conv<B>>,
    conv_in: Conv<B>,
    mid_block: MidBlock<B>,
    levels: Vec<Level<B>>,
    norm_out: Norm<B>,
    conv_out: Conv<B>,
}

impl<B: ImageBackend> Decoder<B> {
    /// The decoder of a network of `config`.
    pub(crate) fn load(
        loader: &mut Loader<'_, B>,
        config: &VaeConfig,
    ) -> Result<Self, KernelError> {
        let n_levels = config.block_out_channels.len();
        let level = |i: usize| {
            let resample = if i + 1 < n_levels { Resample::Double } else { Resample::None };
            let name = format!("decoder.up_blocks.{i}");
            Level::load(loader, &name, config.layers_per_block + 1, resample)
        };
        let levels = (0..n_levels).map(level).collect::<Result<_, _>>()?;
        let has_post = config.use_post_quant_conv;
        let has_attention = config.mid_block_add_attention;
        Ok(Self {
            post_quant_conv: has_post.then(|| Conv::same(loader, "post_quant_conv")).transpose()?,
            conv_in: Conv::same(loader, "decoder.conv_in")?,
            mid_block: MidBlock::load(loader, "decoder.mid_block", has_attention)?,
            levels,
            norm_out: Norm::silu(loader, "decoder.conv_norm_out")?,
            conv_out: Conv::same(loader, "decoder.conv_out")?,
        })
    }

    /// The current activation, latents, becomes an image.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        if let Some(conv) = &self.post_quant_conv {
            conv.run(backend, work)?;
        }
        self.conv_in.run(backend, work)?;
        self.mid_block.run(backend, work)?;
        for level in &self.levels {
            level.run(backend, work)?;
        }
        self.norm_out.run(backend, work)?;
        self.conv_out.run(backend, work)
    }
}
