//! Statistics and features in files.
//!
//! Ours are safetensors files, whose metadata has the fingerprint under the key `dis_eval`:
//!
//! | file | tensors |
//! |---|---|
//! | statistics | `mean` `[d]`, `cov` `[d, d]`, with sFID `mean_s`, `cov_s`, all F64; `n` `[1]`, U64 |
//! | features | `pool` `[N, d]`, where there are any `spatial` and `logits`, all F32; `labels` `[N]`, U32 |
//!
//! Those of others are read too: `mu`, `sigma`, `mu_s`, `sigma_s` in an `.npz`, as ADM, pytorch-fid, EDM
//! and U-ViT write them, and a table of f32 in a safetensors file. They have no fingerprint.

mod features;
mod npz_statistics;
mod statistics;
mod tensors;

pub use features::{FeatureFile, FeatureWriter};
pub use npz_statistics::has_statistics;
pub use statistics::{StatisticsFile, read_statistics, write_statistics};
pub use tensors::{Kind, kind_of};
