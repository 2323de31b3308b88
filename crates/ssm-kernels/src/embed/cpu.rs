//! The f32 form: the definition, but for sums over all tokens, which threads share by columns.

use super::{Shape, TokensGrads, check_tokens_backward};
use crate::elementwise::cpu::add_column_sums;
use crate::{KernelError, Mat};

pub use super::reference::{condition, condition_backward, timestep_phases, tokens};

/// See [`reference::tokens_backward`](super::reference::tokens_backward).
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape.
pub fn tokens_backward(
    shape: &Shape,
    grad_tokens: &[f32],
    grads: TokensGrads<'_, f32>,
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
