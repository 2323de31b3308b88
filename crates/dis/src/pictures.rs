//! From what a network draws to pixels: through a decoder where it draws latents.

use crate::autoencoder::{self, Autoencoder, AutoencoderFile};
use crate::device::OpenDevice;
use crate::exit::Failure;
use crate::images;
use anyhow::Result;
use dis_model::DisConfig;
use std::path::PathBuf;
use trainer::{DataKind, Experiment};
use vae::LatentScaling;

/// Which autoencoder.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct VaeArgs {
    /// Autoencoder that turns latents into pictures: a safetensors file or a folder of diffusers
    /// [default: vae.path of the run's configuration]
    #[arg(long, value_name = "PATH")]
    vae: Option<PathBuf>,
}

impl VaeArgs {
    /// How the output of a network of `config` is shown.
    pub(crate) fn pictures(
        &self,
        experiment: Option<&Experiment>,
        config: &DisConfig,
        device: &OpenDevice,
    ) -> Result<Pictures> {
        let section = experiment.and_then(|experiment| experiment.vae.clone());
        let pixels = experiment.is_some_and(|e| e.data.kind != DataKind::Latents);
        match (&self.vae, section) {
            (Some(_), _) if pixels => {
                Err(Failure::usage("--vae: the network draws pixels, not latents").into())
            }
            (Some(path), Some(section)) => {
                let vae = AutoencoderFile::read(path)?.load(device)?;
                Pictures::latents(vae, autoencoder::scaling(&section), config)
            }
            (None, Some(section)) => {
                let vae = autoencoder::open(&section, device)?;
                Pictures::latents(vae, autoencoder::scaling(&section), config)
            }
            (Some(path), None) => {
                let file = AutoencoderFile::read(path)?;
                let scaling = file.config().scaling.clone();
                Pictures::latents(file.load(device)?, scaling, config)
            }
            (None, None) => {
                if config.channels > 3 {
                    tracing::warn!(
                        "the pictures show three of {} channels: --vae decodes latents",
                        config.channels
                    );
                }
                Ok(Pictures::Pixels)
            }
        }
    }
}

/// How the output of a network is shown.
pub(crate) enum Pictures {
    /// As it is.
    Pixels,
    /// Decoded.
    Latents {
        /// The autoencoder that made the latents.
        vae: Box<dyn Autoencoder>,
        /// What was done to them.
        scaling: LatentScaling,
    },
}

impl Pictures {
    /// Those of an experiment.
    pub(crate) fn of(experiment: &Experiment, device: &OpenDevice) -> Result<Self> {
        let Some(section) = &experiment.vae else { return Ok(Self::Pixels) };
        let vae = autoencoder::open(section, device)?;
        Self::latents(vae, autoencoder::scaling(section), &experiment.dis_config())
    }

    fn latents(
        vae: Box<dyn Autoencoder>,
        scaling: LatentScaling,
        config: &DisConfig,
    ) -> Result<Self> {
        let (got, expected) = (vae.config().latent_channels, config.channels);
        if got != expected {
            let what = format!(
                "the latents of the autoencoder have {got} channels, those of the network {expected}"
            );
            return Err(Failure::usage(what).into());
        }
        Ok(Self::Latents { vae, scaling })
    }

    /// Side of the pictures of a network.
    pub(crate) fn side(&self, config: &DisConfig) -> usize {
        match self {
            Self::Pixels => config.image_size,
            Self::Latents { vae, .. } => config.image_size * vae.config().downsampling(),
        }
    }

    /// Images `[N, C, H, W]` of a network as bytes `[N, side, side, 3]`.
    pub(crate) fn bytes(&mut self, drawn: &[f32], config: &DisConfig) -> Result<Vec<u8>> {
        let (side, channels) = (config.image_size, config.channels);
        let pictured = self.side(config);
        let Self::Latents { vae, scaling } = self else {
            return Ok(images::to_bytes(drawn, channels, side));
        };
        let mut bytes = Vec::with_capacity(drawn.len() / config.image_len() * pictured.pow(2) * 3);
        for latent in drawn.chunks_exact(config.image_len()) {
            let mut latent = latent.to_vec();
            scaling.undo(&mut latent, channels, side * side);
            let image = vae.decode(&latent, side)?;
            bytes.extend(images::to_bytes(&image, vae.config().out_channels, pictured));
        }
        Ok(bytes)
    }
}
