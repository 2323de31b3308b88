//! The network of the features, somewhere.

use super::args::{FeatureArgs, FeaturesFrom};
use crate::device::OpenDevice;
use crate::exit::Failure;
use anyhow::Result;
use eval::fingerprint::{FeatureSpec, Fingerprint, Network, Origin};
use eval::inception::weights::{self, WeightFile};
use eval::{FeatureNetwork, Pixels};
use std::path::Path;

/// Seed of random weights.
const RANDOM_SEED: u64 = 1;

/// What turns images into features, and what its features are.
pub(crate) struct FeatureSource {
    pub(crate) network: Box<dyn FeatureNetwork>,
    pub(crate) spec: FeatureSpec,
    device: String,
}

impl FeatureSource {
    /// The network that flags ask for; what they leave open is as in the features that those of images
    /// will be compared with.
    pub(crate) fn open(
        args: &FeatureArgs,
        other: Option<&FeatureSpec>,
        device: &OpenDevice,
    ) -> Result<Self> {
        let protocol = args.protocol(other);
        let (network, tensors) = match args.features_from(other)? {
            FeaturesFrom::Pixels => {
                let (network, spec) = (Box::new(Pixels), Pixels::spec());
                return Ok(Self { network, spec, device: "cpu".into() });
            }
            FeaturesFrom::RandomInception => {
                (Network::RandomInception { seed: RANDOM_SEED }, weights::random(RANDOM_SEED))
            }
            FeaturesFrom::File(file) => {
                let file = read(&file)?;
                let published = file.is_published();
                (Network::Inception { weights: file.blake3, published }, file.tensors)
            }
        };
        let spec = FeatureSpec::of(protocol, network);
        let network = device.inception(protocol, tensors)?;
        Ok(Self { network, spec, device: device.describe() })
    }

    /// What is said of features of some images.
    pub(crate) fn fingerprint(&self, origin: Origin) -> Fingerprint {
        let device = Some(self.device.clone());
        Fingerprint { features: Some(self.spec.clone()), origin: Origin { device, ..origin } }
    }
}

fn read(file: &Path) -> Result<WeightFile> {
    if !file.exists() {
        let what = format!("{}: no such file of weights", file.display());
        let help = "`dis convert pt_inception-2015-12-05-6726825d.pth inception.safetensors` makes one \
                    of the published file; docs/evaluation.md says where that is to be had";
        return Err(Failure::data(what).help(help).into());
    }
    if file.extension().is_some_and(|ending| ending == "pth" || ending == "pt") {
        let what = format!("{}: a file of torch, expected safetensors", file.display());
        let help = format!("dis convert {} inception.safetensors", file.display());
        return Err(Failure::data(what).help(help).into());
    }
    Ok(weights::read(file)?)
}
