//! The network of FID: Inception-v3 of 2015, with folded norms.
//!
//! [`Inception`] is the network, [`Protocol`] says what becomes of an image before it, and
//! [`InceptionFeatures`] is both: images in, features out.
//!
//! ```no_run
//! use eval::inception::{InceptionFeatures, Protocol, weights};
//! use eval::{FeatureNetwork, ImageBatch};
//! use ssm_kernels::Cpu;
//!
//! # fn main() -> Result<(), eval::EvalError> {
//! let file = weights::read("inception.safetensors".as_ref())?;
//! let mut network = InceptionFeatures::new(Cpu, Protocol::Adm, file.tensors)?;
//! let pixels = vec![0; 50 * 32 * 32 * 3];
//! let features = network.features(ImageBatch::new(&pixels, 32, 32)?)?;
//! # assert_eq!(features.pool.len(), 50 * 2048);
//! # Ok(())
//! # }
//! ```
//!
//! A convolution of this network is followed by a norm with running statistics and a ReLU. The norms
//! are folded into the weights once, in f64, so there is no mode in which they are not those of the file.
//!
//! # Source
//! Inception-v3, arXiv 1512.00567, as the graph that was published with TensorFlow on 2015-12-05, from
//! which all published distances come. It is not the network of torchvision: averages leave the padding
//! out of the count, and the last stage pools the largest values.

mod extractor;
mod fold;
mod layers;
mod network;
mod protocol;
pub mod weights;
mod workspace;

pub use extractor::InceptionFeatures;
pub use layers::{CLASSES, POOL, SIDE, SPATIAL};
pub use network::{Inception, StageMean, Taps};
pub use protocol::Protocol;
