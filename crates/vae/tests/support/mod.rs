//! Golden networks.

use parity::Golden;
use std::path::{Path, PathBuf};
use vae::weights::{Tensor, TensorMap};

/// A file beside these tests.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// The weights of a golden, `param.NAME`.
pub(crate) fn weights(golden: &Golden) -> TensorMap {
    let names = golden.names().filter_map(|name| name.strip_prefix("param."));
    let tensor = |name: &str| {
        let name = format!("param.{name}");
        Tensor { shape: golden.shape(&name).to_vec(), data: golden.f32(&name) }
    };
    names.map(|name| (name.into(), tensor(name))).collect()
}
