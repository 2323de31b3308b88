//! Convolutions of images: the definition by hand and by its laws, the CPU against it.

mod wide;

use parity::{assert_close, to_f32, uniform};
use proptest::prelude::*;
use ssm_kernels::conv2d::cases::CASES;
use ssm_kernels::conv2d::{Activation, Args, Kernel, Padding, Shape, cpu, reference};
use ssm_kernels::{Cpu, ImageBackend, InstructionSet, Mat, MatMut, Reference, Scratch};
use wide::Wide;

/// f32 against f64, relative to the largest value: the roundings of sums over the kernel.
const F32: f64 = 2e-6;

/// The same for sums of 64 terms: tight enough to see the lightest products of parts missing.
const SHORT_SUM: f64 = 5e-7;

/// f64 against f64 in another order of sums.
const F64: f64 = 1e-13;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    kernel: Kernel,
    shape: Shape,
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    add: Option<Vec<f64>>,
    activation: Activation,
    /// Elements beside the pixels of input and output, on either side.
    margin: usize,
}

impl Problem {
    fn new(kernel: Kernel, shape: Shape) -> Self {
        let x = uniform(1, shape.batch * shape.height * shape.width * kernel.inputs);
        let (weight, bias) = (uniform(2, kernel.weight_len()), uniform(3, kernel.outputs));
        let activation = Activation::None;
        Self { kernel, shape, x, weight, bias, add: None, activation, margin: 0 }
    }

    fn out_len(&self) -> usize {
        let size = self.kernel.out_size(self.shape.height, self.shape.width);
        let (rows, columns) = size.expect("a kernel inside the image");
        self.shape.batch * rows * columns * self.kernel.outputs
    }

    fn with_add(mut self) -> Self {
        self.add = Some(uniform(4, self.out_len()));
        self
    }

    fn reference(&self) -> Vec<f64> {
        let weights = reference::Weights::new(&self.kernel, &self.weight).expect("whole weights");
        let x = Wide::of(&self.x, self.kernel.inputs, self.margin);
        let mut out = Wide::empty(self.out_len(), self.kernel.outputs, self.margin);
        let args = Args::<_, f64> {
            shape: self.shape,
            x: x.mat(),
            weights: &weights,
            bias: &self.bias,
            add: self.add.as_deref(),
            activation: self.activation,
        };
        reference::forward(&args, out.mat_mut()).expect("fitting operands");
        out.get()
    }

    fn cpu(&self, set: InstructionSet) -> Vec<f32> {
        let weight = to_f32(&self.weight);
        let weights = cpu::Weights::new_on(set, &self.kernel, &weight).expect("whole weights");
        let x = Wide::of(&to_f32(&self.x), self.kernel.inputs, self.margin);
        let mut out = Wide::empty(self.out_len(), self.kernel.outputs, self.margin);
        let add = self.add.as_deref().map(to_f32);
        let args = Args::<_, f32> {
            shape: self.shape,
            x: x.mat(),
            weights: &weights,
            bias: &to_f32(&self.bias),
            add: add.as_deref(),
            activation: self.activation,
        };
        cpu::forward(&args, out.mat_mut()).expect("fitting operands");
        out.get()
    }
}

fn shape(batch: usize, height: usize, width: usize) -> Shape {
    Shape { batch, height, width }
}

/// One channel in, one out.
fn plain(height: usize, width: usize, padding: Padding) -> Kernel {
    Kernel { height, width, padding, ..Kernel::same(1, 1, 1) }
}

const NONE: Padding = Padding { top: 0, bottom: 0, left: 0, right: 0 };

#[test]
fn the_definition_on_numbers_done_by_hand() {
    let image = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let solve = |kernel: Kernel, weight: &[f64], want: &[f64]| {
        let (weight, bias) = (weight.to_vec(), vec![10.0; kernel.outputs]);
        let shape = shape(1, 2, 3);
        let x = image.clone();
        let problem = Problem { x, weight, bias, ..Problem::new(kernel, shape) };
        assert_eq!(problem.reference(), want, "{kernel:?}");
    };
    // A correlation: the kernel is not mirrored.
    let weight = [1.0, 10.0, 100.0, 1000.0];
    solve(plain(2, 2, NONE), &weight, &[5431.0, 6542.0]);
    let below = Padding { bottom: 1, right: 1, ..NONE };
    solve(plain(2, 2, below), &weight, &[5431.0, 6542.0, 613.0, 64.0, 75.0, 16.0]);
    let halving = Kernel { stride: 2, ..plain(2, 2, below) };
    solve(halving, &weight, &[5431.0, 613.0]);
    let above = Padding { top: 1, left: 1, ..NONE };
    solve(
        plain(1, 2, above),
        &[1.0, 10.0],
        &[10.0, 10.0, 10.0, 20.0, 31.0, 42.0, 50.0, 64.0, 75.0],
    );
    // Rows 1 1 2 2 3 3, 1 1 2 2 3 3, 4 4 5 5 6 6, 4 4 5 5 6 6; every third of them.
    let doubling = Kernel { upsample2: true, stride: 3, ..plain(1, 1, NONE) };
    solve(doubling, &[1.0], &[11.0, 12.0, 14.0, 15.0]);
    // Two channels in and out.
    let channels = Kernel { inputs: 2, outputs: 2, ..plain(1, 1, NONE) };
    let mut problem = Problem {
        x: vec![1.0, 2.0, 3.0, 4.0],
        weight: vec![1.0, 10.0, 100.0, 1000.0],
        bias: vec![0.25, 0.5],
        add: Some(vec![0.0, -3000.0, -43.0, 20_000.0]),
        ..Problem::new(channels, shape(1, 1, 2))
    };
    assert_eq!(problem.reference(), [21.25, -899.5, 0.25, 24_300.5]);
    problem.activation = Activation::Relu;
    assert_eq!(problem.reference(), [21.25, 0.0, 0.25, 24_300.5]);
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for (kernel, shape) in CASES {
        let plain = Problem::new(kernel, shape);
        let mut rectified = Problem { margin: 5, ..plain.clone().with_add() };
        rectified.activation = Activation::Relu;
        for problem in [plain.clone(), plain.with_add(), rectified] {
            let want = problem.reference();
            for set in InstructionSet::available() {
                let Problem { add, activation, .. } = &problem;
                let what =
                    format!("{kernel:?} {shape:?} add {} {activation:?} {set:?}", add.is_some());
                assert_close(&what, &problem.cpu(set), &want, F32);
            }
        }
    }
}

#[test]
fn short_sums_keep_all_digits() {
    let problem = Problem::new(Kernel::same(64, 64, 1), shape(1, 8, 32));
    let want = problem.reference();
    for set in InstructionSet::available() {
        assert_close(&format!("{set:?}"), &problem.cpu(set), &want, SHORT_SUM);
    }
}

#[test]
fn both_backends_take_official_weights() {
    let (kernel, shape) = (Kernel::same(4, 6, 3), shape(2, 5, 4));
    let problem = Problem::new(kernel, shape).with_add();
    let want = problem.reference();
    let [x, weight, bias] = [&problem.x, &problem.weight, &problem.bias].map(|x| to_f32(x));
    let add = problem.add.as_deref().map(to_f32);
    let mut got = vec![f32::NAN; problem.out_len()];
    let weights = Cpu.conv2d_weights(&kernel, &weight).unwrap();
    let (pixels, activation) = (2 * 5 * 4, Activation::None);
    let (x, add) = (Mat::new(&x, pixels, 4), add.as_deref());
    let args = Args::<_, f32> { shape, x, weights: &weights, bias: &bias, add, activation };
    Cpu.conv2d(&args, MatMut::new(&mut got, pixels, 6), &mut Scratch::new()).unwrap();
    assert_close("cpu", &got, &want, F32);
    let definition = Reference::<f64>::default();
    let mut got = vec![f64::NAN; problem.out_len()];
    let weights = definition.conv2d_weights(&kernel, &weight).unwrap();
    let (bias, add) = (&problem.bias, problem.add.as_deref());
    let x = Mat::new(&problem.x, pixels, 4);
    let args = Args::<_, f64> { shape, x, weights: &weights, bias, add, activation };
    definition.conv2d(&args, MatMut::new(&mut got, pixels, 6), &mut Scratch::new()).unwrap();
    assert_eq!(got, want);
}

#[test]
fn bits_do_not_depend_on_threads_or_on_the_batch() {
    let kernels = [
        Kernel::same(96, 64, 3),
        Kernel { upsample2: true, ..Kernel::same(160, 36, 3) },
        Kernel { stride: 2, ..Kernel::same(3, 64, 3) },
    ];
    for kernel in kernels {
        let problem = Problem::new(kernel, shape(3, 18, 33)).with_add();
        for set in InstructionSet::available() {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| problem.cpu(set))
            };
            let one = run(1);
            for threads in [2, 3] {
                assert!(run(threads) == one, "{threads} threads, {set:?}");
            }
            let (pixels, outputs) = (problem.x.len() / 3, one.len() / 3);
            for image in 0..3 {
                let add =
                    problem.add.as_deref().map(|add| add[image * outputs..][..outputs].to_vec());
                let alone = Problem {
                    shape: shape(1, 18, 33),
                    x: problem.x[image * pixels..][..pixels].to_vec(),
                    add,
                    ..problem.clone()
                };
                assert!(
                    alone.cpu(set) == one[image * outputs..][..outputs],
                    "image {image}, {set:?}"
                );
            }
        }
    }
}

#[test]
fn doubling_is_a_convolution_of_the_doubled_image() {
    let doubling = Kernel { upsample2: true, ..Kernel::same(3, 4, 3) };
    let problem = Problem::new(doubling, shape(2, 3, 5));
    let mut doubled = Problem { x: Vec::new(), shape: shape(2, 6, 10), ..problem.clone() };
    doubled.kernel.upsample2 = false;
    for row in problem.x.chunks_exact(5 * 3) {
        let row: Vec<f64> = row.chunks_exact(3).flat_map(|pixel| pixel.repeat(2)).collect();
        doubled.x.extend(row.repeat(2));
    }
    assert_eq!(problem.reference(), doubled.reference());
}

#[test]
fn a_kernel_of_one_in_the_middle_is_the_image() {
    let mut problem = Problem::new(Kernel::same(2, 2, 3), shape(2, 4, 3));
    problem.bias.fill(0.0);
    problem.weight.fill(0.0);
    // Channels change places: `[O, I, R, S]`.
    problem.weight[9 + 4] = 1.0;
    problem.weight[18 + 4] = 1.0;
    let swapped: Vec<f64> = problem.x.chunks_exact(2).flat_map(|p| [p[1], p[0]]).collect();
    assert_eq!(problem.reference(), swapped);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// A stride leaves outputs out.
    #[test]
    fn a_stride_keeps_some_outputs(
        stride in 2..4usize, height in 3..9usize, width in 3..20usize, inputs in 1..40usize,
        outputs in 1..70usize,
    ) {
        let kernel = Kernel::same(inputs, outputs, 3);
        let dense = Problem::new(kernel, shape(1, height, width));
        let sparse = Problem { kernel: Kernel { stride, ..kernel }, ..dense.clone() };
        let all = dense.reference();
        let rows = all.chunks_exact(width * outputs).step_by(stride);
        let kept: Vec<f64> =
            rows.flat_map(|row| row.chunks_exact(outputs).step_by(stride)).flatten().copied().collect();
        assert_eq!(sparse.reference(), kept);
        assert_close("cpu", &sparse.cpu(InstructionSet::current()), &kept, F32);
    }

    /// Linear in image and bias.
    #[test]
    fn sums_of_images_are_sums_of_outputs(
        height in 1..9usize, width in 1..20usize, inputs in 1..40usize, outputs in 1..70usize,
        upsample2 in any::<bool>(),
    ) {
        let kernel = Kernel { upsample2, ..Kernel::same(inputs, outputs, 3) };
        let first = Problem::new(kernel, shape(2, height, width));
        let mut second = first.clone();
        (second.x, second.bias) = (uniform(11, first.x.len()), uniform(13, first.bias.len()));
        let add = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        let mut both = first.clone();
        (both.x, both.bias) = (add(&first.x, &second.x), add(&first.bias, &second.bias));
        let want = add(&first.reference(), &second.reference());
        assert_close("definition", &both.reference(), &want, F64);
        assert_close("cpu", &both.cpu(InstructionSet::current()), &want, 2.0 * F32);
    }

    /// An image that moves down and to the right inside zeros moves its output.
    #[test]
    fn outputs_move_with_the_image(down in 0..4usize, right in 0..20usize, inputs in 1..40usize) {
        let outputs = 34;
        let (height, width) = (4 + down, 5 + right);
        let around = |down: usize, right: usize| {
            let mut problem = Problem::new(Kernel::same(inputs, outputs, 3), shape(1, height, width));
            let small = uniform(1, 2 * 3 * inputs);
            problem.x.fill(0.0);
            for (r, row) in small.chunks_exact(3 * inputs).enumerate() {
                let at = ((1 + down + r) * width + 1 + right) * inputs;
                problem.x[at..][..row.len()].copy_from_slice(row);
            }
            problem
        };
        let (still, moved) = (around(0, 0), around(down, right));
        let at = |row: usize, column: usize| (row * width + column) * outputs;
        for (what, still, moved, tolerance) in [
            ("definition", still.reference(), moved.reference(), 1e-300),
            ("cpu", to_f64(&still.cpu(InstructionSet::current())),
                to_f64(&moved.cpu(InstructionSet::current())), F32),
        ] {
            for row in 0..4 {
                let moved = &moved[at(row + down, right)..][..5 * outputs];
                assert_close(what, moved, &still[at(row, 0)..][..5 * outputs], tolerance);
            }
        }
    }

    /// Images of a batch do not meet.
    #[test]
    fn a_batch_in_another_order_is_in_another_order(height in 1..6usize, width in 1..20usize) {
        let kernel = Kernel::same(33, 40, 3);
        let problem = Problem::new(kernel, shape(3, height, width));
        let mut turned = problem.clone();
        turned.x.rotate_left(problem.x.len() / 3);
        let mut want = problem.reference();
        want.rotate_left(problem.out_len() / 3);
        assert_eq!(turned.reference(), want);
        assert_close("cpu", &turned.cpu(InstructionSet::current()), &want, F32);
    }
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

#[test]
fn no_images_are_no_work() {
    let problem = Problem::new(Kernel::same(32, 32, 3), shape(0, 5, 5));
    assert!(problem.reference().is_empty());
    assert!(problem.cpu(InstructionSet::current()).is_empty());
}
