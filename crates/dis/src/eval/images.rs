//! Images of any origin as bytes `[N, H, W, 3]`, batch by batch, all of one size.

use crate::data::Kind;
use crate::exit::Failure;
use crate::images::to_bytes;
use anyhow::Result;
use data::{
    Cifar10, DataError, Dataset, EdmZip, ImageFolder, ImageSource, Probe, Raster, Split, Visit,
    WebDataset, stored_image,
};
use eval::fingerprint::Origin;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trainer::{DataKind, Experiment, open_dataset, open_encode_source};

/// What is done with images that are not plain RGB of 8 bits.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct ImagePolicy {
    /// Accept images with alpha, a transparent colour or 16 bits: drop the one, round the other
    #[arg(long)]
    drop_alpha: bool,
}

/// Images that are read one batch after the other.
pub(crate) struct Images {
    reader: Reader,
    policy: ImagePolicy,
    source: String,
    count: u64,
    size: [usize; 2],
    next: u64,
    labels: Vec<u32>,
    /// Number of images read, by format and colours.
    seen: BTreeMap<(&'static str, &'static str), u64>,
}

enum Reader {
    /// Encoded images, at the size they are stored in.
    Stored(Box<dyn ImageSource>),
    /// Images as a network is trained on them, and what they were.
    Prepared(Arc<dyn Dataset>, &'static str),
    /// An array in an archive, from its first image to its last.
    Array(Box<npz::ImageArray>),
}

impl Images {
    /// Opens a folder, an archive, an array, the files of CIFAR-10 (`PATH:test` for the other part), or
    /// an experiment file, whose images are prepared as for training.
    pub(crate) fn open(path: &Path, policy: ImagePolicy) -> Result<Self> {
        let (place, part) = split_part(path);
        let reader = if place.extension().is_some_and(|ending| ending == "toml") {
            Reader::Prepared(of_experiment(&place)?, "prepared as for training")
        } else {
            open_reader(&place, part)?
        };
        let (count, labelled) = match &reader {
            Reader::Stored(source) => (source.len(), source.num_classes() > 0),
            Reader::Prepared(dataset, _) => (dataset.len(), dataset.num_classes() > 0),
            Reader::Array(array) => (array.count(), false),
        };
        let size = match &reader {
            Reader::Stored(source) => {
                let (image, _) = stored_image(source.as_ref(), 0)?;
                [image.height(), image.width()]
            }
            Reader::Prepared(dataset, _) => [dataset.shape().height, dataset.shape().width],
            Reader::Array(array) => [array.height(), array.width()],
        };
        let labels = match &reader {
            Reader::Stored(source) if labelled => (0..count).map(|i| source.label(i)).collect(),
            Reader::Array(array) => labels_of(array)?,
            _ => Vec::new(),
        };
        let source = path.display().to_string();
        let seen = BTreeMap::new();
        Ok(Self { reader, policy, source, count, size, next: 0, labels, seen })
    }

    /// Number of images.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Rows and columns of every image.
    pub(crate) fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Whether images have classes.
    pub(crate) fn is_labelled(&self) -> bool {
        match &self.reader {
            Reader::Prepared(dataset, _) => dataset.num_classes() > 0,
            _ => !self.labels.is_empty(),
        }
    }

    /// Replaces `bytes` by the next images, at most `most`; none at the end.
    pub(crate) fn read(&mut self, most: usize, bytes: &mut Vec<u8>) -> Result<usize> {
        bytes.clear();
        let range = self.next..self.count.min(self.next + most as u64);
        let n = (range.end - range.start) as usize;
        match &mut self.reader {
            Reader::Stored(source) => {
                let images: Vec<Result<(Raster, Probe), DataError>> = range
                    .clone()
                    .into_par_iter()
                    .map(|i| stored_image(source.as_ref(), i))
                    .collect();
                for (index, image) in range.zip(images) {
                    let (image, probe) = image?;
                    check(source.as_ref(), index, &probe, self.size, self.policy)?;
                    *self.seen.entry((probe.format, probe.colour)).or_default() += 1;
                    bytes.extend_from_slice(image.pixels());
                }
            }
            Reader::Prepared(dataset, format) => {
                let images: Vec<Result<(Vec<u8>, u32), DataError>> =
                    range.into_par_iter().map(|index| prepared(dataset.as_ref(), index)).collect();
                for image in images {
                    let (image, label) = image?;
                    bytes.extend(image);
                    if dataset.num_classes() > 0 {
                        self.labels.push(label);
                    }
                }
                *self.seen.entry((*format, "RGB")).or_default() += n as u64;
            }
            Reader::Array(array) => {
                array.read(n, bytes)?;
                *self.seen.entry(("npz", "RGB")).or_default() += n as u64;
            }
        }
        self.next += n as u64;
        Ok(n)
    }

    /// What was read, and the class of each image, when all have been.
    pub(crate) fn finish(self) -> (Origin, Vec<u32>) {
        let formats: Vec<String> =
            self.seen.keys().map(|(format, _)| format.to_lowercase()).collect();
        let mut formats = formats;
        formats.dedup();
        let mut notes = Vec::new();
        for (&(format, colour), count) in &self.seen {
            match colour {
                "RGB" => {}
                "grey" => notes.push(format!("{count} grey images ({format}), repeated as RGB")),
                _ => notes.push(format!("{count} images with {colour} ({format}), made RGB")),
            }
            if format == "JPEG" {
                notes.push(format!(
                    "{count} images are JPEG, which changes pixels: compare them only with what was \
                     made the same way, never with published figures"
                ));
            }
        }
        notes.iter().for_each(|note| tracing::warn!("{}: {note}", self.source));
        let origin = Origin {
            source: self.source,
            stored_as: formats.join(", "),
            count: Some(self.count),
            size: Some(self.size),
            notes,
            ..Origin::default()
        };
        (origin, self.labels)
    }
}

/// `PATH:test` is part `test` of what lies at PATH, unless there is something at `PATH:test`.
fn split_part(path: &Path) -> (PathBuf, Option<Split>) {
    let part = |(place, part): (&str, &str)| match part {
        "train" => Some((PathBuf::from(place), Some(Split::Train))),
        "test" => Some((PathBuf::from(place), Some(Split::Test))),
        _ => None,
    };
    let split = path.to_str().and_then(|text| text.rsplit_once(':')).and_then(part);
    split.filter(|_| !path.exists()).unwrap_or_else(|| (path.to_path_buf(), None))
}

/// The images of an experiment: those of training, or those that become its latents.
fn of_experiment(file: &Path) -> Result<Arc<dyn Dataset>> {
    let experiment = Experiment::load(file, &[])?;
    Ok(match (&experiment.encode, experiment.data.kind) {
        (Some(encode), DataKind::Latents) => open_encode_source(encode, experiment.seed)?,
        (None, DataKind::Latents) => {
            let what = format!("{}: its data are latents, not images", file.display());
            return Err(Failure::usage(what).help("give the images that were encoded").into());
        }
        _ => open_dataset(&experiment)?,
    })
}

fn open_reader(path: &Path, part: Option<Split>) -> Result<Reader> {
    let kind = Kind::of(path)?;
    if part.is_some() && kind != Kind::Cifar10 {
        let what = format!("{}: only CIFAR-10 has parts that are named so", path.display());
        return Err(Failure::usage(what).help("give the path of the files themselves").into());
    }
    Ok(match kind {
        Kind::Cifar10 => {
            let cifar = Cifar10::open(path, part.unwrap_or(Split::Train))?;
            Reader::Prepared(Arc::new(cifar), "binary")
        }
        Kind::ImageFolder => Reader::Stored(Box::new(ImageFolder::open(path)?)),
        Kind::Webdataset => Reader::Stored(Box::new(WebDataset::open(path)?)),
        Kind::EdmZip => Reader::Stored(Box::new(EdmZip::open(path)?)),
        Kind::Array => Reader::Array(Box::new(npz::images(path)?)),
        Kind::Celeba | Kind::Latents => {
            let what = format!("{}: images that have to be prepared first", path.display());
            let help = "give the experiment file instead, such as configs/celeba64-dis-s2.toml: its \
                        images are prepared as for training";
            return Err(Failure::usage(what).help(help).into());
        }
    })
}

/// Classes of an array, where it has any; they count from 0.
fn labels_of(array: &npz::ImageArray) -> Result<Vec<u32>> {
    let class = |label: i64| {
        u32::try_from(label).map_err(|_| Failure::data(format!("label {label} is no class")).into())
    };
    array.labels()?.unwrap_or_default().into_iter().map(class).collect()
}

/// An image of a data set as it was before it became numbers.
fn prepared(dataset: &dyn Dataset, index: u64) -> Result<(Vec<u8>, u32), DataError> {
    let shape = dataset.shape();
    let mut image = vec![0.0; shape.len()];
    let label = dataset.load(index, Visit { seed: 0, position: index }, &mut image)?;
    Ok((to_bytes(&image, shape.channels, shape.height), label))
}

/// Refuses what the policy does not allow.
fn check(
    source: &dyn ImageSource,
    index: u64,
    probe: &Probe,
    [height, width]: [usize; 2],
    policy: ImagePolicy,
) -> Result<()> {
    if [probe.height, probe.width] != [height, width] {
        let (got, name) = (format!("{}x{}", probe.height, probe.width), source.sample_name(index));
        let what = format!("{name} is {got} pixels, expected {height}x{width} as the first image");
        let help = "images of a set have one size: prepare them, or give the experiment file";
        return Err(Failure::data(what).help(help).into());
    }
    let needs_leave =
        ["alpha", "transpar", "16 bits"].iter().any(|what| probe.colour.contains(what));
    if needs_leave && !policy.drop_alpha {
        let what = format!(
            "{} is {} ({}), expected RGB or grey of 8 bits",
            source.sample_name(index),
            probe.colour,
            probe.format
        );
        let help = "--drop-alpha drops alpha and rounds 16 bits to 8; the report says so";
        return Err(Failure::data(what).help(help).into());
    }
    Ok(())
}
