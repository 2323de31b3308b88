//! The definition: one image, one channel, one scan order at a time.

use super::{
    Args, Direction, DirectionGrads, Grads, Kept, Output, Shape, check_backward, check_forward,
};
use crate::{KernelError, Real, Scratch};

/// Elements of [`Kept::states`]: none, the gradient pass repeats the value pass.
pub fn states_len(_shape: Shape, _directions: usize) -> usize {
    0
}

/// Value pass.
///
/// # Errors
/// When an operand does not fit the shape.
pub fn forward<T: Real>(
    args: &Args<'_, T>,
    out: Output<'_, T>,
    scratch: &mut Scratch<T>,
) -> Result<(), KernelError> {
    check_forward(args, &out, 0)?;
    let (seq_len, channels) = (args.shape.seq_len, args.shape.channels);
    let Output { gated, mut kept } = out;
    let h = scratch.take(args.shape.states);
    gated.fill(T::ZERO);
    for direction in args.directions {
        for image in 0..args.shape.batch {
            for e in 0..channels {
                h.fill(T::ZERO);
                for place in 0..seq_len {
                    let row = image * seq_len + direction.order.token(place, seq_len);
                    let step = Step::new(direction, row, e);
                    step.advance(h);
                    gated[row * channels + e] += step.output(h);
                }
            }
        }
    }
    for row in 0..args.shape.batch * seq_len {
        for (e, &z) in args.z.row(row).iter().enumerate() {
            let sum = args.direction_sum * gated[row * channels + e];
            if let Some(kept) = &mut kept {
                kept.pre_gate[row * channels + e] = sum;
            }
            gated[row * channels + e] = sum * z.silu();
        }
    }
    Ok(())
}

/// Gradient pass; the formulas are derived in the operator's README.
///
/// # Errors
/// When an operand does not fit the shape.
pub fn backward<T: Real>(
    args: &Args<'_, T>,
    kept: Kept<'_, T>,
    grad_gated: &[T],
    mut grads: Grads<'_, T>,
    scratch: &mut Scratch<T>,
) -> Result<(), KernelError> {
    check_backward(args, kept, grad_gated, &grads, 0)?;
    let shape = args.shape;
    for row in 0..shape.batch * shape.seq_len {
        for (e, grad_z) in grads.z.row_mut(row).iter_mut().enumerate() {
            let at = row * shape.channels + e;
            let z = args.z.row(row)[e];
            *grad_z = grad_gated[at] * kept.pre_gate[at] * z.silu_slope();
            grads.gated[at] = kept.pre_gate[at] * z.silu();
        }
    }
    for (direction, grads) in args.directions.iter().zip(grads.directions.iter_mut()) {
        for row in 0..shape.batch * shape.seq_len {
            grads.bc.row_mut(row).fill(T::ZERO);
        }
        for image in 0..shape.batch {
            for e in 0..shape.channels {
                let grad_y = |row: usize| {
                    let gate = args.z.row(row)[e].silu();
                    args.direction_sum * gate * grad_gated[row * shape.channels + e]
                };
                backward_channel(args, direction, grads, image, e, grad_y, scratch);
            }
        }
    }
    Ok(())
}

/// Gradients of one channel of one image, `grad_y` being the gradient of `y` at a row.
fn backward_channel<T: Real>(
    args: &Args<'_, T>,
    direction: &Direction<'_, T>,
    grads: &mut DirectionGrads<'_, T>,
    image: usize,
    e: usize,
    grad_y: impl Fn(usize) -> T,
    scratch: &mut Scratch<T>,
) {
    let (seq_len, channels, n_states) =
        (args.shape.seq_len, args.shape.channels, args.shape.states);
    let row_at = |place| image * seq_len + direction.order.token(place, seq_len);
    // The states before the first token and after every token, then the gradient of the state.
    let memory = scratch.take((seq_len + 2) * n_states);
    memory.fill(T::ZERO);
    let (states, grad_h) = memory.split_at_mut((seq_len + 1) * n_states);
    for place in 0..seq_len {
        let (past, next) = states.split_at_mut((place + 1) * n_states);
        next[..n_states].copy_from_slice(&past[place * n_states..]);
        Step::new(direction, row_at(place), e).advance(&mut next[..n_states]);
    }
    for place in (0..seq_len).rev() {
        let row = row_at(place);
        let step = Step::new(direction, row, e);
        let before = &states[place * n_states..][..n_states];
        let after = &states[(place + 1) * n_states..][..n_states];
        let grad_y = grad_y(row);
        // Gradients of delta u through B, and of delta through the decay.
        let (mut grad_drive, mut grad_delta) = (T::ZERO, T::ZERO);
        let grad_bc = grads.bc.row_mut(row);
        for n in 0..n_states {
            grad_h[n] += grad_y * step.c[n];
            grad_bc[n] += grad_h[n] * step.delta * step.u;
            grad_bc[n_states + n] += grad_y * after[n];
            grad_drive += grad_h[n] * step.b[n];
            let grad_exponent = grad_h[n] * step.decay(n) * before[n];
            grad_delta += grad_exponent * step.a(n);
            grads.a_log[e * n_states + n] += grad_exponent * step.delta * step.a(n);
            grad_h[n] *= step.decay(n);
        }
        let slope = (direction.delta_raw[row * channels + e] + direction.delta_bias[e]).sigmoid();
        let grad_raw = (grad_delta + grad_drive * step.u) * slope;
        grads.delta_raw[row * channels + e] = grad_raw;
        grads.delta_bias[e] += grad_raw;
        grads.u[row * channels + e] = grad_drive * step.delta + grad_y * direction.d_skip[e];
        grads.d_skip[e] += grad_y * step.u;
    }
}

/// One token of one channel.
struct Step<'a, T> {
    u: T,
    delta: T,
    b: &'a [T],
    c: &'a [T],
    a_log: &'a [T],
    d_skip: T,
}

impl<'a, T: Real> Step<'a, T> {
    fn new(direction: &Direction<'a, T>, row: usize, e: usize) -> Self {
        let at = row * direction.d_skip.len() + e;
        let (b, c) = direction.bc.row(row).split_at(direction.bc.cols / 2);
        Self {
            u: direction.u[at],
            delta: (direction.delta_raw[at] + direction.delta_bias[e]).softplus(),
            b,
            c,
            a_log: &direction.a_log[e * b.len()..][..b.len()],
            d_skip: direction.d_skip[e],
        }
    }

    fn a(&self, n: usize) -> T {
        -self.a_log[n].exp()
    }

    fn decay(&self, n: usize) -> T {
        (self.delta * self.a(n)).exp()
    }

    /// `h = exp(delta A) h + delta u B`.
    fn advance(&self, h: &mut [T]) {
        for (n, h) in h.iter_mut().enumerate() {
            *h = self.decay(n) * *h + self.delta * self.u * self.b[n];
        }
    }

    /// `<C, h> + d_skip u`.
    fn output(&self, h: &[T]) -> T {
        h.iter().zip(self.c).map(|(&h, &c)| h * c).sum::<T>() + self.d_skip * self.u
    }
}
