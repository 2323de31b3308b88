//! The whole network, with host memory at both ends.

use crate::config::VaeConfig;
use crate::decoder::Decoder;
use crate::encoder::Encoder;
use crate::error::VaeError;
use crate::layers::Loader;
use crate::posterior::Posterior;
use crate::weights::{TensorMap, check};
use crate::workspace::{Need, Size, Workspace};
use ssm_kernels::ImageBackend;
use std::path::Path;

/// Rows and columns of pixels, of images or of latents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Extent {
    /// Each pixel as a square of `factor` pixels.
    pub(crate) fn times(self, factor: usize) -> Self {
        Self { height: factor * self.height, width: factor * self.width }
    }

    /// Each square of `factor` pixels as one.
    pub(crate) fn divided(self, factor: usize) -> Self {
        Self { height: self.height / factor, width: self.width / factor }
    }
}

/// An autoencoder with a normal posterior: images `[B, 3, H, W]` in [-1, 1] to latents
/// `[B, C, H / f, W / f]` and back, channels first on the host. `f` is [`VaeConfig::downsampling`].
///
/// Memory for activations is made at the first pass and kept; larger images replace it. Latents are
/// those of the network itself: [`LatentScaling`](crate::LatentScaling) stands outside.
///
/// # Source
/// The KL-regularised autoencoder of latent diffusion, arXiv 2112.10752, section 3.1 and appendix G,
/// with the names and sizes of `AutoencoderKL` in diffusers.
#[derive(Debug)]
pub struct AutoencoderKl<B: ImageBackend> {
    config: VaeConfig,
    backend: B,
    encoder: Encoder<B>,
    decoder: Decoder<B>,
    work: Workspace<B>,
}

impl<B: ImageBackend> AutoencoderKl<B> {
    /// The network of `config` with weights of [`check`].
    ///
    /// # Errors
    /// [`VaeError::Config`] for a size out of range, [`VaeError::Weights`] when the tensors are not
    /// those of the network; [`VaeError::Kernel`] when a device lacks memory.
    pub fn load(backend: B, config: VaeConfig, tensors: TensorMap) -> Result<Self, VaeError> {
        config.validate("the configuration")?;
        check(&config, &tensors, "the set of tensors")?;
        let mut loader = Loader::new(&backend, tensors, config.norm_num_groups);
        let encoder = Encoder::load(&mut loader, &config)?;
        let decoder = Decoder::load(&mut loader, &config)?;
        Ok(Self { config, backend, encoder, decoder, work: Workspace::new() })
    }

    /// The network in a file or folder, see [`crate::weights::read`].
    ///
    /// # Errors
    /// Those of [`crate::weights::read`] and [`AutoencoderKl::load`].
    pub fn open(backend: B, path: &Path) -> Result<Self, VaeError> {
        let (config, tensors) = crate::weights::read(path)?;
        Self::load(backend, config, tensors)
    }

    /// Sizes of the network.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Bytes of activations for `batch` images of `image` pixels in one pass, whichever needs more.
    ///
    /// Three buffers of the largest activation, the scores of attention, and what goes in or comes
    /// out. Neither the scratch of operators, which is strips of an image, nor weights are in it.
    pub fn activation_bytes(&self, batch: usize, image: Extent) -> usize {
        self.need(batch, image).bytes::<B>()
    }

    fn need(&self, batch: usize, image: Extent) -> Need {
        Need::of::<B::Act>(&self.config, batch, image.height, image.width)
    }

    /// The posterior of images `[B, in_channels, H, W]` in [-1, 1]; all are in one pass.
    ///
    /// # Errors
    /// [`VaeError::Input`] when `images` are not whole images, or their sides no multiples of
    /// [`VaeConfig::downsampling`]; [`VaeError::Kernel`] when a device lacks memory.
    pub fn encode(
        &mut self,
        images: &[B::Wide],
        extent: Extent,
    ) -> Result<Posterior<B::Wide>, VaeError> {
        self.check_images(images, extent)?;
        let moments = self.moments(images, extent)?;
        Ok(self.posterior(&moments, extent))
    }

    /// The images `[B, out_channels, f H, f W]` of latents `[B, C, H, W]`; all are in one pass.
    ///
    /// The images are about in [-1, 1]; nothing clamps them.
    ///
    /// # Errors
    /// [`VaeError::Input`] when `latents` are not whole latents; [`VaeError::Kernel`] when a device
    /// lacks memory.
    pub fn decode(
        &mut self,
        latents: &[B::Wide],
        extent: Extent,
    ) -> Result<Vec<B::Wide>, VaeError> {
        self.check_latents(latents, extent)?;
        self.images(latents, extent)
    }

    /// Refuses what are no images of this size, and sides that no latents belong to.
    pub(crate) fn check_images(&self, images: &[B::Wide], extent: Extent) -> Result<(), VaeError> {
        let Extent { height, width } = extent;
        let f = self.config.downsampling();
        if !height.is_multiple_of(f) || !width.is_multiple_of(f) {
            let got = format!("{height}x{width}");
            return Err(VaeError::input("images", got, format!("sides that are multiples of {f}")));
        }
        check_whole("images", images.len(), self.config.in_channels, extent)
    }

    /// Refuses what are no latents of this size.
    pub(crate) fn check_latents(
        &self,
        latents: &[B::Wide],
        extent: Extent,
    ) -> Result<(), VaeError> {
        check_whole("latents", latents.len(), self.config.latent_channels, extent)
    }

    /// Moments `[B, 2 C, H / f, W / f]` of checked images.
    pub(crate) fn moments(
        &mut self,
        images: &[B::Wide],
        extent: Extent,
    ) -> Result<Vec<B::Wide>, VaeError> {
        let size = sized(images.len(), self.config.in_channels, extent);
        let need = self.need(size.batch, extent);
        let Self { backend, encoder, work, .. } = self;
        Ok(backend.run(|| {
            work.enter(backend, need, images, size)?;
            encoder.run(backend, work)?;
            work.leave(backend)
        })?)
    }

    /// Images of checked latents.
    pub(crate) fn images(
        &mut self,
        latents: &[B::Wide],
        extent: Extent,
    ) -> Result<Vec<B::Wide>, VaeError> {
        let size = sized(latents.len(), self.config.latent_channels, extent);
        let need = self.need(size.batch, extent.times(self.config.downsampling()));
        let Self { backend, decoder, work, .. } = self;
        Ok(backend.run(|| {
            work.enter(backend, need, latents, size)?;
            decoder.run(backend, work)?;
            work.leave(backend)
        })?)
    }

    /// The posterior of moments of images of `extent`.
    pub(crate) fn posterior(&self, moments: &[B::Wide], extent: Extent) -> Posterior<B::Wide> {
        let latent = extent.divided(self.config.downsampling());
        Posterior::from_moments(moments, self.config.latent_channels, latent.height * latent.width)
    }
}

/// The size of checked images.
fn sized(len: usize, channels: usize, Extent { height, width }: Extent) -> Size {
    Size { batch: len / (channels * height * width), height, width, channels }
}

/// Refuses what are not one or more whole images.
fn check_whole(
    operand: &'static str,
    len: usize,
    channels: usize,
    Extent { height, width }: Extent,
) -> Result<(), VaeError> {
    let image = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels));
    match image {
        Some(image) if image > 0 && len > 0 && len.is_multiple_of(image) => Ok(()),
        _ => {
            let expected = format!("one or more of {channels}x{height}x{width}");
            Err(VaeError::input(operand, format!("{len} elements"), expected))
        }
    }
}
