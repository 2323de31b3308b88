//! All that would be timed runs, once and twice, in the emulator: nobody has a GPU to lose on an operand
//! that does not fit.

use super::*;
use dis_model::{DisConfig, DisPreset};
use ssm_kernels::device::emulated::Fast;
use ssm_kernels::device::{Device, Format, bf16};
use ssm_kernels::{Backend, Storage};
use std::sync::Arc;
use trainer::Compute;

/// Width 40 has a rank that nothing divides.
const TINY: BlockShape = BlockShape { name: "tiny", batch: 2, seq_len: 35, width: 40 };

fn lab<A: Activation>() -> Lab<A, Fast> {
    Lab::new(Device::new(Arc::new(Fast::new().expect("part of this build"))))
}

fn run_all<A: Activation>() {
    let lab = lab::<A>();
    let mut cases = block_cases(&lab, TINY);
    cases.extend(sampling_cases(&lab, BlockShape { batch: 1, ..TINY }));
    cases.extend(arena_cases(&lab, 100_003));
    cases.extend(image_cases(&lab, ImageShape { batch: 3, channels: 3, side: 8 }));
    cases.extend(layer_cases(&lab, LayerShape { batch: 1, side: 8, inputs: 64, outputs: 64 }));
    let [batch, side, channels] = [1, 5, 20];
    let branch = BranchShape { batch, side, channels, inputs: 8, outputs: 9, kernel: [1, 7] };
    cases.extend(branch_cases(&lab, branch));
    cases.push(device_copy(&lab, 4096));
    cases.push(square_product(&lab, 64));
    assert!(cases.len() > 30, "{} cases", cases.len());
    for case in cases {
        let what = format!("{} {} {}", case.operator, case.shape, case.format);
        assert_eq!(case.format, format_name(A::FORMAT));
        assert!(case.cost.bytes > 0.0, "{what} moves nothing");
        let mut call = case.make().unwrap_or_else(|error| panic!("{what}: {error}"));
        for _ in 0..2 {
            call().unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
    lab.device.driver().synchronize().expect("nothing failed");
}

#[test]
fn every_case_runs_in_f32() {
    run_all::<f32>();
}

#[test]
fn every_case_runs_in_bf16() {
    run_all::<bf16>();
}

#[test]
fn operands_repeat_their_numbers_to_the_end() {
    let lab = lab::<f32>();
    let buffer = lab.repeat(&[1.0f32, 2.0, 3.0], 11).unwrap();
    let mut values = [0.0; 11];
    lab.device.download(buffer.view(), &mut values).unwrap();
    assert_eq!(values, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
}

#[test]
fn whole_networks_run_both_ways() {
    let official = DisConfig::official(DisPreset::S, 8, 3, 2, 4);
    let network = Network { config: DisConfig { hidden_size: 16, depth: 2, ..official }, batch: 2 };
    let emulator = Arc::new(Fast::new().unwrap());
    let device = Device::<bf16, _>::new(emulator.clone());
    let mut forward = forward_call(device, &network).unwrap();
    forward().unwrap();
    let compute = Compute::Emulated { emulator, format: Format::Bf16 };
    let mut training = training_call(&compute, &network).unwrap();
    for _ in 0..2 {
        training().unwrap();
    }
}
