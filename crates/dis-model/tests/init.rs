//! The laws of initial parameters: bounds, moments, constants.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dis_model::init::{DeltaBiasInit, InitOptions, init};
use dis_model::{Conditioning, DisConfig, DisPreset, ParamLayout, Skip};

/// 368 wide, so that ranks and widths are odd; depth 4, so that it is quick.
fn config() -> DisConfig {
    DisConfig { depth: 4, ..DisConfig::official(DisPreset::S, 16, 3, 2, 10) }
}

struct Initial {
    layout: ParamLayout,
    arena: Vec<f32>,
}

impl Initial {
    fn new(config: &DisConfig, options: &InitOptions, seed: u64) -> Self {
        options.validate().unwrap();
        let layout = ParamLayout::new(config);
        let arena = init(config, &layout, options, seed);
        Self { layout, arena }
    }

    fn official() -> Self {
        Self::new(&config(), &InitOptions::official(), 1)
    }

    fn get(&self, name: &str) -> &[f32] {
        let param = self.layout.get(name).unwrap_or_else(|| panic!("no parameter {name}"));
        &self.arena[param.range.clone()]
    }

    /// The parameter of every block under one of the official copies.
    fn in_every_block(&self, tail: &str) -> Vec<(&str, &[f32])> {
        let ends = format!(".{tail}");
        let found: Vec<_> = self.layout.iter().filter(|p| p.name.ends_with(&ends)).collect();
        assert!(found.len() >= 2, "{tail} in {} blocks", found.len());
        found.into_iter().map(|p| (p.name.as_str(), self.get(&p.name))).collect()
    }
}

fn moments(values: &[f32]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Within the bound, near it, centred, and with the deviation of a uniform law; five standard
/// errors are allowed.
fn assert_uniform(name: &str, values: &[f32], bound: f64) {
    let n = values.len() as f64;
    let largest = values.iter().fold(0.0f64, |m, &x| m.max(f64::from(x.abs())));
    assert!(largest <= bound * (1.0 + 1e-7), "{name}: {largest} beyond {bound}");
    assert!(largest >= bound * (1.0 - 10.0 / n), "{name}: {largest} of {bound}");
    let (mean, deviation) = moments(values);
    let expected = bound / 3f64.sqrt();
    assert!(mean.abs() <= 5.0 * expected / n.sqrt(), "{name}: mean {mean}");
    // The fourth moment of a uniform law gives its variance a relative error of sqrt(0.8 / n).
    assert!((deviation / expected - 1.0).abs() <= 2.5 / n.sqrt(), "{name}: deviation {deviation}");
}

#[test]
fn uniform_laws() {
    let official = Initial::official();
    for (name, fan_in) in [
        ("patch_embed.proj.weight", 12),
        ("patch_embed.proj.bias", 12),
        ("time_embed.0.weight", 368),
        ("time_embed.2.weight", 4 * 368),
        ("final_layer.linear.weight", 368),
        ("final_layer.adaLN_modulation.1.weight", 368),
    ] {
        assert_uniform(name, official.get(name), 1.0 / f64::from(fan_in).sqrt());
    }
    for (tail, fan_in) in [
        ("in_proj.weight", 368),
        ("x_proj.weight", 736),
        ("x_proj_b.weight", 736),
        ("dt_proj.weight", 23),
        ("dt_proj_b.weight", 23),
        ("conv1d.weight", 4),
        ("conv1d.bias", 4),
        ("conv1d_b.weight", 4),
        ("conv1d_b.bias", 4),
        // Four is the depth; five blocks are built.
        ("out_proj.weight", 736 * 4),
        ("skip_linear.weight", 736),
    ] {
        for (name, values) in official.in_every_block(tail) {
            assert_uniform(name, values, 1.0 / f64::from(fan_in).sqrt());
        }
    }
}

#[test]
fn constants() {
    let official = Initial::official();
    for tail in ["norm.weight", "D", "D_b"] {
        for (name, values) in official.in_every_block(tail) {
            assert!(values.iter().all(|&x| x == 1.0), "{name}");
        }
    }
    assert!(official.get("norm_f.weight").iter().all(|&x| x == 1.0));
    for name in [
        "pos_embed",
        "time_embed.0.bias",
        "time_embed.2.bias",
        "final_layer.linear.bias",
        "final_layer.adaLN_modulation.1.bias",
    ] {
        assert!(official.get(name).iter().all(|x| x.to_bits() == 0), "{name}");
    }
    for tail in ["dt_proj_b.bias", "skip_linear.bias"] {
        for (name, values) in official.in_every_block(tail) {
            assert!(values.iter().all(|x| x.to_bits() == 0), "{name}");
        }
    }
    for tail in ["A_log", "A_b_log"] {
        for (name, values) in official.in_every_block(tail) {
            for (i, &x) in values.iter().enumerate() {
                assert_eq!(x, (((i % 16) + 1) as f64).ln() as f32, "{name}[{i}]");
            }
        }
    }
}

/// Step sizes are log-uniform in [0.001, 0.1], so their mean is 0.099 / ln 100 = 0.0215.
fn assert_delta_law(name: &str, bias: &[f32]) {
    let deltas: Vec<f32> = bias.iter().map(|&b| f64::from(b).exp().ln_1p() as f32).collect();
    let inside = |d: &f32| (0.000_999..0.100_01).contains(d);
    assert!(deltas.iter().all(inside), "{name}: a step size outside its range");
    let logs: Vec<f32> = deltas.iter().map(|d| d.ln()).collect();
    let (mean, deviation) = moments(&logs);
    let span = 100f64.ln();
    assert!(
        (mean - (0.01f64).ln()).abs() < 5.0 * span / (12.0 * bias.len() as f64).sqrt(),
        "{name}"
    );
    assert!((deviation * 12f64.sqrt() / span - 1.0).abs() < 0.1, "{name}: {deviation}");
    assert!((moments(&deltas).0 - 0.0215).abs() < 0.005, "{name}");
}

#[test]
fn step_sizes() {
    let official = Initial::official();
    for (name, bias) in official.in_every_block("dt_proj.bias") {
        assert_delta_law(name, bias);
    }
    let options = InitOptions { delta_bias: DeltaBiasInit::Symmetric, ..InitOptions::official() };
    let symmetric = Initial::new(&config(), &options, 1);
    for (name, bias) in symmetric.in_every_block("dt_proj_b.bias") {
        assert_delta_law(name, bias);
        assert_ne!(bias, symmetric.get(&name.replace("_b.bias", ".bias")), "{name}: own draws");
    }
}

#[test]
fn normal_laws() {
    let table = "label_emb.embedding_table.weight";
    let official = Initial::official();
    let (mean, deviation) = moments(official.get(table));
    assert!(mean.abs() < 0.0015 && (deviation / 0.02 - 1.0).abs() < 0.05, "{mean} {deviation}");
    let null_class = &official.get(table)[10 * 368..];
    assert!((moments(null_class).1 / 0.02 - 1.0).abs() < 0.2, "the null class has the same law");

    let options = InitOptions { position_std: 0.3, label_std: 0.0, ..InitOptions::official() };
    let ours = Initial::new(&config(), &options, 1);
    assert!((moments(ours.get("pos_embed")).1 / 0.3 - 1.0).abs() < 0.05);
    assert!(ours.get(table).iter().all(|x| x.to_bits() == 0));
}

#[test]
fn options_touch_only_their_own_parameters() {
    let official = Initial::official();
    let options = InitOptions { zero_head: true, ..InitOptions::official() };
    let zeroed = Initial::new(&config(), &options, 1);
    for param in official.layout.iter() {
        let same = official.get(&param.name) == zeroed.get(&param.name);
        assert_eq!(same, param.name != "final_layer.linear.weight", "{}", param.name);
    }
    assert!(zeroed.get("final_layer.linear.weight").iter().all(|x| x.to_bits() == 0));
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        let options = InitOptions { label_std: bad, ..InitOptions::official() };
        let message = options.validate().unwrap_err().to_string();
        assert!(message.contains("model.label_std"), "{message}");
    }
}

#[test]
fn modulated_blocks_start_without_modulation() {
    let adaln = DisConfig { conditioning: Conditioning::Adaln, ..config() };
    let initial = Initial::new(&adaln, &InitOptions::official(), 1);
    for (name, values) in initial.in_every_block("adaLN_modulation.1.weight") {
        let is_block = !name.starts_with("final_layer");
        assert_eq!(values.iter().all(|x| x.to_bits() == 0), is_block, "{name}");
    }
}

#[test]
fn every_parameter_of_every_switch_has_a_law() {
    for skip in [Skip::Concat, Skip::Add, Skip::None] {
        for conditioning in [Conditioning::Token, Conditioning::Adaln] {
            for num_classes in [0, 2] {
                let small = DisConfig { hidden_size: 20, depth: 2, ..config() };
                let config = DisConfig { skip, conditioning, num_classes, ..small };
                let initial = Initial::new(&config, &InitOptions::official(), 3);
                assert!(initial.arena.iter().all(|x| x.is_finite()));
            }
        }
    }
}

#[test]
fn numbers_depend_on_seed_name_and_element_alone() {
    let first = Initial::official();
    assert_eq!(first.arena, Initial::official().arena, "equal seeds, equal bits");
    let other = Initial::new(&config(), &InitOptions::official(), 2);
    assert_ne!(first.get("time_embed.0.weight"), other.get("time_embed.0.weight"));
    let [a, b] =
        ["in_blocks.0", "in_blocks.1"].map(|b| first.get(&format!("{b}.mixer.in_proj.weight")));
    assert_ne!(a, b, "blocks have their own draws");

    // A deeper network starts with the same numbers where names and laws are the same.
    let deeper = DisConfig { depth: 8, ..config() };
    let deeper = Initial::new(&deeper, &InitOptions::official(), 1);
    for name in ["patch_embed.proj.weight", "in_blocks.1.mixer.x_proj_b.weight"] {
        assert_eq!(first.get(name), deeper.get(name), "{name}");
    }
}

/// The address and the conversion, spelled out: a change here changes every run ever started.
#[test]
fn elements_are_lanes_of_the_parameters_name() {
    use philox::{Draws, Purpose, name_position};
    let initial = Initial::official();
    let name = "mid_block.mixer.in_proj.weight";
    let draws = Draws::new(1, Purpose::ParameterInitialisation, name_position(name));
    for lane in [0, 1, 4095] {
        let u = f64::from(draws.uniform(lane));
        let expected = ((2.0 * u - 1.0) / 368f64.sqrt()) as f32;
        let got = initial.get(name)[lane as usize];
        assert!((got - expected).abs() <= f32::EPSILON * expected.abs(), "{got} {expected}");
    }
}

/// The official head starts at work: an output deviation of about 0.57, not 0.
#[test]
fn the_first_output_of_the_official_laws() {
    use dis_model::{Input, Params};
    let config = DisConfig { depth: 4, ..DisConfig::official(DisPreset::S, 8, 4, 2, 10) };
    let layout = ParamLayout::new(&config);
    for (zero_head, range) in [(false, 0.4..0.75), (true, 0.0..1e-30)] {
        let options = InitOptions { zero_head, ..InitOptions::official() };
        let arena = init(&config, &layout, &options, 5);
        let dis = dis_model::Dis::<ssm_kernels::Cpu>::new(config.clone()).unwrap();
        let x = parity::to_f32(&parity::uniform(1, 2 * config.image_len()));
        let input =
            Input::<_> { x: &x, timesteps: &[10.0, 900.0], labels: Some(&[1, 2]), drop_path: None };
        let mut activations = dis_model::Activations::for_inference(&dis, 2).unwrap();
        dis.forward(Params::host(&arena), &input, &mut activations).unwrap();
        let deviation = moments(activations.output()).1;
        assert!(range.contains(&deviation), "zero head {zero_head}: {deviation}");
    }
}
