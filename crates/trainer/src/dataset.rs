//! From the `[data]` of an experiment to its images.

use crate::experiment::{DataKind, Experiment};
use data::{Cifar10, DataError, Dataset, ImageFolder, Shapes, Split};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the data of an experiment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The files are missing or damaged.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Data that this version cannot read.
    #[error(
        "{}: data.kind is \"latents\": latent caches are not readable yet\n\
         help: train on pixels, as configs/cifar10-dis-s2.toml does",
        path.display()
    )]
    Latents {
        /// The cache.
        path: PathBuf,
    },
}

/// Opens the training images of a valid experiment.
///
/// # Errors
/// [`DatasetError`] when files are missing or damaged, or the data are latents.
pub fn open_dataset(experiment: &Experiment) -> Result<Arc<dyn Dataset>, DatasetError> {
    let data = &experiment.data;
    let path = data.path.as_deref().unwrap_or(Path::new(""));
    Ok(match data.kind {
        DataKind::Shapes => {
            let count = data.count.unwrap_or(0);
            Arc::new(Shapes::new(experiment.seed, data.image_size, count)?)
        }
        DataKind::Cifar10 => Arc::new(Cifar10::open(path, Split::Train)?),
        DataKind::ImageFolder => Arc::new(ImageFolder::open(path, data.image_size)?),
        DataKind::Latents => return Err(DatasetError::Latents { path: path.into() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sets: &[&str]) -> Result<Arc<dyn Dataset>, DatasetError> {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let quickstart =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/quickstart-resolved.toml");
        open_dataset(&Experiment::load(quickstart, &sets).unwrap())
    }

    #[test]
    fn shapes_need_no_files() {
        let dataset = open(&["data.count=7", "data.image_size=24"]).unwrap();
        assert_eq!((dataset.name(), dataset.len(), dataset.num_classes()), ("shapes", 7, 4));
        assert_eq!((dataset.shape().channels, dataset.shape().height), (3, 24));
    }

    #[test]
    fn missing_files_and_latents_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("data.path={}", folder.path().display());
        for sets in [
            &["data.kind=cifar10", &path, "data.image_size=32", "model.num_classes=10"][..],
            &["data.kind=image_folder", &path],
        ] {
            let Err(error) = open(sets) else { panic!("{sets:?} opened") };
            assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
        }
        let latents = ["data.kind=latents", "data.path=there", "model.channels=4"];
        let Err(error) = open(&latents) else { panic!("latents opened") };
        let expected =
            "there: data.kind is \"latents\": latent caches are not readable yet\nhelp: ";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
