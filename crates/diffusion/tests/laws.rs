//! What holds for every schedule, grid, batch and seed.

mod common;

use common::{Silence, linear_1000, table};
use diffusion::{
    DdpmSampler, DiffusionTable, FlowPath, Grid, Guidance, GuidanceChannels, ImageLayout,
    NoiseLevel, NoiseSchedule, NoiseScheduleKind, NoiseSource, Objective, ObjectiveKind,
    PhiloxNoise, Prediction, PredictionKind, Process, Respacing, Sampler, Spacing, VarianceKind,
    draw_start_noise, draw_training_noise,
};
use proptest::prelude::*;

fn any_schedule() -> impl Strategy<Value = NoiseSchedule> {
    let kinds =
        [NoiseScheduleKind::Linear, NoiseScheduleKind::Cosine, NoiseScheduleKind::ScaledLinear];
    (prop::sample::select(kinds.to_vec()), 21usize..2000)
        .prop_map(|(kind, timesteps)| NoiseSchedule::new(kind, timesteps).expect("a valid case"))
}

fn any_process() -> impl Strategy<Value = Process> {
    let path = prop_oneof![Just(FlowPath::Linear), Just(FlowPath::Gvp), Just(FlowPath::Vp)];
    prop_oneof![
        any_schedule().prop_map(Process::Discrete),
        path.prop_map(|path| Process::Flow { path, time_scale: 1000.0 }),
        Just(Process::edm(0.5)),
    ]
}

fn any_spacing() -> impl Strategy<Value = Spacing> {
    prop_oneof![
        Just(Spacing::Uniform),
        Just(Spacing::Quadratic),
        Just(Spacing::LogSnr),
        (1.0f64..9.0).prop_map(|rho| Spacing::Karras { rho }),
        (0.2f64..5.0).prop_map(|factor| Spacing::Shifted { factor }),
    ]
}

fn any_objective() -> impl Strategy<Value = ObjectiveKind> {
    prop_oneof![Just(ObjectiveKind::EpsHybrid), Just(ObjectiveKind::Eps), Just(ObjectiveKind::V)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn noise_only_grows(noise_schedule in any_schedule()) {
        prop_assert!(noise_schedule.betas().iter().all(|&beta| 0.0 < beta && beta < 1.0));
        prop_assert!(noise_schedule.alphas_cumprod().is_sorted_by(|a, b| a > b));
        let table = DiffusionTable::full(&noise_schedule);
        for rows in table.rows().windows(2) {
            prop_assert!(rows[0].level().snr() > rows[1].level().snr());
            prop_assert_eq!(rows[0].alpha_bar, rows[1].alpha_bar_prev);
            prop_assert_eq!(rows[0].alpha_bar_next, rows[1].alpha_bar);
            prop_assert!(rows[1].posterior_variance < rows[1].beta);
        }
    }

    #[test]
    fn even_grids(timesteps in 2usize..3000, share in 0.0f64..=1.0) {
        let count = 1 + (share * (timesteps - 1) as f64) as usize;
        let grid = Respacing::evenly(count).unwrap().grid(timesteps).unwrap();
        prop_assert_eq!(grid.len(), count);
        prop_assert_eq!(grid[0], 0);
        prop_assert!(grid.is_sorted_by(|a, b| a < b));
        prop_assert!(count == 1 || grid[count - 1] == timesteps - 1);
    }

    /// Every grid goes down in noise, from the process's most to data, in as many steps as asked.
    #[test]
    fn grids_descend(
        process in any_process(),
        spacing in any_spacing(),
        count in prop_oneof![1usize..20, 990usize..1010, 2500usize..2600],
        needs_data: bool,
    ) {
        // A noise schedule has no more timesteps than it has.
        let count = match &process {
            Process::Discrete(schedule) => count.min(schedule.timesteps()),
            _ => count,
        };
        let grid = Grid::new(&process, spacing, &Respacing::evenly(count).unwrap(), needs_data);
        let grid = grid.unwrap();
        prop_assert_eq!(grid.nodes().len(), count);
        prop_assert_eq!(grid.end(), NoiseLevel::DATA);
        for i in 0..count {
            let (here, next) = (grid.level(i), grid.level(i + 1));
            prop_assert!(here.s > 0.0 && here.noise_per_data() > next.noise_per_data());
            prop_assert!(grid.nodes()[i].network_time.is_finite());
            prop_assert!(!needs_data || here.a > 0.0);
        }
        let most = grid.level(0).noise_per_data();
        prop_assert!(count == 1 || most > 12.0, "starts at {}", most);
    }

    #[test]
    fn zero_terminal_snr(noise_schedule in any_schedule()) {
        let first = noise_schedule.alphas_cumprod()[0];
        let zero = noise_schedule.with_zero_terminal_snr();
        prop_assert!(zero.has_zero_terminal_snr());
        prop_assert!((zero.alphas_cumprod()[0] / first - 1.0).abs() < 1e-12);
        prop_assert!(zero.alphas_cumprod().is_sorted_by(|a, b| a > b));
        prop_assert!(zero.betas().iter().all(|&beta| 0.0 < beta && beta <= 1.0));
    }

    #[test]
    fn section_grids(counts in prop::collection::vec(1usize..20, 1..8), extra in 0usize..100) {
        let timesteps = counts.len() * counts.iter().max().unwrap() + extra;
        let spec: Vec<String> = counts.iter().map(ToString::to_string).collect();
        let respacing: Respacing = spec.join(",").parse().unwrap();
        let grid = respacing.grid(timesteps).unwrap();
        prop_assert_eq!(grid.len(), counts.iter().sum::<usize>());
        prop_assert_eq!(grid[0], 0);
        prop_assert!(grid.is_sorted_by(|a, b| a < b));
        prop_assert!(*grid.last().unwrap() < timesteps);
    }

    #[test]
    fn strided_grids_or_a_nearest_one(timesteps in 1usize..2000, count in 1usize..2500) {
        let respacing: Respacing = format!("ddim{count}").parse().unwrap();
        match respacing.grid(timesteps) {
            Ok(grid) => {
                prop_assert_eq!(grid.len(), count);
                prop_assert_eq!(grid[0], 0);
                prop_assert!(grid.windows(2).all(|w| w[1] - w[0] == grid[1]));
                prop_assert!(*grid.last().unwrap() < timesteps);
            }
            Err(diffusion::DiffusionError::RespacingStride { nearest, .. }) => {
                prop_assert!(nearest.parse::<Respacing>().unwrap().grid(timesteps).is_ok());
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn parsing_never_panics(spec in "[a-z0-9, .+-]{0,12}", timesteps in 1usize..50) {
        if let Ok(respacing) = spec.parse::<Respacing>() {
            let _ = respacing.grid(timesteps);
        }
    }

    #[test]
    fn guidance_of_one_changes_no_bit(
        kind in any_objective(),
        cond in prop::collection::vec(any::<f32>(), 24),
        uncond in prop::collection::vec(any::<f32>(), 24),
        first3 in any::<bool>(),
    ) {
        let channels = if first3 { GuidanceChannels::First3 } else { GuidanceChannels::All };
        let guidance = Guidance::new(1.0, channels);
        let mut out = vec![f32::NAN; 24];
        let layout = ImageLayout { channels: 4, pixels: 3 };
        guidance.combine(1.0, kind, layout, [&cond, &uncond], &mut out);
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&out), bits(&cond));
    }

    #[test]
    fn conversions_invert_the_target(
        alpha_bar in 1e-3f64..0.999,
        x0 in -1.0f64..1.0,
        n in -4.0f64..4.0,
    ) {
        let level = NoiseLevel::variance_preserving(alpha_bar);
        let mut x = [0.0];
        level.corrupt(&[x0], &[n], &mut x);
        for kind in [PredictionKind::Eps, PredictionKind::V] {
            let (mut output, mut got_x0, mut got_n) = ([0.0], [0.0], [0.0]);
            kind.target(level).write(&[x0], &[n], &mut output);
            kind.x0(level).write(&x, &output, &mut got_x0);
            kind.noise(level).write(&x, &output, &mut got_n);
            prop_assert!((got_x0[0] - x0).abs() < 1e-12, "{kind:?}");
            prop_assert!((got_n[0] - n).abs() < 1e-12, "{kind:?}");
        }
        let mut n_between = [0.0];
        level.noise_between(&[x0], &x, &mut n_between);
        prop_assert!((n_between[0] - n).abs() < 1e-12);
    }

    #[test]
    fn timesteps_do_not_depend_on_the_batch(seed: u64, first in 0u64..1 << 40, cut in 0usize..32) {
        let objective = Objective::new(ObjectiveKind::V, &NoiseSchedule::linear(100).unwrap());
        let positions: Vec<u64> = (first..first + 32).collect();
        let whole = objective.draw_timesteps(seed, &positions);
        let (left, right) = positions.split_at(cut);
        let mut parts = objective.draw_timesteps(seed, left);
        parts.extend(objective.draw_timesteps(seed, right));
        prop_assert_eq!(&parts, &whole);
        prop_assert!(whole.iter().all(|t| (0.0..100.0).contains(t) && t.fract() == 0.0));
    }

    #[test]
    fn noise_does_not_depend_on_the_batch(seed: u64, first in 0u64..1 << 40, cut in 0usize..4) {
        const LEN: usize = 7;
        let mut whole = vec![f32::NAN; 4 * LEN];
        let mut parts = whole.clone();
        let images = [(0..cut, first), (cut..4, first + cut as u64)];

        PhiloxNoise::new(seed, first, LEN).fill(3, &mut whole);
        for (range, from) in images.clone() {
            let part = &mut parts[range.start * LEN..range.end * LEN];
            PhiloxNoise::new(seed, from, LEN).fill(3, part);
        }
        prop_assert_eq!(&parts, &whole);
        let steps = whole.clone();

        draw_start_noise(seed, first, LEN, &mut whole);
        for (range, from) in images.clone() {
            draw_start_noise(seed, from, LEN, &mut parts[range.start * LEN..range.end * LEN]);
        }
        prop_assert_eq!(&parts, &whole);
        prop_assert_ne!(&whole, &steps);

        let positions: Vec<u64> = (first..first + 4).collect();
        draw_training_noise(seed, &positions, &mut whole);
        for (range, _) in images.into_iter().filter(|(range, _)| !range.is_empty()) {
            let part = &mut parts[range.start * LEN..range.end * LEN];
            draw_training_noise(seed, &positions[range], part);
        }
        prop_assert_eq!(&parts, &whole);
        prop_assert_ne!(&whole, &steps);
    }

    /// f32 and f64 runs see the same noise, and so do two draws of one index.
    #[test]
    fn noise_is_one_function(seed: u64, draw_index in 0u32..1 << 24) {
        let mut noise = PhiloxNoise::new(seed, 5, 9);
        let (mut single, mut double) = (vec![0.0f32; 18], vec![0.0f64; 18]);
        noise.fill(draw_index, &mut single);
        noise.fill(draw_index, &mut double);
        prop_assert!(single.iter().zip(&double).all(|(&s, &d)| f64::from(s) == d));
        let mut other = vec![0.0f32; 18];
        noise.fill(draw_index ^ 1, &mut other);
        prop_assert_ne!(&single, &other);
    }

    /// Images of a batch do not meet: sampling two together is sampling each alone.
    #[test]
    fn images_of_a_batch_do_not_meet(x in prop::collection::vec(-3.0f32..3.0, 8), seed: u64) {
        let variance = VarianceKind::LearnedRange;
        let layout = ImageLayout { channels: 2, pixels: 2 };
        let kind = ObjectiveKind::EpsHybrid;
        let run = |x: &[f32], first: u64| {
            let mut sampler = DdpmSampler::new(table("5"), kind, variance, x.to_vec()).unwrap();
            let mut noise = PhiloxNoise::new(seed, first, 4);
            while sampler.request().is_some() {
                let images = sampler.state().chunks_exact(4);
                let output: Vec<f32> =
                    images.flat_map(|x| x.iter().chain(x).map(|x| 0.5 * x)).collect();
                sampler.advance(Prediction::new(kind, layout, &output).clamping_x0(true), &mut noise);
            }
            sampler.state().to_vec()
        };
        prop_assert_eq!(run(&x, 10), [run(&x[..4], 10), run(&x[4..], 11)].concat());
    }
}

/// Timesteps are uniform: over 20000 draws of 100 values no bin is 7 deviations off.
#[test]
fn timesteps_are_uniform() {
    let objective = Objective::new(ObjectiveKind::Eps, &NoiseSchedule::linear(100).unwrap());
    let positions: Vec<u64> = (0..20_000).collect();
    let mut bins = [0usize; 100];
    for timestep in objective.draw_timesteps(7, &positions) {
        bins[timestep as usize] += 1;
    }
    assert!(bins.iter().all(|&n| n.abs_diff(200) < 100), "{bins:?}");
}

/// A clamped prediction keeps the state inside the image range when nothing is added.
#[test]
fn the_last_state_of_a_clamped_run_is_an_image() {
    let variance = VarianceKind::FixedSmall;
    let kind = ObjectiveKind::Eps;
    let mut sampler = DdpmSampler::new(table("10"), kind, variance, vec![9.0f32, -9.0]).unwrap();
    let layout = ImageLayout { channels: 1, pixels: 2 };
    while sampler.request().is_some() {
        let prediction = Prediction::new(kind, layout, &[-8.0, 8.0]).clamping_x0(true);
        sampler.advance(prediction, &mut Silence);
    }
    assert_eq!(sampler.state(), [1.0, -1.0]);
    assert_eq!(linear_1000().timesteps(), 1000);
}
