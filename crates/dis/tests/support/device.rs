//! Training and sampling on the emulator, against the CPU.

use super::sampling::archive;
use super::{Case, finish};
use std::fs;

const F32: [&str; 4] = ["--device", "emulated", "--precision", "f32"];
const BF16: [&str; 2] = ["--device", "emulated"];

/// Numbers of `key` in the metrics of a run.
fn metrics(case: &Case, key: &str) -> Vec<f64> {
    let text = fs::read_to_string(case.run_dir().join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()[key].as_f64().unwrap())
        .collect()
}

#[test]
fn images_are_those_of_the_cpu() {
    let case = Case::trained(&[]);
    let draw = |name: &str, args: &[&str]| {
        archive(&case, name, &[&["--count", "5", "--batch", "2"], args].concat())
    };
    // Guidance asks the network twice.
    for guidance in ["1.5", "1"] {
        let guided = ["--guidance", guidance];
        let cpu = draw("cpu", &guided);
        for (flags, most, mean) in [(&F32[..], 1, 0.01), (&BF16, 16, 1.0)] {
            let there = draw("there", &[flags, &guided[..]].concat());
            let differences = || there.iter().zip(&cpu).map(|(a, b)| a.abs_diff(*b));
            let sum: u64 = differences().map(u64::from).sum();
            let found = differences().max().unwrap();
            assert!(there.len() == cpu.len() && found <= most, "{flags:?}: {found}, sum {sum}");
            assert!((sum as f64) < mean * cpu.len() as f64, "{flags:?}: {sum}");
        }
    }
}

#[test]
fn a_run_on_a_device_is_that_of_the_cpu_and_records_where_it_was() {
    let (cpu, case) = (Case::trained(&[]), Case::new(&[]));
    let first = finish(case.train(&[&F32[..], &["--max-steps", "6"]].concat())).succeeds();
    assert!(first.stderr.contains("step 6: 4 samples in"), "{}", first.stderr);
    finish(case.train(&F32)).succeeds();
    let environment = fs::read_to_string(case.run_dir().join("environment.json")).unwrap();
    assert!(environment.contains("\"device\": \"emulated, f32\""), "{environment}");
    for (there, here) in metrics(&case, "loss").iter().zip(metrics(&cpu, "loss")) {
        assert!((there / here - 1.0).abs() < 1e-4, "loss {there}, on the CPU {here}");
    }
    // Previews are drawn from the weights of their own step, on a network that is kept.
    let picture = |case: &Case, step: u64| {
        let file = case.run_dir().join(format!("samples/step-{step:09}.png"));
        image::open(file).unwrap().to_rgb8().into_raw()
    };
    for step in [6, 12] {
        let pairs = picture(&case, step).into_iter().zip(picture(&cpu, step));
        let most = pairs.map(|(a, b)| a.abs_diff(b)).max();
        assert!(most <= Some(2), "step {step}: off by {most:?}");
    }
    assert!(picture(&case, 6) != picture(&case, 12));

    let moved = finish(case.train(&[])).succeeds();
    assert!(moved.stderr.contains("made on emulated, f32, now it is on cpu"), "{}", moved.stderr);
}

#[test]
fn bf16_is_the_usual_format_of_a_device() {
    let case = Case::new(&["train.steps=3", "train.sample_every=0"]);
    finish(case.train(&BF16)).succeeds();
    let environment = fs::read_to_string(case.run_dir().join("environment.json")).unwrap();
    assert!(environment.contains("\"device\": \"emulated, bf16\""), "{environment}");
    let cpu = Case::trained(&["train.steps=3", "train.sample_every=0"]);
    let (there, here) = (metrics(&case, "loss")[0], metrics(&cpu, "loss")[0]);
    assert!((there / here - 1.0).abs() < 2e-2, "loss {there}, on the CPU {here}");
}

#[test]
fn more_averages_than_a_device_keeps_are_refused_before_anything_is_written() {
    let case = Case::new(&["train.ema_decay=[0.9, 0.99, 0.999]", "train.ema_power=[0.05, 0.1]"]);
    let words = ["ask for 5 averages", "a device keeps up to 4", "train on the CPU"];
    finish(case.train(&F32)).refuses(2, &words);
    assert!(!case.run_dir().exists());
    let four = ["--set", "train.ema_power=0.05", "--max-steps", "2"];
    finish(case.train(&[&F32[..], &four].concat())).succeeds();
}
