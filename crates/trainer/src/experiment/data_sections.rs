//! The tables that say where images come from, and how they become latents.

use super::numbers::Numbers;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    /// Generated discs, squares, triangles and crosses; needs `count`, no files.
    Shapes,
    /// The official binary files of CIFAR-10 under `path`.
    Cifar10,
    /// PNG and JPEG files under `path`, one sub-folder a class or none.
    ImageFolder,
    /// Tar shards under `path`, or one of them: images with a class beside them.
    #[serde(rename = "webdataset")]
    WebDataset,
    /// CelebA, aligned and cropped: images or their archive, and the list of parts.
    Celeba,
    /// A zip file or folder as EDM makes them: images and `dataset.json`.
    EdmZip,
    /// An array of bytes: `.npy`, `.npz` or `.safetensors`.
    Array,
    /// A cache of encoded images under `path`, made by `dis encode`.
    Latents,
}

impl DataKind {
    /// Name as written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shapes => "shapes",
            Self::Cifar10 => "cifar10",
            Self::ImageFolder => "image_folder",
            Self::WebDataset => "webdataset",
            Self::Celeba => "celeba",
            Self::EdmZip => "edm_zip",
            Self::Array => "array",
            Self::Latents => "latents",
        }
    }

    /// Whether the data lie in files.
    pub fn has_path(self) -> bool {
        self != Self::Shapes
    }
}

/// `[data]`: what the network learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Which data set.
    pub kind: DataKind,
    /// Folder or file of the data; every kind but `shapes`.
    pub path: Option<PathBuf>,
    /// Images in the set; `shapes` only.
    pub count: Option<u64>,
    /// Side of the square image or latent.
    pub image_size: usize,
    /// Whether images are mirrored with probability 0.5.
    pub flip: bool,
    /// Threads that load data. A matter of the machine: no result depends on it, and without the
    /// key the trainer chooses.
    pub workers: Option<usize>,
}

/// `[vae]`: the autoencoder between images and latents; of `data.kind` `latents` only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeSection {
    /// Weight file, or a folder as diffusers writes it. Where it lies changes no number.
    pub path: PathBuf,
    /// Factor on latents, so that they have about unit deviation: 0.18215 for Stable Diffusion.
    pub latent_scale: Option<f64>,
    /// Mean of each channel, subtracted; with `latent_std` takes the place of `latent_scale`.
    pub latent_mean: Option<Numbers>,
    /// Standard deviation of each channel, by which it is divided.
    pub latent_std: Option<Numbers>,
}

/// `[encode]`: the images that `dis encode` turns into the latents of `data.path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodeSection {
    /// Which data set; not `latents`.
    pub kind: DataKind,
    /// Folder or file of the data; every kind but `shapes`.
    pub path: Option<PathBuf>,
    /// Images in the set; `shapes` only.
    pub count: Option<u64>,
    /// Side of the square image.
    pub image_size: usize,
}

/// What a table says of its images, for what [`DataSection`] and [`EncodeSection`] share.
#[derive(Clone, Copy, Debug)]
pub struct SourceImages<'a> {
    /// Which data set.
    pub kind: DataKind,
    /// Folder or file of the data.
    pub path: Option<&'a Path>,
    /// Images in the set.
    pub count: Option<u64>,
    /// Side of the square image.
    pub image_size: usize,
}

impl DataSection {
    /// Its images.
    pub fn source(&self) -> SourceImages<'_> {
        let Self { kind, count, image_size, .. } = *self;
        SourceImages { kind, path: self.path.as_deref(), count, image_size }
    }
}

impl EncodeSection {
    /// Its images.
    pub fn source(&self) -> SourceImages<'_> {
        let Self { kind, count, image_size, .. } = *self;
        SourceImages { kind, path: self.path.as_deref(), count, image_size }
    }
}
