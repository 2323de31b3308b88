//! The networks that are measured.

use dis_model::{DisConfig, DisPreset};
use ssm_kernels::ImageBackend;
use vae::{AutoencoderKl, VaeConfig, VaeError};

/// DiS-S/2 of width 384 on RGB images, as the PyTorch peers are.
pub fn s384(image_size: usize, classes: usize) -> DisConfig {
    DisConfig::official(DisPreset::S384, image_size, 3, 2, classes)
}

/// The network of `configs/quickstart.toml`; its batch is 32.
pub fn quickstart() -> DisConfig {
    DisConfig {
        hidden_size: 96,
        depth: 6,
        learned_variance: false,
        ..DisConfig::official(DisPreset::S, 16, 3, 2, 4)
    }
}

/// An autoencoder with random weights.
///
/// # Errors
/// When the configuration is not valid.
pub fn autoencoder<B: ImageBackend>(
    backend: B,
    config: &VaeConfig,
) -> Result<AutoencoderKl<B>, VaeError> {
    AutoencoderKl::load(backend, config.clone(), vae::weights::random(config, 0))
}
