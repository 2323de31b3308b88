//! A protocol and the network behind it.

use super::layers::{CLASSES, POOL, SIDE, SPATIAL};
use super::network::Inception;
use super::protocol::Protocol;
use super::weights::TensorMap;
use crate::resize::Resizer;
use crate::{EvalError, FeatureBatch, FeatureNetwork, ImageBatch};
use ssm_kernels::{ImageBackend, Real};

/// Images of a pass. More share the reading of the weights, and need more memory for activations.
const BATCH: usize = 16;

/// Images to features by a protocol.
#[derive(Debug)]
pub struct InceptionFeatures<B: ImageBackend> {
    protocol: Protocol,
    network: Inception<B>,
    resizer: Option<Resizer>,
    /// What the network reads, of one pass.
    input: Vec<B::Wide>,
}

impl<B: ImageBackend> InceptionFeatures<B> {
    /// Features by `protocol` with the weights of [`super::weights::read`].
    ///
    /// # Errors
    /// Those of [`Inception::load`].
    pub fn new(backend: B, protocol: Protocol, tensors: TensorMap) -> Result<Self, EvalError> {
        let network = Inception::load(backend, tensors)?;
        Ok(Self { protocol, network, resizer: None, input: Vec::new() })
    }

    /// What the images go through.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Bytes of activations of a pass; see [`Inception::activation_bytes`].
    pub fn activation_bytes(&self) -> usize {
        self.network.activation_bytes(BATCH)
    }
}

impl<B: ImageBackend> FeatureNetwork for InceptionFeatures<B> {
    fn dim(&self) -> usize {
        POOL
    }

    fn spatial_dim(&self) -> usize {
        if self.protocol.has_spatial_and_logits() { SPATIAL } else { 0 }
    }

    fn classes(&self) -> usize {
        if self.protocol.has_spatial_and_logits() { CLASSES } else { 0 }
    }

    fn features(&mut self, images: ImageBatch<'_>) -> Result<FeatureBatch, EvalError> {
        let (protocol, height, width) = (self.protocol, images.height(), images.width());
        let known = self.resizer.take().filter(|resizer| resizer.is_for(height, width));
        let resizer = known.unwrap_or_else(|| Resizer::new(protocol.resize(), height, width, SIDE));
        let mut features = FeatureBatch::default();
        for first in (0..images.len()).step_by(BATCH) {
            let count = (images.len() - first).min(BATCH);
            self.input.resize(count * resizer.out_len(), B::Wide::default());
            let map = |value| B::Wide::from_f64(protocol.input(value));
            resizer.batch(images, first, map, &mut self.input);
            let taps = self.network.forward(&self.input)?;
            let narrow = |values: Vec<B::Wide>| values.into_iter().map(|x| x.to_f64() as f32);
            features.pool.extend(narrow(taps.pool));
            if protocol.has_spatial_and_logits() {
                features.spatial.extend(narrow(taps.spatial));
                features.logits.extend(narrow(taps.logits));
            }
        }
        self.resizer = Some(resizer);
        Ok(features)
    }
}
