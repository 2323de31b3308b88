//! Operands of one call, and both passes over them on any backend.

use parity::{assert_close, uniform};
use ssm_kernels::selective_scan::{
    Args, Direction, DirectionGrads, Grads, Kept, KeptMut, Output, Shape, cpu, reference,
};
use ssm_kernels::{InstructionSet, KernelError, Mat, MatMut, Real, ScanOrder, Scratch};

/// Columns before those of an operand inside its wider rows.
const MARGIN: usize = 3;

/// Inputs exact in f32.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) shape: Shape,
    pub(super) directions: Vec<Inputs>,
    /// `[B, L, E]`.
    pub(super) z: Vec<f64>,
    pub(super) direction_sum: f64,
    /// `[B, L, E]`.
    pub(super) grad_gated: Vec<f64>,
    /// What the gradients of parameters hold before the call, since it adds to them.
    pub(super) before: f64,
}

/// Inputs of one scan order, as `Direction`; `bc` contiguous.
#[derive(Clone, Debug)]
pub(super) struct Inputs {
    pub(super) order: ScanOrder,
    pub(super) u: Vec<f64>,
    pub(super) delta_raw: Vec<f64>,
    pub(super) bc: Vec<f64>,
    pub(super) a_log: Vec<f64>,
    pub(super) d_skip: Vec<f64>,
    pub(super) delta_bias: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values<T> {
    pub(super) gated: Vec<T>,
    pub(super) pre_gate: Vec<T>,
    pub(super) states: Vec<T>,
}

/// Gradients of one scan order's inputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DirectionGradients<T> {
    pub(super) u: Vec<T>,
    pub(super) delta_raw: Vec<T>,
    pub(super) b: Vec<T>,
    pub(super) c: Vec<T>,
    pub(super) a_log: Vec<T>,
    pub(super) d_skip: Vec<T>,
    pub(super) delta_bias: Vec<T>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gradients<T> {
    pub(super) directions: Vec<DirectionGradients<T>>,
    pub(super) z: Vec<T>,
    pub(super) gated: Vec<T>,
}

pub(super) fn convert<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::from_f64(x)).collect()
}

/// `len` numbers in `center - spread .. center + spread`, exact in f32.
fn around(seed: u64, len: usize, center: f64, spread: f64) -> Vec<f64> {
    uniform(seed, len).iter().map(|x| f64::from((center + spread * x) as f32)).collect()
}

/// Rows of `cols` inside rows of `MARGIN` more columns on both sides, which hold NaN.
fn widen<T: Real>(x: &[f64], cols: usize) -> Vec<T> {
    let mut wide = vec![T::NAN; x.len() / cols * (cols + 2 * MARGIN)];
    for (wide, row) in wide.chunks_exact_mut(cols + 2 * MARGIN).zip(x.chunks_exact(cols)) {
        wide[MARGIN..MARGIN + cols].copy_from_slice(&convert::<T>(row));
    }
    wide
}

/// The inverse of `widen`; nothing may stand in the margins.
fn narrow<T: Real>(wide: &[T], cols: usize) -> Vec<T> {
    let rows = wide.chunks_exact(cols + 2 * MARGIN);
    let margin = |row: &[T]| [&row[..MARGIN], &row[MARGIN + cols..]].concat();
    let untouched = rows.clone().flat_map(margin).all(|x| x.to_f64().is_nan());
    assert!(untouched, "wrote beyond the columns of an operand");
    rows.flat_map(|row| row[MARGIN..MARGIN + cols].to_vec()).collect()
}

fn mat<T: Real>(wide: &[T], rows: usize, cols: usize) -> Mat<'_, T> {
    Mat::columns(wide, rows, cols + 2 * MARGIN, MARGIN, cols)
}

fn mat_mut<T: Real>(wide: &mut [T], rows: usize, cols: usize) -> MatMut<'_, T> {
    MatMut::columns(wide, rows, cols + 2 * MARGIN, MARGIN, cols)
}

/// Memory whose old content must not matter.
fn dirty_scratch<T: Real>() -> Scratch<T> {
    let mut scratch = Scratch::new();
    scratch.take(300_000).fill(T::NAN);
    scratch
}

impl Problem {
    /// Steps from 1e-3 to 20 and beyond, decay rates about 1 to N, both sign of everything else.
    pub(super) fn new(shape: Shape, orders: &[ScanOrder]) -> Self {
        let Shape { batch, seq_len, channels, states } = shape;
        let activations = batch * seq_len * channels;
        let inputs = |(k, &order): (usize, &ScanOrder)| {
            let seed = 10 * (k as u64 + 1);
            let mut delta_raw = around(seed + 1, activations, -2.0, 4.0);
            delta_raw.iter_mut().skip(7).step_by(97).for_each(|raw| *raw = 22.5);
            let mut a_log = around(seed + 3, channels * states, 0.0, 0.1);
            for (k, a_log) in a_log.iter_mut().enumerate() {
                *a_log = f64::from((*a_log + ((k % states + 1) as f64).ln()) as f32);
            }
            Inputs {
                order,
                u: around(seed, activations, 0.0, 1.0),
                delta_raw,
                bc: around(seed + 2, batch * seq_len * 2 * states, 0.0, 1.0),
                a_log,
                d_skip: around(seed + 4, channels, 1.0, 0.5),
                delta_bias: around(seed + 5, channels, -0.5, 0.5),
            }
        };
        Self {
            shape,
            directions: orders.iter().enumerate().map(inputs).collect(),
            z: around(1, activations, 0.0, 3.0),
            direction_sum: 0.5,
            grad_gated: around(2, activations, 0.0, 1.0),
            before: 0.0,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.shape.batch * self.shape.seq_len
    }

    pub(super) fn with_args<T: Real, R>(&self, run: impl FnOnce(&Args<'_, T>) -> R) -> R {
        let Shape { channels, states, .. } = self.shape;
        let owned: Vec<[Vec<T>; 6]> = self
            .directions
            .iter()
            .map(|inputs| {
                [
                    convert(&inputs.u),
                    convert(&inputs.delta_raw),
                    widen(&inputs.bc, 2 * states),
                    convert(&inputs.a_log),
                    convert(&inputs.d_skip),
                    convert(&inputs.delta_bias),
                ]
            })
            .collect();
        let directions: Vec<Direction<'_, T>> = self
            .directions
            .iter()
            .zip(&owned)
            .map(|(inputs, [u, delta_raw, bc, a_log, d_skip, delta_bias])| Direction::<_> {
                order: inputs.order,
                u,
                delta_raw,
                bc: mat(bc, self.rows(), 2 * states),
                a_log,
                d_skip,
                delta_bias,
            })
            .collect();
        let z = widen(&self.z, channels);
        run(&Args {
            shape: self.shape,
            directions: &directions,
            z: mat(&z, self.rows(), channels),
            direction_sum: T::from_f64(self.direction_sum),
        })
    }

    pub(super) fn forward_with<T: Real>(
        &self,
        states_len: fn(Shape, usize) -> usize,
        run: impl Fn(&Args<'_, T>, Output<'_, T>, &mut Scratch<T>) -> Result<(), KernelError>,
    ) -> Values<T> {
        let nan = || vec![T::NAN; self.rows() * self.shape.channels];
        let (mut gated, mut pre_gate, mut inferred) = (nan(), nan(), nan());
        let mut states = vec![T::NAN; states_len(self.shape, self.directions.len())];
        let mut scratch = dirty_scratch();
        self.with_args(|args| {
            let kept = KeptMut::<_> { pre_gate: &mut pre_gate, states: &mut states };
            run(args, Output { gated: &mut gated, kept: Some(kept) }, &mut scratch)?;
            run(args, Output { gated: &mut inferred, kept: None }, &mut scratch)
        })
        .expect("fitting operands");
        assert!(gated == inferred, "the output depends on whether the states are kept");
        Values { gated, pre_gate, states }
    }

    pub(super) fn backward_with<T: Real>(
        &self,
        values: &Values<T>,
        run: impl FnOnce(
            &Args<'_, T>,
            Kept<'_, T>,
            &[T],
            Grads<'_, T>,
            &mut Scratch<T>,
        ) -> Result<(), KernelError>,
    ) -> Gradients<T> {
        let Shape { channels, states, .. } = self.shape;
        let (nan, before) = (|len| vec![T::NAN; len], |len| vec![T::from_f64(self.before); len]);
        let mut owned: Vec<[Vec<T>; 6]> = Vec::new();
        for _ in &self.directions {
            let activation = || nan(self.rows() * channels);
            let bc = nan(self.rows() * (2 * states + 2 * MARGIN));
            let of_channels = || before(channels);
            let a_log = before(channels * states);
            owned.push([activation(), activation(), bc, a_log, of_channels(), of_channels()]);
        }
        let mut directions: Vec<DirectionGrads<'_, T>> = owned
            .iter_mut()
            .map(|[u, delta_raw, bc, a_log, d_skip, delta_bias]| DirectionGrads::<_> {
                u,
                delta_raw,
                bc: mat_mut(bc, self.rows(), 2 * states),
                a_log,
                d_skip,
                delta_bias,
            })
            .collect();
        let mut z = nan(self.rows() * (channels + 2 * MARGIN));
        let mut gated = nan(self.rows() * channels);
        let grads = Grads {
            directions: &mut directions,
            z: mat_mut(&mut z, self.rows(), channels),
            gated: &mut gated,
        };
        let grad_gated = convert(&self.grad_gated);
        let kept = Kept::<_> { pre_gate: &values.pre_gate, states: &values.states };
        self.with_args(|args| run(args, kept, &grad_gated, grads, &mut dirty_scratch()))
            .expect("fitting operands");
        let half = |bc: &[T], half: usize| {
            let rows = bc.chunks_exact(2 * states);
            rows.flat_map(|row| row[half * states..(half + 1) * states].to_vec()).collect()
        };
        let directions = owned.into_iter().map(|[u, delta_raw, bc, a_log, d_skip, delta_bias]| {
            let bc = narrow(&bc, 2 * states);
            DirectionGradients {
                u,
                delta_raw,
                b: half(&bc, 0),
                c: half(&bc, 1),
                a_log,
                d_skip,
                delta_bias,
            }
        });
        Gradients { directions: directions.collect(), z: narrow(&z, channels), gated }
    }

    /// Values and gradients by the definition in f64.
    pub(super) fn reference(&self) -> (Values<f64>, Gradients<f64>) {
        let values = self.forward_with(reference::states_len, reference::forward);
        let gradients = self.backward_with(&values, reference::backward);
        (values, gradients)
    }

    /// Values and gradients of the fast path; the gradient pass reads the value pass's output.
    pub(super) fn cpu(&self, set: InstructionSet) -> (Values<f32>, Gradients<f32>) {
        let values = self.forward_with(cpu::states_len, |a, o, s| cpu::forward_on(set, a, o, s));
        let gradients = self
            .backward_with(&values, |a, p, g, grads, s| cpu::backward_on(set, a, p, g, grads, s));
        (values, gradients)
    }

    /// `sum grad_gated gated`, whose gradient the gradient pass computes.
    pub(super) fn loss(&self) -> f64 {
        let Values { gated, .. } =
            self.forward_with(reference::states_len, reference::forward::<f64>);
        gated.iter().zip(&self.grad_gated).map(|(x, g)| x * g).sum()
    }
}

impl<T: Real> Gradients<T> {
    /// Every operand with its name.
    pub(super) fn named(&self) -> Vec<(String, &[T])> {
        let mut named = vec![
            ("z".to_string(), self.z.as_slice()),
            ("gated, made again".to_string(), self.gated.as_slice()),
        ];
        for (k, grads) in self.directions.iter().enumerate() {
            for (name, values) in [
                ("u", &grads.u),
                ("delta_raw", &grads.delta_raw),
                ("b", &grads.b),
                ("c", &grads.c),
                ("a_log", &grads.a_log),
                ("d_skip", &grads.d_skip),
                ("delta_bias", &grads.delta_bias),
            ] {
                named.push((format!("{name} of direction {k}"), values));
            }
        }
        named
    }
}

/// Compares values and every gradient, each relative to its largest element.
#[track_caller]
pub(super) fn assert_agree(
    what: &str,
    (values, gradients): &(Values<f32>, Gradients<f32>),
    (want_values, want_gradients): &(Values<f64>, Gradients<f64>),
    tolerance: f64,
) {
    assert_close(&format!("{what}: gated"), &values.gated, &want_values.gated, tolerance);
    assert_close(&format!("{what}: pre_gate"), &values.pre_gate, &want_values.pre_gate, tolerance);
    for ((name, got), (_, want)) in gradients.named().iter().zip(want_gradients.named()) {
        assert_close(&format!("{what}: gradient of {name}"), got, want, tolerance);
    }
}

/// `[B, channels, L]` to `[B, L, channels]`.
pub(super) fn token_major(x: &[f64], channels: usize, seq_len: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(x.len());
    for image in x.chunks_exact(channels * seq_len) {
        for token in 0..seq_len {
            out.extend((0..channels).map(|e| image[e * seq_len + token]));
        }
    }
    out
}

/// Rows of `cols` in reverse inside every image.
pub(super) fn reversed<T: Copy>(x: &[T], image: usize, cols: usize) -> Vec<T> {
    x.chunks(image).flat_map(|image| image.chunks(cols).rev().flatten().copied()).collect()
}
