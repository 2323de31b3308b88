//! The autoencoder of a run, somewhere: numbers of this machine in, numbers of this machine out.

use crate::device::OpenDevice;
use crate::exit::Failure;
use anyhow::{Context, Result};
use data::latents::LatentIndex;
use ssm_kernels::ImageBackend;
use std::path::Path;
use trainer::VaeSection;
use vae::weights::TensorMap;
use vae::{AutoencoderKl, Extent, LatentScaling, Posterior, Tiling, VaeConfig, VaeError};

/// What commands need of an autoencoder.
pub(crate) trait Autoencoder {
    /// Sizes.
    fn config(&self) -> &VaeConfig;

    /// Posterior of square images `[B, 3, side, side]` in [-1, 1].
    fn encode(&mut self, images: &[f32], side: usize) -> Result<Posterior, VaeError>;

    /// Images of square latents `[B, C, side, side]`, large ones tile by tile.
    fn decode(&mut self, latents: &[f32], side: usize) -> Result<Vec<f32>, VaeError>;
}

impl<B: ImageBackend<Wide = f32>> Autoencoder for AutoencoderKl<B> {
    fn config(&self) -> &VaeConfig {
        self.config()
    }

    fn encode(&mut self, images: &[f32], side: usize) -> Result<Posterior, VaeError> {
        self.encode(images, Extent { height: side, width: side })
    }

    fn decode(&mut self, latents: &[f32], side: usize) -> Result<Vec<f32>, VaeError> {
        self.decode_tiled(latents, Extent { height: side, width: side }, Tiling::DEFAULT)
    }
}

/// Weights that are read and not yet anywhere.
pub(crate) struct AutoencoderFile {
    config: VaeConfig,
    tensors: TensorMap,
}

impl AutoencoderFile {
    /// Reads a weight file, or a folder as diffusers writes it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            let what = format!("{}: no such autoencoder", path.display());
            let help = "name a safetensors file or a folder of diffusers; docs/data.md says where \
                        Stable Diffusion's is to be had";
            return Err(Failure::data(what).help(help).into());
        }
        let (config, tensors) = vae::weights::read(path)?;
        Ok(Self { config, tensors })
    }

    /// Sizes.
    pub(crate) fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// Says where the file and the experiment do not agree on what is done to latents.
    pub(crate) fn warn_of_scaling(&self, section: &VaeSection) {
        let (theirs, ours) = (&self.config.scaling, scaling(section));
        if *theirs != ours {
            tracing::warn!(
                "{}: its config.json says {theirs:?}, the experiment {ours:?}, which is used",
                section.path.display()
            );
        }
    }

    /// BLAKE3 of names, shapes and numbers, in hexadecimal: the same for every form of file.
    pub(crate) fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(format!("{} groups\n", self.config.norm_num_groups).as_bytes());
        for (name, tensor) in &self.tensors {
            hasher.update(format!("{name} {:?}\n", tensor.shape).as_bytes());
            hasher.update(bytemuck::cast_slice(&tensor.data));
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Takes the weights to a device.
    pub(crate) fn load(self, device: &OpenDevice) -> Result<Box<dyn Autoencoder>> {
        device.autoencoder(self)
    }

    /// The network on one backend.
    pub(crate) fn on<B: ImageBackend<Wide = f32>>(
        self,
        backend: B,
    ) -> Result<Box<dyn Autoencoder>> {
        let Self { config, tensors } = self;
        Ok(Box::new(AutoencoderKl::load(backend, config, tensors)?))
    }
}

/// Opens the autoencoder of an experiment on a device.
pub(crate) fn open(section: &VaeSection, device: &OpenDevice) -> Result<Box<dyn Autoencoder>> {
    let read = || {
        let file = AutoencoderFile::read(&section.path)?;
        file.warn_of_scaling(section);
        file.load(device)
    };
    read().context("the autoencoder of the experiment, vae.path, cannot be used")
}

/// Says where previews would be decoded by another autoencoder than the one that made the cache.
pub(crate) fn warn_of_another(section: &VaeSection, cache: &Path) -> Result<()> {
    let index = cache.join("index.json");
    let bytes = std::fs::read(&index).map_err(|error| Failure::reading(&index, error))?;
    let made_with = LatentIndex::parse(&bytes, &index)?.spec().vae.clone();
    if !made_with.starts_with(&AutoencoderFile::read(&section.path)?.fingerprint()) {
        tracing::warn!(
            "{} is not the autoencoder that made {}: previews will look wrong",
            section.path.display(),
            cache.display()
        );
    }
    Ok(())
}

/// What an experiment does to latents, for a decoder to undo.
pub(crate) fn scaling(section: &VaeSection) -> LatentScaling {
    let factor = section.latent_scale.unwrap_or(1.0);
    match (&section.latent_mean, &section.latent_std) {
        (Some(mean), Some(std)) => {
            LatentScaling::PerChannel { mean: mean.to_vec(), std: std.to_vec(), factor }
        }
        _ => LatentScaling::Constant { factor, shift: 0.0 },
    }
}
