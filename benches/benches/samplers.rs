//! What a sampler costs beside the network: "elem/s" is evaluations a second.
//!
//! The state is a batch of 16 images of 3x32x32. A run of 20 steps is timed with an answer that costs
//! nothing, the scaling of the network's input and the drawing of noise included; the last line is one
//! evaluation of DiS-S/2 with the same batch, with which the others are to be compared.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use diffusion::{
    ImageLayout, NoiseSchedule, ObjectiveKind, PhiloxNoise, Prediction, Process, Respacing,
    SamplerKind, SamplerPlan, draw_start_noise,
};
use dis_model::{DisConfig, DisPreset};
use ssm_kernels::Cpu;
use trainer::workload::Workload;

const IMAGES: usize = 16;
const SIDE: usize = 32;
const STEPS: usize = 20;
const LAYOUT: ImageLayout = ImageLayout { channels: 3, pixels: SIDE * SIDE };

/// A whole run with the answers `output`.
fn run(plan: &SamplerPlan, process: &Process, x: Vec<f32>, output: &[f32], input: &mut [f32]) {
    let kind = ObjectiveKind::EpsHybrid;
    let mut noise = PhiloxNoise::new(0, 0, LAYOUT.image_len());
    let mut sampler = plan.start(kind, process, x, &mut noise).expect("a plan of every sampler");
    while let Some(request) = sampler.request() {
        let factor = request.input_factor as f32;
        for (input, x) in input.iter_mut().zip(sampler.state()) {
            *input = factor * x;
        }
        sampler.advance(Prediction::new(kind, LAYOUT, output), &mut noise);
    }
}

fn samplers(c: &mut Criterion) {
    let process = Process::Discrete(NoiseSchedule::linear(1000).expect("the usual number"));
    let steps = Respacing::evenly(STEPS).expect("a number of steps");
    let mut x = vec![0.0f32; IMAGES * LAYOUT.image_len()];
    draw_start_noise(0, 0, LAYOUT.image_len(), &mut x);
    let output: Vec<f32> = (0..2 * x.len()).map(|i| (0.37 * i as f32).sin()).collect();
    let mut input = vec![0.0f32; x.len()];
    let mut group = c.benchmark_group("samplers, batch 16 of 3x32x32");
    group.sample_size(20);
    for sampler in SamplerKind::ALL {
        let plan = SamplerPlan::new(sampler, steps.clone());
        let evaluations = plan.evaluations(ObjectiveKind::EpsHybrid, &process);
        group.throughput(Throughput::Elements(evaluations.expect("a plan") as u64));
        group.bench_function(sampler.name(), |b| {
            b.iter_batched(
                || x.clone(),
                |x| run(&plan, &process, x, &output, &mut input),
                BatchSize::LargeInput,
            );
        });
    }
    let network =
        Workload::<Cpu>::for_inference(DisConfig::official(DisPreset::S, SIDE, 3, 2, 0), IMAGES);
    let mut network = network.expect("a valid configuration");
    group.throughput(Throughput::Elements(1));
    group.bench_function("DiS-S/2, one evaluation", |b| {
        b.iter(|| network.forward().map(drop).expect("a value pass"));
    });
    group.finish();
}

criterion_group!(benches, samplers);
criterion_main!(benches);
