//! The network against numbers of others.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

mod support;

use parity::{Golden, assert_close};
use ssm_kernels::{Cpu, ImageBackend, Real, Reference};
use std::path::Path;
use support::{golden_path, weights};
use vae::{AutoencoderKl, Extent, VaeConfig};

/// What tells a backend from the golden: sums in another order, in its format.
const REFERENCE: f64 = 1e-10;
const CPU: f64 = 2e-5;

/// Images and latents of a golden, both ways, against its f64 results.
fn check<B: ImageBackend>(backend: B, config: &VaeConfig, golden: &Golden, tolerance: f64) {
    let mut network = AutoencoderKl::load(backend, config.clone(), weights(golden)).unwrap();
    let extent = |name: &str| match golden.shape(name) {
        [_, _, height, width] => Extent { height: *height, width: *width },
        shape => panic!("{name} of shape {shape:?}"),
    };
    let numbers = |name: &str| -> Vec<B::Wide> {
        golden.get(name).iter().map(|&x| B::Wide::from_f64(x)).collect()
    };
    let as_f64 = |values: &[B::Wide]| -> Vec<f64> { values.iter().map(|x| x.to_f64()).collect() };
    let posterior = network.encode(&numbers("in.image"), extent("in.image")).unwrap();
    assert_close("mean", &as_f64(posterior.mean()), golden.get("out.mean"), tolerance);
    assert_close("logvar", &as_f64(posterior.log_variance()), golden.get("out.logvar"), tolerance);
    let images = network.decode(&numbers("in.latent"), extent("in.latent")).unwrap();
    assert_close("decoded", &as_f64(&images), golden.get("out.decoded"), tolerance);
}

fn check_both(config: &VaeConfig, golden: &Golden) {
    check(Reference::<f64>::default(), config, golden, REFERENCE);
    check(Cpu, config, golden, CPU);
}

/// A network written from its formulas, whose code gives the numbers of diffusers for the other one.
#[test]
fn small_network_gives_its_numbers() {
    let golden = Golden::open(golden_path("small.safetensors"));
    let config = VaeConfig {
        block_out_channels: vec![8, 12, 12],
        layers_per_block: 1,
        norm_num_groups: 4,
        ..VaeConfig::stable_diffusion()
    };
    check_both(&config, &golden);
}

/// A network of diffusers, too large to stand in the repository.
#[test]
fn network_of_diffusers_gives_its_numbers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/goldens/vae/kl_small_f64.safetensors");
    if !path.is_file() {
        eprintln!("skipped: no {}", path.display());
        return;
    }
    let golden = Golden::open(&path);
    let config =
        VaeConfig { block_out_channels: vec![32, 64, 64, 64], ..VaeConfig::stable_diffusion() };
    check_both(&config, &golden);
}
