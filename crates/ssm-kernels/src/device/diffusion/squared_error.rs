//! The squared error of what the network says, and the angle between that and what it should say.

use super::{LossOutput, Partials, Samples, add_terms, check_loss_output};
use crate::KernelError;
use crate::device::bindings::{DIS_LOSS_SHARED, DisSquaredErrorLoss, DisSquaredErrorRow};
use crate::device::{Device, Driver, Slice, int};
use crate::error::check_len;
use crate::space::View;

/// What [`squared_error_loss`] needs to know of one sample. `g` is the factor on the gradient; weights
/// are of the mean squared error and of the mean of `1 - cos`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquaredErrorRow {
    /// Factor of data in what the network should say.
    pub data: f32,
    /// Factor of noise in it.
    pub noise: f32,
    /// `2 g weight / M`.
    pub slope: f32,
    /// `g weight_cosine / (H W)`. Where this is 0 in every sample, nothing is made of the cosine.
    pub cosine_slope: f32,
}

/// Operands of [`squared_error_loss`].
#[derive(Debug)]
pub struct SquaredErrorLoss<'a, D> {
    /// `[B]`.
    pub rows: &'a [SquaredErrorRow],
    /// `C`, where `M = C H W`.
    pub channels: usize,
    /// `[B, C, H W]`.
    pub output: Slice<'a, f32, D>,
    /// `[B, C, H W]`.
    pub x0: Slice<'a, f32, D>,
    /// `[B, C, H W]`.
    pub noise: Slice<'a, f32, D>,
}

/// Mean squared error against a mix of data and noise, and the angle between the two.
///
/// ```text
/// target = data x0 + noise eps,   d = output - target,   cos = <output, target> / (|output| |target|)
/// mse = mean of d^2 over elements,   cosine = mean of 1 - cos over pixels
/// grad = slope d + cosine_slope d(1 - cos) / d output
///      = slope d + cosine_slope (cos output / |output| - target / |target|) / |output|
/// ```
///
/// Products and lengths are those of a pixel along its channels. Where output or target is shorter than
/// 1e-8 its `cos` is 0 without a gradient, as it is everywhere at the start, when a zeroed head says 0.
/// One row with a `cosine_slope` is enough for the cosine of every sample to be measured.
///
/// Source: the direction loss of LightningDiT, arXiv 2501.01423.
///
/// # Errors
/// When an operand does not fit the others, or the device fails.
pub fn squared_error_loss<A, D: Driver>(
    device: &Device<A, D>,
    args: &SquaredErrorLoss<'_, D>,
    out: LossOutput<'_, D>,
) -> Result<(), KernelError> {
    let op = "squared_error_loss";
    let (batch, len) = (args.rows.len(), args.x0.len());
    let samples = Samples::of(op, "x0", batch, len)?;
    let pixels = pixels(op, samples, args.channels)?;
    check_len(op, "output", args.output.len(), &[len])?;
    check_len(op, "noise", args.noise.len(), &[len])?;
    check_loss_output(op, &out, batch, args.output.len())?;
    if len == 0 {
        return Ok(());
    }
    let has_cosine = args.rows.iter().any(|row| row.cosine_slope != 0.0);
    // What threads walk over: elements, or pixels, of which they take all channels.
    let (kernel, walked) = if has_cosine {
        ("squared_error_cosine_loss", Samples { len: pixels, ..samples })
    } else {
        ("squared_error_loss", samples)
    };
    let rows: Vec<DisSquaredErrorRow> = args.rows.iter().map(squared_error_row).collect();
    let [on_device, partials] =
        device.workspace([size_of_val(&rows[..]), walked.partials_bytes()])?;
    // SAFETY: working memory of just this size.
    unsafe { device.put(&rows, on_device) }?;
    let params = DisSquaredErrorLoss {
        output: args.output.address() as _,
        x0: args.x0.address() as _,
        noise: args.noise.address() as _,
        rows: on_device as _,
        grad_output: out.grad_output.address() as _,
        partials: partials as _,
        sample_len: samples.len as i64,
        pixels: pixels as i64,
        batch: int(op, "batch", batch)?,
        unused: 0,
    };
    // SAFETY: every operand was compared with the samples, which `pixels` divides and for which there
    // are rows and partial sums.
    unsafe { device.launch(walked.launch(kernel, DIS_LOSS_SHARED), &params) }?;
    let per_pixel = 1.0 / pixels as f64;
    let partials = Partials { at: partials, blocks: walked.blocks(), second_factor: per_pixel };
    add_terms(device, op, samples, &partials, &out.terms)
}

/// Pixels of a channel; refuses `channels` that do not divide the samples, which are those of `x0`.
fn pixels(op: &'static str, samples: Samples, channels: usize) -> Result<usize, KernelError> {
    let Some(pixels) = samples.len.checked_div(channels) else {
        let (what, supported) = ("channels", "1 or more");
        return Err(KernelError::Unsupported { op, what, got: channels, supported });
    };
    check_len(op, "x0", samples.count * samples.len, &[samples.count, channels, pixels])?;
    Ok(pixels)
}

fn squared_error_row(row: &SquaredErrorRow) -> DisSquaredErrorRow {
    let &SquaredErrorRow { data, noise, slope, cosine_slope } = row;
    DisSquaredErrorRow { data, noise, slope, cosine_slope }
}
