//! What `dis` says about mistakes.

use super::{Case, TINY, dis, finish};
use std::fs;

const RECORD: usize = 3073;

/// The tiny run with one thing changed is refused before anything is written.
#[track_caller]
fn refused(set: &str, code: i32, words: &[&str]) {
    let case = Case::new(&[set]);
    finish(case.train(&[])).refuses(code, words);
    assert!(!case.run_dir().exists(), "{set}");
}

#[test]
fn unknown_keys_come_with_a_suggestion() {
    refused("train.stesp=5", 2, &["train.stesp", "did you mean train.steps?"]);
    refused("trian.steps=5", 2, &["trian", "did you mean"]);
}

#[test]
fn values_out_of_range_come_with_the_range() {
    refused("train.beta1=1.5", 2, &["train.beta1 is 1.5", "0 or more and below 1"]);
    refused("train.steps=0", 2, &["train.steps is 0", "expected 1 to"]);
    refused("train.lr_max=\"fast\"", 2, &["train.lr_max", "number"]);
    refused("model.patch_size=3", 2, &["model.patch_size is 3", "divisor", "8: 1, 2, 4, 8"]);
    refused("model.num_classes=7", 2, &["model.num_classes is 7", "0 or 4"]);
}

#[test]
fn flags_and_files_that_are_wrong() {
    let case = Case::new(&[]);
    finish(dis(["train", "nowhere.toml"])).refuses(2, &["nowhere.toml"]);
    finish(case.train(&["--device", "gpu"])).refuses(2, &["--device", "cpu, cuda or cuda:N"]);
    finish(case.train(&["--precision", "bf16"])).refuses(2, &["--precision bf16", "on the CPU"]);
    finish(case.train(&["--max-steps", "0"])).refuses(2, &["--max-steps"]);
    finish(case.train(&["--max-step", "5"])).refuses(2, &["--max-step", "similar argument"]);
    assert!(!case.run_dir().exists());
    fs::create_dir(case.run_dir()).unwrap();
    fs::write(case.run_dir().join("thesis.tex"), "").unwrap();
    finish(case.train(&[])).refuses(2, &["thesis.tex", "no run directory", "help: ", "--run-dir"]);
}

#[test]
fn a_loss_that_is_not_finite_halts() {
    let case = Case::new(&["train.lr_max=1e30"]);
    let ended = finish(case.train(&[]));
    ended.refuses(
        76,
        &["not finite", "parameters with such a gradient", "help: lower train.lr_max"],
    );
    assert!(case.checkpoints().is_empty());
}

#[test]
fn another_experiment_in_the_same_directory() {
    let case = Case::trained(&["train.steps=3"]);
    let before = case.bits();
    let other = case.train(&["--set", "model.depth=4", "--set", "seed=1"]);
    finish(other).refuses(2, &["model.depth: 2 -> 4", "seed: 0 -> 1", "--run-dir"]);
    case.bits().assert_equal(&before);
}

#[test]
fn cifar_files_that_are_missing_or_damaged() {
    let small = TINY.iter().copied().filter(|set| !set.starts_with("data."));
    let cifar = ["data.kind=cifar10", "data.image_size=32", "model.num_classes=10"];
    let case = Case::with(small.chain(cifar));
    let folder = case.path("cifar");
    let set = format!("data.path={}", folder.display());
    let train = || finish(case.train(&["--set", &set]));
    let there = folder.display().to_string();
    train().refuses(65, &[&there, "help: `dis data download cifar10`"]);
    fs::create_dir(&folder).unwrap();
    train().refuses(65, &[&there, "data_batch_1.bin"]);

    let file = folder.join("data_batch_1.bin");
    fs::write(&file, vec![0; 2 * RECORD - 73]).unwrap();
    train().refuses(65, &["data_batch_1.bin", "6073 bytes", "3073"]);
    fs::write(&file, []).unwrap();
    train().refuses(65, &["data_batch_1.bin", "0 bytes"]);

    let mut records = vec![0; 2 * RECORD];
    records[RECORD] = 11;
    fs::write(&file, &records).unwrap();
    train().refuses(65, &["data_batch_1.bin", "label of record 1", "11", "0 to 9"]);
    assert!(!case.run_dir().exists());
}

#[test]
fn samples_that_cannot_be_drawn() {
    let case = Case::trained(&["train.steps=3"]);
    let sample = |more: &[&str]| {
        let mut command = dis(["sample"]);
        command.arg(case.run_dir()).args(["--count", "2", "--out"]).arg(case.path("out"));
        command.args(more);
        finish(command)
    };
    sample(&["--classes", "9"]).refuses(2, &["--classes", "9", "0 to 3"]);
    sample(&["--classes", "cat"]).refuses(2, &["--classes", "cat"]);
    sample(&["--steps", "0"]).refuses(2, &["0"]);
    sample(&["--guidance", "NaN"]).refuses(2, &["guidance"]);
    sample(&["--count", "0"]).refuses(2, &["--count"]);
    sample(&["--noise", "nowhere.safetensors"]).refuses(65, &["nowhere.safetensors"]);
    assert!(!case.path("out").exists());
    sample(&["--steps", "1001"]).refuses(2, &["1001", "1000 timesteps"]);
    sample(&["--eta", "7"]).refuses(2, &["--eta 7, expected 0 to 1", "expected 0"]);
    sample(&["--churn", "1", "--sampler", "ddpm"]).refuses(2, &["--churn", "heun", "ddpm"]);
    sample(&["--weak-model", "nowhere", "--guidance", "2"]).refuses(65, &["nowhere", "weaker"]);
    sample(&["--weak-model", "nowhere", "--guidance", "1"]).refuses(2, &["guides nothing"]);
    sample(&["--guidance", "1", "--guidance-interval", "0.2,3"]).refuses(2, &["does nothing"]);
    sample(&["--sampler", "plms"]).refuses(2, &["plms", "ddpm, ddim, pndm"]);

    finish(dis(["sample", "nowhere"])).refuses(65, &["nowhere", "no such run"]);
    let weights = case.checkpoint(3).join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let cut = case.path("cut.safetensors");
    fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let mut command = dis(["sample"]);
    command.arg(&cut);
    finish(command).refuses(65, &["cut.safetensors"]);
}
