//! The definition.

use super::{
    Condition, ConditionBackward, ConditionGrads, ConditionOutput, Shape, Tokens, TokensGrads,
    check_condition, check_condition_backward, check_phases, check_tokens, check_tokens_backward,
};
use crate::elementwise::reference::{add_column_sums, silu, silu_backward};
use crate::{KernelError, Mat, Real};

/// `[cos(t f) | sin(t f)]` of every timestep, a last zero where the width is odd.
///
/// # Errors
/// [`KernelError`] when the timesteps do not divide `phases`.
pub fn timestep_phases<T: Real>(timesteps: &[f64], phases: &mut [T]) -> Result<(), KernelError> {
    check_phases(timesteps.len(), phases.len())?;
    let width = phases.len() / timesteps.len().max(1);
    let half = width / 2;
    phases.fill(T::ZERO);
    for (out, &timestep) in phases.chunks_exact_mut(width.max(1)).zip(timesteps) {
        for i in 0..half {
            let phase = timestep * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
            out[i] = T::from_f64(phase.cos());
            out[half + i] = T::from_f64(phase.sin());
        }
    }
    Ok(())
}

/// `sum = time + table[label]`, `condition = silu(sum)`.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn condition<T: Real>(
    args: &Condition<'_, T>,
    out: ConditionOutput<'_, T>,
) -> Result<(), KernelError> {
    check_condition(args, &out)?;
    let d = args.shape.width;
    out.sum.copy_from_slice(args.time);
    if let Some(classes) = &args.classes {
        for (sum, &label) in out.sum.chunks_exact_mut(d).zip(classes.labels) {
            add_row(sum, &classes.table[label as usize * d..][..d]);
        }
    }
    silu(out.sum, out.condition)
}

/// Adds the bias to the patches, puts label and time in front, adds the position to all.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn tokens<T: Real>(args: &Tokens<'_, T>, tokens: &mut [T]) -> Result<(), KernelError> {
    check_tokens(args, tokens.len())?;
    let Shape { seq_len, width: d, extra, .. } = args.shape;
    for (b, image) in tokens.chunks_exact_mut((seq_len * d).max(1)).enumerate() {
        let (leading, patches) = image.split_at_mut(extra * d);
        for patch in patches.chunks_exact_mut(d) {
            add_row(patch, args.bias);
        }
        let (label, time) = leading.split_at_mut(extra.saturating_sub(1) * d);
        if extra > 0 {
            time.copy_from_slice(&args.time[b * d..][..d]);
        }
        if let Some(classes) = args.classes.as_ref().filter(|_| extra == 2) {
            label.copy_from_slice(&classes.table[classes.labels[b] as usize * d..][..d]);
        }
        add_row(image, args.position);
    }
    Ok(())
}

/// Gradients of position and bias.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn tokens_backward<T: Real>(
    shape: &Shape,
    grad_tokens: &[T],
    grads: TokensGrads<'_, T>,
) -> Result<(), KernelError> {
    check_tokens_backward(shape, grad_tokens.len(), &grads)?;
    let &Shape { batch, seq_len, width: d, extra } = shape;
    add_column_sums(Mat::new(grad_tokens, batch, seq_len * d), grads.position)?;
    for image in grad_tokens.chunks_exact((seq_len * d).max(1)) {
        let patches = Mat::new(&image[extra * d..], seq_len - extra, d);
        add_column_sums(patches, grads.bias)?;
    }
    Ok(())
}

/// Gradients of time and table: through the condition, and where they are tokens through those.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn condition_backward<T: Real>(
    args: &ConditionBackward<'_, T>,
    grads: ConditionGrads<'_, T>,
) -> Result<(), KernelError> {
    check_condition_backward(args, &grads)?;
    let Shape { seq_len, width: d, extra, .. } = args.shape;
    let token = |b: usize, place: usize| &args.grad_tokens[(b * seq_len + place) * d..][..d];
    // From here on the gradient of time plus label.
    silu_backward(args.sum, grads.condition)?;
    if let (Some(table), Some(labels)) = (grads.table, args.labels) {
        for (b, &label) in labels.iter().enumerate() {
            let row = &mut table[label as usize * d..][..d];
            add_row(row, &grads.condition[b * d..][..d]);
            if extra == 2 {
                add_row(row, token(b, 0));
            }
        }
    }
    if extra > 0 {
        for (b, grad_time) in grads.condition.chunks_exact_mut(d).enumerate() {
            add_row(grad_time, token(b, extra - 1));
        }
    }
    Ok(())
}

/// `to += row`.
fn add_row<T: Real>(to: &mut [T], row: &[T]) {
    for (to, &x) in to.iter_mut().zip(row) {
        *to += x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_cosines_then_sines_then_a_zero_for_odd_widths() {
        let mut e = [f64::NAN; 9];
        timestep_phases(&[7.0], &mut e).unwrap();
        for i in 0..4 {
            let phase = 7.0 * 10_000f64.powf(-(i as f64) / 4.0);
            assert!((e[i] - phase.cos()).abs() < 1e-13 && (e[4 + i] - phase.sin()).abs() < 1e-13);
        }
        assert_eq!(e[8], 0.0);
    }
}
