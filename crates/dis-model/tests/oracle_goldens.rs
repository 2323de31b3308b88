//! The oracle against the goldens: f64 runs of the official code.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;
mod support;

use candle_core::{Device, Var};
use dis_model::Input;
use oracle::{Oracle, numbers};
use parity::{Golden, assert_close};
use support::{ModelGolden, Values, golden};

/// Official code and oracle are the same formulas in f64; only the order of sums differs.
const BAR: f64 = 1e-12;

fn matches_golden(case: &ModelGolden) {
    let oracle = Oracle::new(&case.config, &case.params());
    let (x, timesteps, labels) = case.inputs();
    let input =
        Input::<_> { x: &x, timesteps: &timesteps, labels: labels.as_deref(), drop_path: None };
    let pass = oracle.forward(&input).unwrap();
    let output = numbers(&pass.output);
    assert_close("out.y", &output, case.file.get("out.y"), BAR);
    for (name, mid) in &pass.mids {
        let name = format!("mid.{name}");
        if case.file.contains(&name) {
            assert_eq!(mid.dims(), case.file.shape(&name), "{name}");
            assert_close(&name, &numbers(mid), case.file.get(&name), BAR);
        }
    }
    let probe = support::probe(output.len());
    let loss: f64 = output.iter().zip(&probe).map(|(y, g)| y * g).sum();
    assert_close("out.probe_loss", &[loss], case.file.get("out.probe_loss"), BAR);
    let gradients = pass.gradients(&oracle, &probe);
    assert_eq!(gradients.len(), case.params().len() + 1, "one gradient each, and that of x");
    let mut compared = 0;
    for (name, gradient) in &gradients {
        let name = format!("grad.{name}");
        if case.file.contains(&name) {
            assert_close(&name, gradient, case.file.get(&name), BAR);
            compared += 1;
        }
    }
    assert_eq!(compared, case.gradients, "gradients in the file");
}

#[test]
fn conditional_network() {
    let case = support::conditional();
    assert_eq!(case.file.names().filter(|n| n.starts_with("mid.")).count(), 14);
    matches_golden(&case);
}

#[test]
fn unconditional_network_of_odd_sizes() {
    let case = support::unconditional();
    assert_eq!(case.file.names().filter(|n| n.starts_with("mid.")).count(), 5);
    matches_golden(&case);
}

#[test]
fn guidance_of_three_channels() {
    let case = support::conditional();
    let oracle = Oracle::new(&case.config, &case.params());
    let (x, timesteps, labels) = case.inputs();
    let null = case.config.num_classes as u32;
    let labels: Vec<u32> = labels.unwrap().into_iter().chain([null, null]).collect();
    let input = Input::<_> {
        x: &[x.clone(), x].concat(),
        timesteps: &[timesteps.clone(), timesteps].concat(),
        labels: Some(&labels),
        drop_path: None,
    };
    let output = numbers(&oracle.forward(&input).unwrap().output);
    let guided = support::guide_three_channels(&output, &case.config, 1.5);
    assert_close("out.cfg1.5", &guided, case.file.get("out.cfg1.5"), BAR);
}

fn mixer_matches_golden(seq_len: usize) {
    let file: Golden = golden(&format!("mixer_l{seq_len}"));
    let named =
        |n: &str| n.strip_prefix("param.").map(|p| (format!("m.{p}"), file.get(n).to_vec()));
    let params: Values = file.names().filter_map(named).collect();
    assert_eq!(params.len(), 16);
    let oracle = Oracle::new(&support::config_of_width(file.shape("in.x")[2]), &params);
    let shape = file.shape("in.x");
    let x = Var::from_slice(file.get("in.x"), shape, &Device::Cpu).unwrap();
    let output = oracle.mixer("m", x.as_tensor()).unwrap();
    assert_close("out0", &numbers(&output), file.get("out0"), BAR);
    let gradients = oracle.gradients(&output, file.get("gout0"), &x);
    for (name, gradient) in &gradients {
        let name = format!("grad.{}", name.strip_prefix("m.").unwrap_or(name));
        if file.contains(&name) {
            assert_close(&name, gradient, file.get(&name), BAR);
        }
    }
}

#[test]
fn mixer_of_one_token() {
    mixer_matches_golden(1);
}

#[test]
fn mixer_of_fewer_tokens_than_taps() {
    mixer_matches_golden(3);
}

#[test]
fn mixer_of_odd_width() {
    mixer_matches_golden(65);
}
