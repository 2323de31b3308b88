//! FID, sFID, Inception Score, precision and recall, by the papers' protocols.
#![forbid(unsafe_code)]

pub mod bootstrap;
mod collect;
pub mod compare;
mod error;
mod features;
pub mod fid_infinity;
pub mod files;
pub mod fingerprint;
pub mod frechet;
pub mod inception;
pub mod inception_score;
pub mod kernel_distance;
mod metric;
mod pixels;
pub mod precision_recall;
mod report;
pub mod resize;
mod rows;
pub mod statistics;
mod subset;

pub use collect::{Collector, FeatureRows, Keep, Measured};
pub use error::EvalError;
pub use features::{FeatureBatch, FeatureNetwork, ImageBatch};
pub use metric::{Metric, Needs};
pub use pixels::Pixels;
pub use report::{Report, check_fingerprints};
pub use rows::Rows;
