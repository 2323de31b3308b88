//! Goldens = oracle = production, values and every gradient.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;
mod support;

use dis_model::{Conditioning, DisConfig, DisPreset, Input, ParamLayout, Skip};
use oracle::{Oracle, numbers};
use parity::assert_close;
use ssm_kernels::{Cpu, HostBackend, Reference};
use support::production::run;
use support::{ModelGolden, Values};

/// Errors allowed relative to the largest value of a tensor.
struct Bars {
    output: f64,
    mids: f64,
    gradients: f64,
}

/// f64 against f64: only the order of sums differs.
const F64_GOLDEN: Bars = Bars { output: 1e-12, mids: 1e-12, gradients: 1e-12 };
/// As above; the random configurations have no golden to hold the oracle itself.
const F64_ORACLE: Bars = Bars { output: 1e-10, mids: 1e-10, gradients: 1e-10 };
/// f32 rounding through five blocks; the official code in f32 reaches 2e-5 in its worst gradient.
const F32: Bars = Bars { output: 1e-5, mids: 5e-5, gradients: 5e-5 };

fn matches_golden<B: HostBackend>(case: &ModelGolden, bars: &Bars) {
    let (x, timesteps, labels) = case.inputs();
    let input =
        Input::<_> { x: &x, timesteps: &timesteps, labels: labels.as_deref(), drop_path: None };
    let probe = support::probe(case.file.get("out.y").len());
    let got = run::<B>(&case.config, &case.params(), &input, &probe);
    assert_close("out.y", &got.output, case.file.get("out.y"), bars.output);
    let compare = |kind: &str, got: &Values, bar: f64| {
        let named = got.iter().map(|(name, values)| (format!("{kind}.{name}"), values));
        let in_file = named.filter(|(name, _)| case.file.contains(name));
        in_file.map(|(name, got)| assert_close(&name, got, case.file.get(&name), bar)).count()
    };
    assert!(compare("mid", &got.mids, bars.mids) >= case.config.n_blocks());
    assert_eq!(compare("grad", &got.gradients, bars.gradients), case.gradients);
}

#[test]
fn reference_in_f64_is_the_official_code() {
    matches_golden::<Reference<f64>>(&support::conditional(), &F64_GOLDEN);
    matches_golden::<Reference<f64>>(&support::unconditional(), &F64_GOLDEN);
}

#[test]
fn reference_in_f32_stays_within_rounding() {
    matches_golden::<Reference<f32>>(&support::conditional(), &F32);
    matches_golden::<Reference<f32>>(&support::unconditional(), &F32);
}

#[test]
fn cpu_stays_within_rounding() {
    matches_golden::<Cpu>(&support::conditional(), &F32);
    matches_golden::<Cpu>(&support::unconditional(), &F32);
}

#[test]
fn guidance_of_three_channels() {
    let case = support::conditional();
    let (x, timesteps, labels) = case.inputs();
    let null = case.config.num_classes as u32;
    let labels: Vec<u32> = labels.unwrap().into_iter().chain([null, null]).collect();
    let input = Input::<_> {
        x: &[x.clone(), x].concat(),
        timesteps: &[timesteps.clone(), timesteps].concat(),
        labels: Some(&labels),
        drop_path: None,
    };
    let probe = vec![0.0; 2 * case.file.get("out.y").len()];
    let got = run::<Reference<f64>>(&case.config, &case.params(), &input, &probe);
    let guided = support::guide_three_channels(&got.output, &case.config, 1.5);
    assert_close("out.cfg1.5", &guided, case.file.get("out.cfg1.5"), F64_GOLDEN.output);
}

/// Every switch, both batch kinds, sequences of 1, 2, 3 and more tokens, odd widths.
fn configurations() -> Vec<(&'static str, DisConfig, usize)> {
    let new = |hidden_size, depth, image_size, channels, patch_size, num_classes| DisConfig {
        hidden_size,
        depth,
        ..DisConfig::official(DisPreset::S, image_size, channels, patch_size, num_classes)
    };
    let adaln = |config| DisConfig { conditioning: Conditioning::Adaln, ..config };
    let plain_head = |config| DisConfig { final_adaln: false, ..config };
    let skip = |skip, config| DisConfig { skip, ..config };
    let halved = |config| DisConfig { direction_sum: 0.5, ..config };
    let normed = |config| DisConfig { normalize_ssm_inputs: true, ..config };
    let fixed_variance = |config| DisConfig { learned_variance: false, ..config };
    vec![
        ("official conditional", new(20, 4, 8, 3, 2, 3), 3),
        ("official unconditional", new(24, 2, 8, 4, 4, 0), 1),
        ("fixed variance, halved sum", fixed_variance(halved(new(46, 2, 4, 2, 2, 0))), 3),
        ("one class, odd width, patch 1", new(17, 2, 3, 1, 1, 1), 3),
        ("plain head", plain_head(new(24, 2, 4, 3, 2, 5)), 3),
        ("skip add", skip(Skip::Add, new(20, 4, 4, 3, 1, 2)), 3),
        ("no skip", skip(Skip::None, new(24, 4, 4, 2, 2, 0)), 3),
        ("modulated blocks", adaln(new(20, 4, 4, 3, 2, 4)), 3),
        ("modulated blocks, unconditional, one token", adaln(new(20, 2, 4, 3, 4, 0)), 3),
        ("modulated, skip add", plain_head(skip(Skip::Add, adaln(new(24, 4, 4, 1, 1, 2)))), 1),
        ("modulated, no skip, halved", halved(skip(Skip::None, adaln(new(46, 2, 4, 2, 2, 1)))), 3),
        ("two tokens", new(20, 2, 2, 3, 2, 0), 3),
        ("three tokens", new(46, 2, 4, 1, 4, 7), 1),
        ("5 states, 3 taps", DisConfig { d_state: 5, d_conv: 3, ..new(20, 2, 4, 3, 1, 2) }, 3),
        ("65 tokens", new(46, 2, 8, 3, 1, 0), 3),
        ("other eps", DisConfig { norm_eps: 0.03, final_eps: 0.2, ..new(20, 2, 4, 3, 2, 2) }, 3),
        (
            "other eps, modulated",
            { DisConfig { norm_eps: 0.03, final_eps: 0.2, ..adaln(new(20, 2, 4, 3, 2, 2)) } },
            3,
        ),
        ("normed scan inputs", normed(new(20, 4, 8, 3, 2, 3)), 3),
        ("normed, 65 tokens", normed(new(46, 2, 8, 3, 1, 0)), 3),
        // Nearly the sign of the step size, so f32 rounding grows where that is small.
        ("normed, rank 1", normed(new(16, 2, 4, 3, 2, 1)), 3),
        ("normed, rank 3, halved", normed(halved(new(46, 2, 4, 2, 2, 1))), 1),
        ("normed, modulated", normed(adaln(new(20, 2, 4, 3, 2, 4))), 3),
        (
            "normed, other eps, 5 states",
            { normed(DisConfig { norm_eps: 0.03, d_state: 5, ..new(20, 2, 4, 3, 2, 2) }) },
            3,
        ),
    ]
}

/// Compares both passes with the oracle, with or without dropped additions.
fn matches_oracle<B: HostBackend>(
    name: &str,
    config: &DisConfig,
    batch: usize,
    drops: bool,
    bars: &Bars,
) {
    let layout = ParamLayout::new(config);
    let params = support::sample_params(&layout, batch as u64 + layout.len() as u64);
    let inputs = support::SampleInputs::new(config, batch);
    let mut input = inputs.input();
    if !drops {
        input.drop_path = None;
    }
    let probe = support::probe(batch * config.output_len());
    let oracle = Oracle::new(config, &params);
    let pass = oracle.forward(&input).unwrap();
    let want = pass.gradients(&oracle, &probe);
    let got = run::<B>(config, &params, &input, &probe);
    let case = |operand: &str| format!("{name}, drop-path {drops}: {operand}");
    assert_close(&case("output"), &got.output, &numbers(&pass.output), bars.output);
    for (mid, got) in &got.mids {
        assert_close(&case(mid), got, &numbers(&pass.mids[mid]), bars.mids);
    }
    assert!(want.keys().eq(got.gradients.keys()), "{name}: names of the gradients");
    for (param, got) in &got.gradients {
        assert_close(&case(&format!("grad {param}")), got, &want[param], bars.gradients);
    }
}

#[test]
fn every_switch_in_f64_is_the_oracle() {
    for (name, config, batch) in configurations() {
        matches_oracle::<Reference<f64>>(name, &config, batch, false, &F64_ORACLE);
        matches_oracle::<Reference<f64>>(name, &config, batch, true, &F64_ORACLE);
    }
}

#[test]
fn every_switch_on_the_cpu_stays_within_rounding() {
    for (name, config, batch) in configurations() {
        matches_oracle::<Cpu>(name, &config, batch, true, &F32);
    }
}
