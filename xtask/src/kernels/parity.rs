//! `cargo xtask kernels parity`: the kernels against the definitions, on every device at hand.

use std::time::Instant;

use anyhow::{Result, ensure};
use xshell::Shell;

use crate::process::{cargo_test, format_duration};

/// What runs the kernels: modules of the test `device`, and what they show.
const DEVICES: [(&str, &str); 4] = [
    ("emulated", "the emulator, threads in order and in random schedules"),
    ("checked", "the emulator that watches every access"),
    ("planted", "mistakes on purpose, which the checker must find"),
    ("cuda", "the GPU"),
];

/// Runs the tests of every device, one after the other, and ends with a table of times.
pub(super) fn run(shell: &Shell, filters: &[String]) -> Result<()> {
    let mut table = String::new();
    let mut failed = Vec::new();
    for (device, what) in DEVICES {
        println!("\n=== {device}: {what}");
        let start = Instant::now();
        let mut arguments: Vec<String> =
            ["--package", "ssm-kernels", "--features", "emulated,cuda", "--test", "device"]
                .map(String::from)
                .into();
        arguments.push("--no-fail-fast".into());
        let mut names: Vec<String> = match filters {
            // The checker's own tests are no operator's.
            [] => vec![format!("{device}::")],
            _ if device == "planted" => continue,
            _ => filters.iter().map(|filter| format!("{filter}::{device}::")).collect(),
        };
        if device == "cuda" {
            // Shows why it was skipped where there is no GPU, and keeps the tests of one GPU apart.
            names.extend(["--nocapture".into(), "--test-threads=1".into()]);
        }
        let run = cargo_test(shell, &arguments, &names)?;
        if !run.success {
            failed.push(device);
        }
        let time = format_duration(start.elapsed());
        table += &format!("{device:9} {:>36} {time:>12}\n", run.counts.to_string());
    }
    print!("\n{table}");
    ensure!(failed.is_empty(), "kernels differ from their definitions on {}", failed.join(", "));
    Ok(())
}

/// Compares on the GPU alone, where one has to be.
pub(super) fn on_gpu(shell: &Shell) -> Result<()> {
    let arguments =
        ["--package", "ssm-kernels", "--features", "cuda", "--test", "device", "--no-fail-fast"]
            .map(String::from);
    let names = ["cuda::", "--nocapture", "--test-threads=1"].map(String::from);
    let run = cargo_test(shell, &arguments, &names)?;
    ensure!(run.success, "kernels differ from their definitions on the GPU ({})", run.counts);
    ensure!(run.counts.skipped == 0, "not everything found the GPU ({})", run.counts);
    ensure!(run.counts.passed > 0, "no test compares kernels on the GPU");
    Ok(())
}
