//! A network of convolutions and windows whose branches share pixels, as a whole.

use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_wide, on_every_device, rounded,
};
use ssm_kernels::conv2d::{self, Activation, Kernel, Padding, Shape};
use ssm_kernels::device::Format;
use ssm_kernels::pool2d::{self, Kind, Window};
use ssm_kernels::{Backend, Buf, Cpu, ImageBackend, Real, Storage};
use std::ops::Range;

/// A network in bf16 against the same in f32: half a step of 2^-8 for each of the eight layers in a row,
/// of numbers that are nearly all smaller than the largest.
const ROUNDED: f64 = 8.0 / 512.0;

type Pixels<B> = Buf<B, <B as Backend>::Act>;

/// Layers on a backend, whose weights are numbers of the format under test.
struct Layers<'a, B: ImageBackend> {
    backend: &'a B,
    batch: usize,
    act: fn(f64) -> B::Act,
    weights: fn(&[f64]) -> Vec<f64>,
}

impl<B: ImageBackend> Layers<'_, B> {
    /// Activations of all images, `side` x `side` pixels each.
    fn put(&self, values: &[f64]) -> Pixels<B> {
        let values: Vec<B::Act> = values.iter().map(|&x| (self.act)(x)).collect();
        let mut buffer = self.backend.zeros(values.len()).expect("memory");
        self.backend.upload(&values, buffer.view_mut()).expect("upload");
        buffer
    }

    /// Memory for a result, which is not a number yet.
    fn empty(&self, side: usize, channels: usize) -> Pixels<B> {
        self.put(&vec![f64::NAN; self.batch * side * side * channels])
    }

    fn shape(&self, side: usize) -> Shape {
        Shape { batch: self.batch, height: side, width: side }
    }

    /// A convolution with ReLU from some channels of the pixels of `x` to some of those of `out`; its
    /// weights are drawn.
    fn conv(
        &self,
        seed: u64,
        kernel: Kernel,
        side: usize,
        (x, from): (&Pixels<B>, Range<usize>),
        (out, to): (&mut Pixels<B>, Range<usize>),
    ) {
        let terms = kernel.inputs * kernel.height * kernel.width;
        let spread = (6.0 / terms as f64).sqrt();
        let weight = (self.weights)(&around(seed, kernel.weight_len(), 0.0, spread));
        let weight: Vec<f32> = weight.into_iter().map(|w| w as f32).collect();
        let weights = self.backend.conv2d_weights(&kernel, &weight).expect("weights");
        let biases = around(seed + 100, kernel.outputs, 0.0, 0.3);
        let biases: Vec<B::Wide> = biases.into_iter().map(B::Wide::from_f64).collect();
        let mut bias = self.backend.zeros(biases.len()).expect("memory");
        self.backend.upload(&biases, bias.view_mut()).expect("upload");
        let (rows, columns) = kernel.out_size(side, side).expect("an output");
        let args = conv2d::Args {
            shape: self.shape(side),
            x: x.columns(self.batch * side * side, from),
            weights: &weights,
            bias: bias.view(),
            add: None,
            activation: Activation::Relu,
        };
        let out = out.columns_mut(self.batch * rows * columns, to);
        self.backend.conv2d(&args, out, &mut B::Scratch::default()).expect("a convolution");
    }

    /// All channels of the pixels of `x` to some of those of `out`.
    fn pool(
        &self,
        window: Window,
        side: usize,
        (x, channels): (&Pixels<B>, usize),
        (out, to): (&mut Pixels<B>, Range<usize>),
    ) {
        let (rows, columns) = window.out_size(side, side).expect("an output");
        let x = x.mat(self.batch * side * side, channels);
        let args = pool2d::Args { shape: self.shape(side), channels, x, window };
        let out = out.columns_mut(self.batch * rows * columns, to);
        self.backend.pool2d(&args, out).expect("a pooling");
    }

    /// 48 means of each image. The pixels of both blocks are written by branches, channels side by side,
    /// and a branch of the second reads some channels of the first.
    fn features(&self, images: &[f64], side: usize) -> Pixels<B> {
        let x = self.put(images);
        let halving = Kernel { stride: 2, padding: Padding::default(), ..Kernel::same(3, 12, 3) };
        let stem_side = halved(side);
        let mut stem = self.empty(stem_side, 12);
        self.conv(1, halving, side, (&x, 0..3), (&mut stem, 0..12));
        let mut same = self.empty(stem_side, 16);
        let kernel = Kernel::same(12, 16, 3);
        self.conv(2, kernel, stem_side, (&stem, 0..12), (&mut same, 0..16));

        let side = halved(stem_side);
        let mut pooled = self.empty(side, 16);
        let largest = Window { kind: Kind::Max, side: 3, stride: 2, padding: 0 };
        self.pool(largest, stem_side, (&same, 16), (&mut pooled, 0..16));
        let first = self.block(side, &pooled);

        let last_side = halved(side);
        let mut last = self.empty(last_side, 48);
        let halving = Kernel { inputs: 20, outputs: 8, ..halving };
        self.conv(7, halving, side, (&first, 8..28), (&mut last, 0..8));
        self.pool(largest, side, (&first, 40), (&mut last, 8..48));

        let mut means = self.empty(1, 48);
        let mean = Window { kind: Kind::Average, side: last_side, stride: 1, padding: 0 };
        self.pool(mean, last_side, (&last, 48), (&mut means, 0..48));
        means
    }

    /// Channels 0..8 from single pixels, 8..28 from rows and then columns of seven, 28..40 from averages.
    fn block(&self, side: usize, x: &Pixels<B>) -> Pixels<B> {
        let mut block = self.empty(side, 40);
        self.conv(3, Kernel::same(16, 8, 1), side, (x, 0..16), (&mut block, 0..8));

        let row = Kernel {
            width: 7,
            padding: Padding { left: 3, right: 3, ..Padding::default() },
            ..Kernel::same(16, 12, 1)
        };
        let mut along = self.empty(side, 12);
        self.conv(4, row, side, (x, 0..16), (&mut along, 0..12));
        let column = Kernel {
            height: 7,
            padding: Padding { top: 3, bottom: 3, ..Padding::default() },
            ..Kernel::same(12, 20, 1)
        };
        self.conv(5, column, side, (&along, 0..12), (&mut block, 8..28));

        let mut means = self.empty(side, 16);
        let average = Window { kind: Kind::Average, side: 3, stride: 1, padding: 1 };
        self.pool(average, side, (x, 16), (&mut means, 0..16));
        self.conv(6, Kernel::same(16, 12, 1), side, (&means, 0..16), (&mut block, 28..40));
        block
    }
}

/// A side behind three pixels at every second place.
fn halved(side: usize) -> usize {
    (side - 3) / 2 + 1
}

fn devices_compute_the_network_of_the_cpu<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    // Where every access is watched, little is enough.
    let (batch, side) = if D::MOST_ELEMENTS < 100_000 { (1, 23) } else { (3, 39) };
    let images = rounded::<A>(&around(9, batch * side * side * 3, 0.0, 2.0));
    let weights = rounded::<A>;
    let cpu = Layers { backend: &Cpu, batch, act: |x| x as f32, weights };
    let want = cpu.features(&images, side);
    let want: Vec<f64> = want.iter().map(|&x| f64::from(x)).collect();
    let device = Layers { backend: &lab.device, batch, act: A::round, weights };
    let what = format!("{batch} images in {:?}", A::FORMAT);
    let got = lab.in_every_schedule(&what, || lab.get_act(&device.features(&images, side)));
    let bar = if A::FORMAT == Format::F32 { VALUES } else { ROUNDED };
    assert_wide(&what, &got, &want, bar);
}

on_every_device!(devices_compute_the_network_of_the_cpu);
