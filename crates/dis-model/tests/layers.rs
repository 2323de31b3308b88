//! One layer at a time: its parameters' gradients and what it hands on, against the oracle.
//!
//! `cargo xtask check-layer NAME` runs the test of one layer. Each runs inside the smallest network
//! that holds it, so that what fails is named by its own parameters.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;
mod support;

use dis_model::{Conditioning, DisConfig, DisPreset, ParamLayout, Skip};
use oracle::{Oracle, numbers};
use parity::assert_close;
use ssm_kernels::{Cpu, HostBackend, Reference};
use support::production::run;

fn smallest(hidden_size: usize, image_size: usize, num_classes: usize) -> DisConfig {
    DisConfig {
        hidden_size,
        depth: 2,
        ..DisConfig::official(DisPreset::S, image_size, 3, 2, num_classes)
    }
}

/// Compares the parameters that `belongs` accepts and the block outputs, on both backends.
fn check(config: &DisConfig, belongs: impl Fn(&str) -> bool) {
    check_on::<Reference<f64>>(config, &belongs, 1e-10);
    check_on::<Cpu>(config, &belongs, 5e-5);
}

fn check_on<B: HostBackend>(config: &DisConfig, belongs: impl Fn(&str) -> bool, bar: f64) {
    let batch = 3;
    let layout = ParamLayout::new(config);
    let params = support::sample_params(&layout, layout.len() as u64);
    let inputs = support::SampleInputs::new(config, batch);
    let probe = support::probe(batch * config.output_len());
    let oracle = Oracle::new(config, &params);
    let pass = oracle.forward(&inputs.input()).unwrap();
    let want = pass.gradients(&oracle, &probe);
    let got = run::<B>(config, &params, &inputs.input(), &probe);
    for (mid, got) in &got.mids {
        assert_close(mid, got, &numbers(&pass.mids[mid]), bar);
    }
    let own: Vec<_> = got.gradients.iter().filter(|(name, _)| belongs(name)).collect();
    assert!(!own.is_empty(), "no parameter belongs to the layer");
    for (name, got) in own {
        assert_close(&format!("grad {name}"), got, &want[name], bar);
    }
}

#[test]
fn embed_matches_oracle() {
    let belongs = |name: &str| {
        ["pos_embed", "patch_embed", "time_embed", "label_emb"].iter().any(|p| name.starts_with(p))
    };
    check(&smallest(20, 4, 5), belongs);
    check(&smallest(23, 4, 0), belongs);
    check(&DisConfig { conditioning: Conditioning::Adaln, ..smallest(20, 4, 3) }, belongs);
}

#[test]
fn bidirectional_ssm_matches_oracle() {
    let belongs = |name: &str| name.contains(".mixer.");
    check(&smallest(46, 4, 0), belongs);
    check(&DisConfig { direction_sum: 0.5, ..smallest(24, 16, 2) }, belongs);
    check(&DisConfig { d_state: 8, d_conv: 3, ..smallest(20, 6, 0) }, belongs);
    check(&DisConfig { normalize_ssm_inputs: true, ..smallest(46, 4, 0) }, belongs);
}

#[test]
fn ssm_block_matches_oracle() {
    let belongs = |name: &str| {
        [".norm.weight", ".skip_linear.", "blocks.0.adaLN_modulation", "mid_block.adaLN_modulation"]
            .iter()
            .any(|part| name.contains(part))
    };
    check(&smallest(24, 4, 2), belongs);
    let modulated = DisConfig { conditioning: Conditioning::Adaln, ..smallest(20, 4, 3) };
    check(&modulated, belongs);
    check(&DisConfig { skip: Skip::Add, ..smallest(20, 4, 0) }, belongs);
}

#[test]
fn final_layer_matches_oracle() {
    let belongs = |name: &str| name.starts_with("final_layer") || name == "norm_f.weight";
    check(&smallest(20, 4, 3), belongs);
    check(&DisConfig { learned_variance: false, ..smallest(23, 4, 0) }, belongs);
    check(&DisConfig { final_adaln: false, ..smallest(20, 4, 2) }, belongs);
}
