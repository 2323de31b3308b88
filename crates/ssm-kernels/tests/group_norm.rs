//! Group norms: the definition by hand and by its laws, the CPU against it.

use parity::{assert_close, to_f32, uniform};
use proptest::prelude::*;
use ssm_kernels::group_norm::cases::SHAPES;
use ssm_kernels::group_norm::{Args, Shape, cpu, reference};
use ssm_kernels::{Cpu, ImageBackend, InstructionSet, Reference, Scratch};

/// f32 against f64, relative to the largest value: the roundings of the statistics and of SiLU.
const F32: f64 = 2e-6;

/// f64 against f64 in another order of sums.
const F64: f64 = 1e-12;

const EPS: f64 = 1e-6;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    eps: f64,
    silu: bool,
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl Problem {
    fn new(shape: Shape, silu: bool) -> Self {
        let x = uniform(1, shape.batch * shape.pixels * shape.channels);
        // Groups of other sizes and means, so that one taken for another is seen.
        let width = shape.channels / shape.groups;
        let x = x.iter().enumerate().map(|(i, x)| {
            let group = i % shape.channels / width;
            x * [2.0, 0.25, 1.0][group % 3] + [0.5, -1.0, 0.0, 4.0][group % 4]
        });
        let x = x.map(|x| f64::from(x as f32)).collect();
        let (weight, bias) = (uniform(2, shape.channels), uniform(3, shape.channels));
        Self { shape, eps: EPS, silu, x, weight, bias }
    }

    fn reference(&self) -> Vec<f64> {
        let &Self { shape, eps, silu, .. } = self;
        let (x, weight, bias) = (&self.x, &self.weight, &self.bias);
        let mut out = vec![f64::NAN; self.x.len()];
        let args = Args::<f64> { shape, x, weight, bias, eps, silu };
        reference::forward(&args, &mut out).expect("fitting operands");
        out
    }

    fn cpu(&self, set: InstructionSet) -> Vec<f32> {
        let &Self { shape, eps, silu, .. } = self;
        let [x, weight, bias] = [&self.x, &self.weight, &self.bias].map(|x| to_f32(x));
        let mut out = vec![f32::NAN; x.len()];
        let mut scratch = Scratch::new();
        scratch.take(1 << 16).fill(f32::NAN);
        let args = Args::<f32> { shape, x: &x, weight: &weight, bias: &bias, eps, silu };
        cpu::forward_on(set, &args, &mut out, &mut scratch).expect("fitting operands");
        out
    }
}

#[test]
fn the_definition_on_numbers_done_by_hand() {
    let shape = Shape { batch: 2, pixels: 2, channels: 3, groups: 1 };
    // Means 3.5 and 0, variances 35/12 and 2/3.
    let x = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, 0.0, 1.0, 1.0, -1.0, 0.0];
    let (weight, bias) = (vec![1.0, 2.0, 4.0], vec![0.0, 0.0, 10.0]);
    let one_group = Problem { shape, eps: 1.0 / 12.0, silu: false, x, weight, bias };
    let root = f64::sqrt(3.0);
    let first = [-2.5, -3.0, -2.0, 0.5, 3.0, 10.0].map(|x| x / root);
    let mut want = first.to_vec();
    let root = f64::sqrt(0.75);
    want.extend([-1.0, 0.0, 4.0, 1.0, -2.0, 0.0].map(|x| x / root));
    want.iter_mut().skip(2).step_by(3).for_each(|x| *x += 10.0);
    assert_close("one group", &one_group.reference(), &want, 1e-15);
    // Every channel for itself: with two pixels half their distance is the deviation.
    let shape = Shape { batch: 1, pixels: 2, channels: 2, groups: 2 };
    let (x, weight) = (vec![1.0, 5.0, 3.0, 5.0], vec![2.0, 7.0]);
    let alone = Problem { shape, eps: 3.0, silu: false, x, weight, bias: vec![0.0, 1.0] };
    assert_close("own groups", &alone.reference(), &[-1.0, 1.0, 1.0, 1.0], 1e-15);
    let silu = Problem { silu: true, ..alone };
    let want = [-1.0, 1.0, 1.0, 1.0].map(|x: f64| x / (1.0 + (-x).exp()));
    assert_close("silu", &silu.reference(), &want, 1e-15);
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for shape in SHAPES {
        for silu in [false, true] {
            let problem = Problem::new(shape, silu);
            let want = problem.reference();
            for set in InstructionSet::available() {
                let what = format!("{shape:?} silu {silu} {set:?}");
                assert_close(&what, &problem.cpu(set), &want, F32);
            }
        }
    }
}

#[test]
fn both_backends_have_it() {
    let shape = Shape { batch: 2, pixels: 5, channels: 6, groups: 3 };
    let problem = Problem::new(shape, true);
    let want = problem.reference();
    let (eps, silu) = (EPS, true);
    let [x, weight, bias] = [&problem.x, &problem.weight, &problem.bias].map(|x| to_f32(x));
    let args = Args::<f32> { shape, x: &x, weight: &weight, bias: &bias, eps, silu };
    let mut got = vec![f32::NAN; want.len()];
    Cpu.group_norm(&args, &mut got, &mut Scratch::new()).unwrap();
    assert_close("cpu", &got, &want, F32);
    let (x, weight, bias) = (&problem.x, &problem.weight, &problem.bias);
    let args = Args::<f64> { shape, x, weight, bias, eps, silu };
    let mut got = vec![f64::NAN; want.len()];
    Reference::<f64>::default().group_norm(&args, &mut got, &mut Scratch::new()).unwrap();
    assert_eq!(got, want);
}

/// A mean a hundred times the deviation costs what rounding it costs, and no more.
#[test]
fn a_large_mean_does_not_drown_the_variance() {
    let shape = Shape { batch: 1, pixels: 4099, channels: 64, groups: 4 };
    let mut problem = Problem::new(shape, false);
    problem.x = uniform(5, problem.x.len()).iter().map(|x| f64::from((x + 100.0) as f32)).collect();
    let want = problem.reference();
    for set in InstructionSet::available() {
        // Half the last bit of 100 in units of the deviation, 4e-6 / 0.58, in the mean.
        assert_close(&format!("{set:?}"), &problem.cpu(set), &want, 1e-5);
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_on_the_batch() {
    let shape = Shape { batch: 3, pixels: 257, channels: 48, groups: 4 };
    let problem = Problem::new(shape, true);
    for set in InstructionSet::available() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| problem.cpu(set))
        };
        let one = run(1);
        for threads in [2, 3] {
            assert!(run(threads) == one, "{threads} threads, {set:?}");
        }
        let len = one.len() / 3;
        for (image, together) in one.chunks_exact(len).enumerate() {
            let x = problem.x[image * len..][..len].to_vec();
            let alone = Problem { shape: Shape { batch: 1, ..shape }, x, ..problem.clone() };
            assert!(alone.cpu(set) == together, "image {image}, {set:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// Far above `eps`, an image that is scaled and moved has the same norm.
    #[test]
    fn scale_and_offset_leave_the_norm(
        pixels in 2..300usize, width in 1..9usize, groups in 1..6usize,
        factor in 0.5..20.0f64, offset in -3.0..3.0f64,
    ) {
        let shape = Shape { batch: 2, pixels, channels: width * groups, groups };
        let mut problem = Problem::new(shape, false);
        problem.eps = 1e-14;
        let mut moved = problem.clone();
        moved.x.iter_mut().for_each(|x| *x = *x * factor + offset);
        // Few equal numbers could have a variance that is no larger than eps.
        let want = problem.reference();
        assert_close("definition", &moved.reference(), &want, 1e4 * F64);
    }

    /// Pixels in another order are in another order.
    #[test]
    fn the_order_of_pixels_does_not_matter(pixels in 1..300usize, shift in 0..300usize) {
        let shape = Shape { batch: 1, pixels, channels: 36, groups: 4 };
        let problem = Problem::new(shape, true);
        let mut turned = problem.clone();
        turned.x.rotate_left(36 * (shift % pixels));
        let mut want = problem.reference();
        want.rotate_left(36 * (shift % pixels));
        assert_close("definition", &turned.reference(), &want, F64);
        assert_close("cpu", &turned.cpu(InstructionSet::current()), &want, F32);
    }
}

#[test]
fn no_images_are_no_work() {
    let problem = Problem::new(Shape { batch: 0, pixels: 3, channels: 4, groups: 2 }, true);
    assert!(problem.reference().is_empty());
    assert!(problem.cpu(InstructionSet::current()).is_empty());
}

#[test]
fn wrong_operands_are_named() {
    let refused = |[pixels, channels, groups]: [usize; 3], lens: [usize; 4], words: &str| {
        let [x, weight, bias, mut out] = lens.map(|len| vec![0.0f32; len]);
        let shape = Shape { batch: 2, pixels, channels, groups };
        let args =
            Args::<f32> { shape, x: &x, weight: &weight, bias: &bias, eps: EPS, silu: false };
        let of_cpu = cpu::forward(&args, &mut out, &mut Scratch::new());
        for result in [of_cpu, reference::forward(&args, &mut out)] {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with("group_norm: ") && error.contains(words), "{error}");
        }
    };
    refused([3, 4, 2], [23, 4, 4, 24], ": x has 23 elements, expected 24");
    refused([3, 4, 2], [24, 3, 4, 24], "weight has 3 elements, expected 4");
    refused([3, 4, 2], [24, 4, 5, 24], "bias has 5 elements, expected 4");
    refused([3, 4, 2], [24, 4, 4, 25], "out has 25 elements, expected 24");
    refused([3, 4, 0], [24, 4, 4, 24], "groups is 0, supported: 1 or more");
    refused([3, 4, 3], [24, 4, 4, 24], "channels is 4, supported: multiples of the groups");
    refused([3, 0, 3], [0, 0, 0, 0], "channels is 0");
    refused([0, 4, 2], [0, 4, 4, 0], "pixels is 0, supported: 1 or more");
}
