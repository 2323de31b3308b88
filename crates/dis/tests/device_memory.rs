//! The plan of `dis info` for a device against what the emulator's allocator hands out.
//!
//! This is a program of its own, because it looks at the memory of the whole process.
#![cfg(all(feature = "emulated", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use dis_model::{Activations, Dis, DisConfig, DisPreset, Recompute};
use half::bf16;
use serde_json::Value;
use ssm_kernels::device::{Activation, Device, emulated::Fast};
use std::any::Any;
use std::process::Command;
use std::sync::Arc;

const IMAGES: usize = 4;

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    1024 * line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap()
}

/// Bytes an image, as `dis info` plans them.
fn plan(precision: &str) -> Value {
    let args = ["info", "S/4", "--classes", "10", "--json", "--device", "emulated", "--precision"];
    let run = Command::new(env!("CARGO_BIN_EXE_dis")).args(args).arg(precision).output().unwrap();
    serde_json::from_slice::<Value>(&run.stdout).unwrap()["bytes"].take()
}

/// Memory of one pass of the same network, all of it touched, and how much it is. It has to be kept:
/// what is given back stays with the process.
fn measure<A: Activation>(
    emulator: &Arc<Fast>,
    recompute: Option<Recompute>,
) -> (Box<dyn Any>, u64) {
    let config = DisConfig::official(DisPreset::S, 32, 3, 4, 10);
    let dis = Dis::on(Device::<A, Fast>::new(emulator.clone()), config).unwrap();
    let before = resident();
    let activations = match recompute {
        Some(recompute) => Activations::for_training_with(&dis, IMAGES, recompute),
        None => Activations::for_inference(&dis, IMAGES),
    };
    (Box::new(activations.unwrap()), resident() - before)
}

#[test]
fn the_plan_is_what_is_allocated() {
    let emulator = Arc::new(Fast::new().unwrap());
    let mut kept = Vec::new();
    for (precision, measure) in
        [("f32", measure::<f32> as fn(&_, _) -> _), ("bf16", measure::<bf16>)]
    {
        let plan = plan(precision);
        for (key, recompute) in [
            ("training_per_image_estimate", Some(Recompute::None)),
            ("training_per_image_recompute_scan", Some(Recompute::Scan)),
            ("training_per_image_recompute_block", Some(Recompute::Block)),
            ("sampling_per_image_estimate", None),
        ] {
            let planned = IMAGES as f64 * plan[key].as_f64().unwrap();
            let (memory, there) = measure(&emulator, recompute);
            kept.push(memory);
            // The plan has the images and the working memory of kernels as well.
            let share = there as f64 / planned;
            let least = if recompute.is_some() { 0.94 } else { 0.8 };
            assert!(
                (least..1.01).contains(&share),
                "{precision}, {key}: {there} of {planned} bytes"
            );
        }
    }
}
