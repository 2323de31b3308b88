//! Which data set a path is.

use crate::exit::Failure;
use anyhow::Result;
use clap::ValueEnum;
use data::latents::{LatentCache, LatentCacheOptions, LatentScaling};
use data::{
    ArrayImages, Celeba, CelebaPart, Cifar10, Dataset, EdmZip, ImageFiles, ImageFolder,
    ImageSource, Preparation, Split, WebDataset,
};
use std::fs;
use std::path::Path;

/// Brings latents of Stable Diffusion's autoencoders to about [-1, 1], for the picture.
const VISIBLE: f32 = 0.18215;

/// The kinds of data sets, as experiments spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The official binary files
    Cifar10,
    /// PNG and JPEG files, one folder a class or without classes
    ImageFolder,
    /// Images and labels in tar files
    Webdataset,
    /// Images and dataset.json in a zip file, as EDM makes it
    EdmZip,
    /// Aligned faces, a zip file or folder, and their list of parts
    Celeba,
    /// One array of bytes: .npy, .npz, .safetensors
    Array,
    /// A cache that `dis encode` made
    Latents,
}

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Part {
    Train,
    Validation,
    Test,
}

impl Kind {
    /// The kind of what lies at a path, from names alone.
    ///
    /// # Errors
    /// When there is nothing, or a file of no known kind.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let reading = |error| Failure::reading(path, error);
        if !fs::metadata(path).map_err(reading)?.is_dir() {
            return Self::of_file(path);
        }
        let mut kind = Self::ImageFolder;
        for entry in fs::read_dir(path).map_err(reading)? {
            let name = entry.map_err(reading)?.file_name();
            match name.to_string_lossy().as_ref() {
                "cifar-10-batches-bin" | "data_batch_1.bin" | "test_batch.bin" => {
                    return Ok(Self::Cifar10);
                }
                "list_eval_partition.txt"
                | "img_align_celeba"
                | "img_align_celeba.zip"
                | "Eval" => return Ok(Self::Celeba),
                "index.partial.json" => return Ok(Self::Latents),
                name if is_latent_shard(name) => return Ok(Self::Latents),
                name if name.ends_with(".tar") => kind = Self::Webdataset,
                _ => {}
            }
        }
        Ok(kind)
    }

    fn of_file(path: &Path) -> Result<Self, Failure> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        match ending.as_str() {
            "tar" => Ok(Self::Webdataset),
            "zip" => Ok(Self::EdmZip),
            "npy" | "npz" | "safetensors" => Ok(Self::Array),
            _ => {
                let message = format!("{}: a file of no known kind", path.display());
                let help = "give a folder, or a file .tar, .zip, .npy, .npz or .safetensors; of \
                            CIFAR-10 and CelebA the folder";
                Err(Failure::usage(message).help(help))
            }
        }
    }

    /// Opens it; images become squares of `size` pixels.
    ///
    /// # Errors
    /// What the reader refuses, and a part that this kind does not have.
    pub(super) fn open(self, path: &Path, part: Part, size: usize) -> Result<Box<dyn Dataset>> {
        let whole = || match part {
            Part::Train => Ok(()),
            _ => Err(self.has_no(part)),
        };
        match self {
            Self::Cifar10 => {
                let split = match part {
                    Part::Train => Split::Train,
                    Part::Test => Split::Test,
                    Part::Validation => return Err(self.has_no(part).into()),
                };
                Ok(Box::new(Cifar10::open(path, split)?))
            }
            Self::Celeba => {
                let part = match part {
                    Part::Train => CelebaPart::Train,
                    Part::Validation => CelebaPart::Validation,
                    Part::Test => CelebaPart::Test,
                };
                let face = Preparation::CelebaFace { size };
                Ok(Box::new(ImageFiles::new(Celeba::open(path, part)?, face)?))
            }
            Self::ImageFolder => {
                whole()?;
                cropped(ImageFolder::open(path)?, size)
            }
            Self::Webdataset => {
                whole()?;
                cropped(WebDataset::open(path)?, size)
            }
            Self::EdmZip => {
                whole()?;
                cropped(EdmZip::open(path)?, size)
            }
            Self::Array => {
                whole()?;
                cropped(ArrayImages::open(path)?, size)
            }
            Self::Latents => {
                whole()?;
                let scaling = LatentScaling::constant(VISIBLE);
                let options = LatentCacheOptions { scaling, flip: false };
                Ok(Box::new(LatentCache::open(path, &options)?))
            }
        }
    }

    fn has_no(self, part: Part) -> Failure {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map_or_else(String::new, |value| value.get_name().to_string())
        };
        let (kind, part) = (name(self.to_possible_value()), name(part.to_possible_value()));
        let failure = Failure::usage(format!("--part {part}: {kind} has no such part"));
        failure.help("give the path of its files instead")
    }
}

fn is_latent_shard(name: &str) -> bool {
    name.starts_with("latents-") && name.ends_with(".safetensors")
}

fn cropped(source: impl ImageSource + 'static, size: usize) -> Result<Box<dyn Dataset>> {
    Ok(Box::new(ImageFiles::new(source, Preparation::CentreCrop { size })?))
}
