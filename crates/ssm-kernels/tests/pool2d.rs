//! Pooling: the definition by hand and beside a naive one, the CPU against it.

mod wide;

use parity::{assert_close, to_f32, uniform};
use ssm_kernels::conv2d::Shape;
use ssm_kernels::pool2d::cases::CASES;
use ssm_kernels::pool2d::{Args, Kind, Window, cpu, reference};
use ssm_kernels::{Cpu, ImageBackend, InstructionSet, Mat, MatMut, Reference};
use wide::Wide;

/// f32 against f64, relative to the largest value: the roundings of a sum of 64 values.
const F32: f64 = 5e-7;

/// f64 against f64 in another order of sums.
const F64: f64 = 1e-14;

/// Inputs exact in f32.
#[derive(Clone)]
struct Problem {
    window: Window,
    shape: Shape,
    channels: usize,
    x: Vec<f64>,
    margin: usize,
}

impl Problem {
    fn new(window: Window, shape: Shape, channels: usize) -> Self {
        let x = uniform(1, shape.batch * shape.height * shape.width * channels);
        Self { window, shape, channels, x, margin: 0 }
    }

    fn out_size(&self) -> (usize, usize) {
        let size = self.window.out_size(self.shape.height, self.shape.width);
        size.expect("a window inside the image")
    }

    fn out_len(&self) -> usize {
        let (rows, columns) = self.out_size();
        self.shape.batch * rows * columns * self.channels
    }

    fn reference(&self) -> Vec<f64> {
        let x = Wide::of(&self.x, self.channels, self.margin);
        let mut out = Wide::empty(self.out_len(), self.channels, self.margin);
        let &Self { window, shape, channels, .. } = self;
        let args = Args::<f64> { shape, channels, x: x.mat(), window };
        reference::forward(&args, out.mat_mut()).expect("fitting operands");
        out.get()
    }

    fn cpu(&self, set: InstructionSet) -> Vec<f32> {
        let x = Wide::of(&to_f32(&self.x), self.channels, self.margin);
        let mut out = Wide::empty(self.out_len(), self.channels, self.margin);
        let &Self { window, shape, channels, .. } = self;
        let args = Args::<f32> { shape, channels, x: x.mat(), window };
        cpu::forward_on(set, &args, out.mat_mut()).expect("fitting operands");
        out.get()
    }

    /// By the padded image, whose padding is NaN, and sorted values: another way to the same numbers.
    fn naive(&self) -> Vec<f64> {
        let Window { kind, side, stride, padding } = self.window;
        let Shape { batch, height, width } = self.shape;
        let (rows, columns) = self.out_size();
        let padded = |b: usize, y: usize, x: usize, c: usize| {
            let inside =
                y >= padding && x >= padding && y < height + padding && x < width + padding;
            let at = |y: usize, x: usize| ((b * height + y) * width + x) * self.channels + c;
            if inside { self.x[at(y - padding, x - padding)] } else { f64::NAN }
        };
        let mut out = Vec::with_capacity(self.out_len());
        for b in 0..batch {
            for y in 0..rows {
                for x in 0..columns {
                    for c in 0..self.channels {
                        let mut values = Vec::new();
                        for tap in 0..side * side {
                            let (r, s) = (tap / side, tap % side);
                            values.push(padded(b, y * stride + r, x * stride + s, c));
                        }
                        values.retain(|x| !x.is_nan());
                        values.sort_by(f64::total_cmp);
                        out.push(match kind {
                            Kind::Max => values[values.len() - 1],
                            Kind::Average => values.iter().sum::<f64>() / values.len() as f64,
                        });
                    }
                }
            }
        }
        out
    }
}

#[test]
fn the_definition_on_numbers_done_by_hand() {
    let shape = Shape { batch: 1, height: 2, width: 3 };
    let x = vec![-1.0, -2.0, -3.0, -4.0, -5.0, -6.0];
    let solve = |kind: Kind, side: usize, stride: usize, padding: usize, want: &[f64]| {
        let window = Window { kind, side, stride, padding };
        let problem = Problem { x: x.clone(), ..Problem::new(window, shape, 1) };
        assert_eq!(problem.reference(), want, "{window:?}");
    };
    // Zeros of a padding would be the largest, and would bring averages nearer to 0.
    solve(Kind::Max, 3, 1, 1, &[-1.0, -1.0, -2.0, -1.0, -1.0, -2.0]);
    solve(Kind::Max, 2, 1, 0, &[-1.0, -2.0]);
    solve(Kind::Max, 2, 2, 1, &[-1.0, -2.0, -4.0, -5.0]);
    solve(Kind::Average, 3, 1, 1, &[-3.0, -3.5, -4.0, -3.0, -3.5, -4.0]);
    solve(Kind::Average, 2, 2, 1, &[-1.0, -2.5, -4.0, -5.5]);
    solve(Kind::Average, 1, 2, 0, &[-1.0, -3.0]);
}

#[test]
fn the_definition_agrees_with_a_naive_one() {
    for (window, shape, channels) in CASES {
        let problem = Problem { margin: 2, ..Problem::new(window, shape, channels) };
        let what = format!("{window:?} {shape:?} {channels}");
        assert_close(&what, &problem.reference(), &problem.naive(), F64);
    }
}

#[test]
fn cpu_agrees_with_the_definition_in_f64() {
    for (window, shape, channels) in CASES {
        for margin in [0, 3] {
            let problem = Problem { margin, ..Problem::new(window, shape, channels) };
            let want = problem.reference();
            for set in InstructionSet::available() {
                let what = format!("{window:?} {shape:?} {channels} margin {margin} {set:?}");
                assert_close(&what, &problem.cpu(set), &want, F32);
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_on_the_batch() {
    for kind in [Kind::Max, Kind::Average] {
        let window = Window { kind, side: 3, stride: 1, padding: 1 };
        let problem = Problem::new(window, Shape { batch: 3, height: 9, width: 7 }, 70);
        for set in InstructionSet::available() {
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| problem.cpu(set))
            };
            let one = run(1);
            assert!(run(3) == one, "{kind:?} {set:?}");
            let third = problem.x.len() / 3;
            for image in 0..3 {
                let x = problem.x[image * third..][..third].to_vec();
                let alone = Shape { batch: 1, ..problem.shape };
                let alone = Problem { shape: alone, x, ..problem.clone() };
                assert!(alone.cpu(set) == one[image * third..][..third], "image {image}, {set:?}");
            }
        }
    }
}

#[test]
fn both_backends_pool() {
    let window = Window { kind: Kind::Average, side: 3, stride: 2, padding: 0 };
    let problem = Problem::new(window, Shape { batch: 2, height: 5, width: 4 }, 6);
    let (shape, channels, pixels) = (problem.shape, 6, problem.out_len() / 6);
    let want = problem.reference();
    let x = to_f32(&problem.x);
    let mut got = vec![f32::NAN; want.len()];
    let args = Args::<f32> { shape, channels, x: Mat::new(&x, 40, 6), window };
    Cpu.pool2d(&args, MatMut::new(&mut got, pixels, 6)).unwrap();
    assert_close("cpu", &got, &want, F32);
    let mut got = vec![f64::NAN; want.len()];
    let args = Args::<f64> { shape, channels, x: Mat::new(&problem.x, 40, 6), window };
    Reference::<f64>::default().pool2d(&args, MatMut::new(&mut got, pixels, 6)).unwrap();
    assert_eq!(got, want);
}

#[test]
fn no_images_are_no_work() {
    let window = Window { kind: Kind::Max, side: 3, stride: 1, padding: 1 };
    let problem = Problem::new(window, Shape { batch: 0, height: 5, width: 5 }, 4);
    assert!(problem.reference().is_empty());
    assert!(problem.cpu(InstructionSet::current()).is_empty());
}

#[test]
fn wrong_operands_are_named() {
    let fitting = Window { kind: Kind::Max, side: 2, stride: 1, padding: 0 };
    let three = Shape { batch: 1, height: 3, width: 3 };
    let values = [0.0f32; 27];
    let pixels = Mat::new(&values, 9, 3);
    let refused = |window, shape, channels, x: Mat<'_, f32>, out: [usize; 2], words: &str| {
        let args = Args::<f32> { shape, channels, x, window };
        let mut results = vec![0.0; out[0] * out[1]];
        let of_cpu = cpu::forward(&args, MatMut::new(&mut results, out[0], out[1]));
        let of_definition = reference::forward(&args, MatMut::new(&mut results, out[0], out[1]));
        for result in [of_cpu, of_definition] {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with("pool2d: ") && error.contains(words), "{error}");
        }
    };
    let narrow = Mat::new(&values[..18], 9, 2);
    refused(fitting, three, 3, narrow, [4, 3], "x is 9x2, expected 9x3");
    let columns = Mat::new(&values, 3, 9).t();
    refused(fitting, three, 3, columns, [4, 3], "x is 9x3 with columns 9 apart");
    refused(fitting, three, 3, pixels, [5, 3], "out is 5x3, expected 4x3");
    refused(fitting, three, 3, pixels, [4, 2], "out is 4x2, expected 4x3");
    refused(fitting, three, 0, Mat::new(&values[..0], 9, 0), [4, 0], "channels is 0");
    let wide = Window { side: 4, ..fitting };
    refused(wide, three, 3, pixels, [1, 3], "smaller side of the image is 3, supported: images");
    let none = Shape { height: 0, ..three };
    let around = Window { padding: 1, ..fitting };
    refused(around, none, 3, Mat::new(&values[..0], 0, 3), [4, 3], "rows is 0, supported: 1");
    refused(Window { side: 0, ..fitting }, three, 3, pixels, [9, 3], "side of the window is 0");
    refused(Window { stride: 0, ..fitting }, three, 3, pixels, [4, 3], "stride is 0");
    let outside = Window { padding: 2, ..fitting };
    refused(outside, three, 3, pixels, [36, 3], "padding is 2, supported: less than the side");
}
