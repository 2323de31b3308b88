//! From the tables of an experiment to its images.

use crate::experiment::{DataKind, EncodeSection, Experiment, SourceImages, VaeSection};
use data::latents::{LatentCache, LatentCacheOptions, LatentScaling};
use data::{
    ArrayImages, Celeba, CelebaPart, Cifar10, DataError, Dataset, EdmZip, ImageFiles, ImageFolder,
    ImageSource, Preparation, Shapes, Split, WebDataset,
};
use std::path::Path;
use std::sync::Arc;

/// Opens the training images, or latents, of a valid experiment.
///
/// # Errors
/// [`DataError`] when files are missing or damaged.
pub fn open_dataset(experiment: &Experiment) -> Result<Arc<dyn Dataset>, DataError> {
    let data = &experiment.data;
    match (&data.path, &experiment.vae) {
        (Some(path), Some(vae)) if data.kind == DataKind::Latents => {
            let options = LatentCacheOptions { scaling: latent_scaling(vae), flip: data.flip };
            Ok(Arc::new(LatentCache::open(path, &options)?))
        }
        _ => open_images(data.source(), experiment.seed),
    }
}

/// Opens the images that `dis encode` turns into the latents of a valid experiment.
///
/// # Errors
/// [`DataError`] when files are missing or damaged.
pub fn open_encode_source(
    encode: &EncodeSection,
    seed: u64,
) -> Result<Arc<dyn Dataset>, DataError> {
    open_images(encode.source(), seed)
}

/// What the network sees of a latent, as the experiment says it.
pub fn latent_scaling(vae: &VaeSection) -> LatentScaling {
    let narrow = |numbers: &Option<crate::Numbers>| {
        numbers.iter().flat_map(|numbers| numbers.iter().map(|&x| x as f32)).collect()
    };
    LatentScaling {
        mean: narrow(&vae.latent_mean),
        std: narrow(&vae.latent_std),
        factor: vae.latent_scale.unwrap_or(1.0) as f32,
    }
}

fn open_images(source: SourceImages<'_>, seed: u64) -> Result<Arc<dyn Dataset>, DataError> {
    let SourceImages { kind, path, count, image_size: size } = source;
    let path = path.unwrap_or(Path::new(""));
    let crop = Preparation::CentreCrop { size };
    match kind {
        DataKind::Shapes => Ok(Arc::new(Shapes::new(seed, size, count.unwrap_or(0))?)),
        DataKind::Cifar10 => Ok(Arc::new(Cifar10::open(path, Split::Train)?)),
        DataKind::ImageFolder => prepared(ImageFolder::open(path)?, crop),
        DataKind::WebDataset => prepared(WebDataset::open(path)?, crop),
        DataKind::Celeba => {
            let faces = Celeba::open(path, CelebaPart::Train)?;
            prepared(faces, Preparation::CelebaFace { size })
        }
        DataKind::EdmZip => prepared(EdmZip::open(path)?, crop),
        DataKind::Array => prepared(ArrayImages::open(path)?, crop),
        DataKind::Latents => Err(DataError::Config {
            field: "kind",
            expected: "images".into(),
            got: "latents without an autoencoder".into(),
        }),
    }
}

fn prepared<S: ImageSource + 'static>(
    source: S,
    preparation: Preparation,
) -> Result<Arc<dyn Dataset>, DataError> {
    Ok(Arc::new(ImageFiles::new(source, preparation)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sets: &[&str]) -> Result<Arc<dyn Dataset>, DataError> {
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
    fn missing_files_of_every_kind_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("data.path={}", folder.path().display());
        let cifar = ["data.kind=cifar10", "data.image_size=32", "model.num_classes=10"];
        let celeba = ["data.kind=celeba", "model.num_classes=0", "guidance.guidance_scale=1.0"];
        let latents =
            ["data.kind=latents", "vae.path=vae", "vae.latent_scale=1", "model.channels=4"];
        let kinds: [&[&str]; 7] = [
            &cifar,
            &celeba,
            &latents,
            &["data.kind=image_folder"],
            &["data.kind=webdataset"],
            &["data.kind=edm_zip"],
            &["data.kind=array"],
        ];
        for sets in kinds {
            let Err(error) = open(&[sets, &[path.as_str()]].concat()) else {
                panic!("{sets:?} opened")
            };
            assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_factor_or_moments_become_a_scaling() {
        let section = |mean: Option<[f64; 2]>, latent_scale| VaeSection {
            path: "vae".into(),
            latent_scale,
            latent_mean: mean.map(crate::Numbers::from),
            latent_std: mean.map(|_| crate::Numbers::from([2.0, 4.0])),
        };
        let scaling = latent_scaling(&section(None, Some(0.5)));
        assert_eq!(scaling, LatentScaling::constant(0.5));
        let scaling = latent_scaling(&section(Some([1.0, -1.0]), None));
        assert_eq!((scaling.mean, scaling.std), (vec![1.0, -1.0], vec![2.0, 4.0]));
        assert_eq!(scaling.factor, 1.0);
    }
}
