//! Noising of training samples and the losses, which stay on the device from the images to the terms.
//!
//! ```text
//! draw_noise           noise ~ N(0, 1), the same bits as those of crate `philox`
//! q_sample             x_t = a x0 + s noise, the noise drawn on the way
//! squared_error_loss   d = output - (a x0 + b noise),   grad = slope d, and the angle between the two
//! hybrid_loss          d = output - noise, and the variational bound of a learned variance
//! flag_not_finite      flag = 1 where a term of a loss is not finite
//! ```
//!
//! `B` samples of `M` elements. Everything is f32, whatever the format of activations; terms are f64.
//! What depends on a sample's timestep alone is made by the host in f64 and copied: a few numbers a
//! sample. The definitions are in crate `diffusion`.
#![allow(unsafe_code, reason = "the parameters of a kernel hold addresses")]

mod squared_error;

pub use squared_error::{SquaredErrorLoss, SquaredErrorRow, squared_error_loss};

use super::bindings::{
    DIS_DIFFUSION_THREADS, DIS_DIFFUSION_TILE, DIS_LOSS_FINITE_SHARED, DIS_LOSS_SHARED,
    DIS_LOSS_TERMS_SAMPLES, DisHybridLoss, DisLossFinite, DisLossRow, DisLossTerms, DisQSample,
};
use super::{Device, Driver, Launch, Slice, SliceMut, image_walkers, int};
use crate::KernelError;
use crate::error::check_len;
use crate::space::{View, ViewMut};
use std::f64::consts::LN_2;

const TILE: usize = DIS_DIFFUSION_TILE as usize;
const THREADS: [u32; 3] = [DIS_DIFFUSION_THREADS, 1, 1];

/// The address of random numbers: element `i` of a sample is lane `i` there.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// Seed of the run.
    pub seed: u64,
    /// What the numbers are for: the number of a `philox::Purpose`.
    pub purpose: u8,
    /// Second part of the address, below 2^24.
    pub sub: u32,
    /// `[B]`: position of every sample.
    pub positions: &'a [u64],
}

/// Operands of [`q_sample`].
#[derive(Debug)]
pub struct QSample<'a, D> {
    /// Where the noise comes from.
    pub draw: Draw<'a>,
    /// `[B]`: factors of data and noise, `(sqrt(ab), sqrt(1 - ab))`.
    pub levels: &'a [[f32; 2]],
    /// `[B, M]`.
    pub x0: Slice<'a, f32, D>,
}

/// Where [`q_sample`] writes.
#[derive(Debug)]
pub struct QSampleOutput<'a, D> {
    /// `[B, M]`, the noisy image.
    pub x_t: SliceMut<'a, f32, D>,
    /// `[B, M]`, the noise in it.
    pub noise: SliceMut<'a, f32, D>,
}

/// What [`hybrid_loss`] needs to know of one sample. `l` is the clipped posterior log variance, `g` the
/// factor on the gradient; weights are of the mean squared error, of the bound, and of the bound in the
/// gradient of the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossRow {
    /// `2 g weight_mse / M`.
    pub error_slope: f64,
    /// `g weight_bound_to_mean / (M ln 2)`.
    pub mean_slope: f64,
    /// `g weight_bound / (M ln 2)`.
    pub variance_slope: f64,
    /// `(ln beta - l) / 2`.
    pub half_range: f64,
    /// `l`.
    pub log_variance: f64,
    /// `(c1 k)^2 exp(-l)`, with the factor `c1` of `x0` in the posterior mean.
    pub precision: f64,
    /// `k = sqrt(1 / ab - 1)`.
    pub noise_per_data: f64,
    /// Whether this is the first timestep, where the bound is the likelihood of an 8-bit pixel.
    pub is_first: bool,
}

/// Operands of [`hybrid_loss`].
#[derive(Debug)]
pub struct HybridLoss<'a, D> {
    /// `[B]`.
    pub rows: &'a [LossRow],
    /// `[B, 2 M]`: noise as the network sees it, then variance.
    pub output: Slice<'a, f32, D>,
    /// `[B, M]`.
    pub x0: Slice<'a, f32, D>,
    /// `[B, M]`.
    pub noise: Slice<'a, f32, D>,
}

/// Where a loss writes.
#[derive(Debug)]
pub struct LossOutput<'a, D> {
    /// As the network's output: its gradient.
    pub grad_output: SliceMut<'a, f32, D>,
    /// `[B, 2]`: mean squared error, without its weight, and the second term of the loss (0 without
    /// one): the bound in bits per element, or the mean of `1 - cos` over pixels.
    pub terms: SliceMut<'a, f64, D>,
}

/// Writes standard normals.
///
/// # Errors
/// When an operand does not fit the others, or the device fails.
pub fn draw_noise<A, D: Driver>(
    device: &Device<A, D>,
    draw: &Draw<'_>,
    noise: SliceMut<'_, f32, D>,
) -> Result<(), KernelError> {
    let op = "draw_noise";
    let samples = Samples::of(op, "noise", draw.positions.len(), noise.len())?;
    if noise.len() == 0 {
        return Ok(());
    }
    let [positions] = device.workspace([size_of_val(draw.positions)])?;
    // SAFETY: working memory of just this size.
    unsafe { device.put(draw.positions, positions) }?;
    let params =
        DisQSample { noise: noise.address() as _, ..draw_params(op, draw, positions, samples)? };
    // SAFETY: `noise` has these samples, there is a position for each, and all else is null.
    unsafe { device.launch(samples.launch("q_sample", 0), &params) }
}

/// Mixes data with noise that it draws.
///
/// # Errors
/// When an operand does not fit the others, or the device fails.
pub fn q_sample<A, D: Driver>(
    device: &Device<A, D>,
    args: &QSample<'_, D>,
    out: QSampleOutput<'_, D>,
) -> Result<(), KernelError> {
    let op = "q_sample";
    let (batch, len) = (args.draw.positions.len(), args.x0.len());
    let samples = Samples::of(op, "x0", batch, len)?;
    check_len(op, "levels", args.levels.len(), &[batch])?;
    check_len(op, "x_t", out.x_t.len(), &[len])?;
    check_len(op, "noise", out.noise.len(), &[len])?;
    if len == 0 {
        return Ok(());
    }
    let [positions, levels] =
        device.workspace([size_of_val(args.draw.positions), size_of_val(args.levels)])?;
    // SAFETY: working memory of just this size.
    unsafe { device.put(args.draw.positions, positions) }?;
    // SAFETY: as above.
    unsafe { device.put(args.levels, levels) }?;
    let params = DisQSample {
        x0: args.x0.address() as _,
        x_t: out.x_t.address() as _,
        noise: out.noise.address() as _,
        levels: levels as _,
        ..draw_params(op, &args.draw, positions, samples)?
    };
    // SAFETY: every operand was compared with the samples, and there are a position and a level for
    // each.
    unsafe { device.launch(samples.launch("q_sample", 0), &params) }
}

/// Squared error of a noise with a learned variance, and the variational bound of that variance.
///
/// # Errors
/// When an operand does not fit the others, or the device fails.
pub fn hybrid_loss<A, D: Driver>(
    device: &Device<A, D>,
    args: &HybridLoss<'_, D>,
    out: LossOutput<'_, D>,
) -> Result<(), KernelError> {
    let op = "hybrid_loss";
    let (batch, len) = (args.rows.len(), args.x0.len());
    let samples = Samples::of(op, "x0", batch, len)?;
    check_len(op, "output", args.output.len(), &[2, len])?;
    check_len(op, "noise", args.noise.len(), &[len])?;
    check_loss_output(op, &out, batch, args.output.len())?;
    if len == 0 {
        return Ok(());
    }
    let rows: Vec<DisLossRow> = args.rows.iter().map(loss_row).collect();
    let [on_device, partials] =
        device.workspace([size_of_val(&rows[..]), samples.partials_bytes()])?;
    // SAFETY: working memory of just this size.
    unsafe { device.put(&rows, on_device) }?;
    let params = DisHybridLoss {
        output: args.output.address() as _,
        x0: args.x0.address() as _,
        noise: args.noise.address() as _,
        rows: on_device as _,
        grad_output: out.grad_output.address() as _,
        partials: partials as _,
        sample_len: samples.len as i64,
        batch: int(op, "batch", batch)?,
        unused: 0,
    };
    // SAFETY: every operand was compared with the samples, for which there are rows and partial sums.
    unsafe { device.launch(samples.launch("hybrid_loss", DIS_LOSS_SHARED), &params) }?;
    let bits = 1.0 / (samples.len as f64 * LN_2);
    let partials = Partials { at: partials, blocks: samples.blocks(), second_factor: bits };
    add_terms(device, op, samples, &partials, &out.terms)
}

/// Sets `flag`, `[1]`, to 1 where one of `terms` is not finite, else leaves it as it is: zeroed at the
/// start of a step, it tells of all of the step's losses.
///
/// # Errors
/// When `flag` is not one element, or the device fails.
pub fn flag_not_finite<A, D: Driver>(
    device: &Device<A, D>,
    terms: Slice<'_, f64, D>,
    flag: SliceMut<'_, u32, D>,
) -> Result<(), KernelError> {
    check_len("flag_not_finite", "flag", flag.len(), &[1])?;
    let params = DisLossFinite {
        terms: terms.address() as _,
        not_finite: flag.address() as _,
        len: terms.len() as i64,
    };
    let launch = Launch {
        kernel: "loss_finite",
        grid: [1, 1, 1],
        threads: THREADS,
        shared: DIS_LOSS_FINITE_SHARED,
    };
    // SAFETY: `terms` has `len` elements, and `flag` was checked to be one.
    unsafe { device.launch(launch, &params) }
}

/// `count` samples of `len` elements.
#[derive(Clone, Copy)]
struct Samples {
    count: usize,
    len: usize,
}

impl Samples {
    /// Refuses an operand that `count` samples do not divide.
    fn of(
        op: &'static str,
        operand: &'static str,
        count: usize,
        elements: usize,
    ) -> Result<Self, KernelError> {
        let len = elements / count.max(1);
        check_len(op, operand, elements, &[count, len])?;
        Ok(Self { count, len })
    }

    /// Blocks of one sample.
    fn blocks(self) -> usize {
        self.len.div_ceil(TILE)
    }

    /// Two sums for every block of every sample.
    fn partials_bytes(self) -> usize {
        2 * self.count * self.blocks() * size_of::<f64>()
    }

    fn launch(self, kernel: &'static str, shared: u32) -> Launch {
        let grid = [self.blocks(), image_walkers(self.count), 1];
        Launch { kernel, grid, threads: THREADS, shared }
    }
}

/// What every use of `q_sample` has; its operands are null.
fn draw_params(
    op: &'static str,
    draw: &Draw<'_>,
    positions: u64,
    samples: Samples,
) -> Result<DisQSample, KernelError> {
    let unsupported =
        |what, got, supported| Err(KernelError::Unsupported { op, what, got, supported });
    if draw.sub >= 1 << 24 {
        return unsupported("sub", draw.sub as usize, "below 2^24");
    }
    if samples.len > 1 << 34 {
        return unsupported("elements of a sample", samples.len, "up to 2^34");
    }
    Ok(DisQSample {
        positions: positions as _,
        seed: draw.seed,
        sample_len: samples.len as i64,
        batch: int(op, "batch", samples.count)?,
        purpose: draw.purpose.into(),
        sub: draw.sub,
        ..Default::default()
    })
}

fn check_loss_output<D: Driver>(
    op: &'static str,
    out: &LossOutput<'_, D>,
    batch: usize,
    output_len: usize,
) -> Result<(), KernelError> {
    check_len(op, "grad_output", out.grad_output.len(), &[output_len])?;
    check_len(op, "terms", out.terms.len(), &[batch, 2])
}

fn loss_row(row: &LossRow) -> DisLossRow {
    DisLossRow {
        error_slope: row.error_slope,
        mean_slope: row.mean_slope,
        variance_slope: row.variance_slope,
        half_range: row.half_range,
        log_variance: row.log_variance,
        precision: row.precision,
        noise_per_data: row.noise_per_data,
        is_first: row.is_first.into(),
        unused: 0,
    }
}

/// What a loss left of every sample.
struct Partials {
    /// `[B, blocks, 2]`.
    at: u64,
    blocks: usize,
    /// Makes the second term of the second sum.
    second_factor: f64,
}

/// Adds it up.
fn add_terms<A, D: Driver>(
    device: &Device<A, D>,
    op: &'static str,
    samples: Samples,
    partials: &Partials,
    terms: &SliceMut<'_, f64, D>,
) -> Result<(), KernelError> {
    let params = DisLossTerms {
        partials: partials.at as _,
        terms: terms.address() as _,
        sample_len: samples.len as i64,
        second_factor: partials.second_factor,
        batch: int(op, "batch", samples.count)?,
        parts: int(op, "blocks of a sample", partials.blocks)?,
    };
    let launch = Launch {
        kernel: "loss_terms",
        grid: [samples.count.div_ceil(DIS_LOSS_TERMS_SAMPLES as usize), 1, 1],
        threads: [32 * DIS_LOSS_TERMS_SAMPLES, 1, 1],
        shared: 0,
    };
    // SAFETY: the loss wrote all partial sums, and `terms` was checked to have two for each sample.
    unsafe { device.launch(launch, &params) }
}
