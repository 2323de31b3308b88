//! Images to the moments of latents.

use crate::config::VaeConfig;
use crate::layers::{Conv, Level, Loader, MidBlock, Norm, Resample};
use crate::workspace::Workspace;
use ssm_kernels::{ImageBackend, KernelError};

/// `[B, H, W, in_channels]` to `[B, H / f, W / f, 2 latent_channels]`, means before logarithms of
/// variances.
#[derive(Debug)]
pub(crate) struct Encoder<B: ImageBackend> {
    conv_in: Conv<B>,
    levels: Vec<Level<B>>,
    mid_block: MidBlock<B>,
    norm_out: Norm<B>,
    conv_out: Conv<B>,
    quant_conv: Option<Conv<B>>,
}

impl<B: ImageBackend> Encoder<B> {
    /// The encoder of a network of `config`.
    pub(crate) fn load(
        loader: &mut Loader<'_, B>,
        config: &VaeConfig,
    ) -> Result<Self, KernelError> {
        let n_levels = config.block_out_channels.len();
        let level = |i: usize| {
            let resample = if i + 1 < n_levels { Resample::Halve } else { Resample::None };
            let name = format!("encoder.down_blocks.{i}");
            Level::load(loader, &name, config.layers_per_block, resample)
        };
        let levels = (0..n_levels).map(level).collect::<Result<_, _>>()?;
        let quant_conv =
            config.use_quant_conv.then(|| Conv::same(loader, "quant_conv")).transpose()?;
        let has_attention = config.mid_block_add_attention;
        Ok(Self {
            conv_in: Conv::same(loader, "encoder.conv_in")?,
            levels,
            mid_block: MidBlock::load(loader, "encoder.mid_block", has_attention)?,
            norm_out: Norm::silu(loader, "encoder.conv_norm_out")?,
            conv_out: Conv::same(loader, "encoder.conv_out")?,
            quant_conv,
        })
    }

    /// The current activation, an image, becomes its moments.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        self.conv_in.run(backend, work)?;
        for level in &self.levels {
            level.run(backend, work)?;
        }
        self.mid_block.run(backend, work)?;
        self.norm_out.run(backend, work)?;
        self.conv_out.run(backend, work)?;
        self.quant_conv.as_ref().map_or(Ok(()), |conv| conv.run(backend, work))
    }
}
