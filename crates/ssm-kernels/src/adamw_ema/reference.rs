//! The definition.

use super::{Arenas, Hyper, check};
use crate::{KernelError, Real};

/// One update of every arena.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the others.
pub fn step<T: Real>(hyper: &Hyper<'_>, arenas: Arenas<'_, T>) -> Result<(), KernelError> {
    check(hyper, &arenas)?;
    let step = hyper.step as f64;
    let real = T::from_f64;
    let (beta1, beta2) = (real(hyper.beta1), real(hyper.beta2));
    let (rest1, rest2) = (real(1.0 - hyper.beta1), real(1.0 - hyper.beta2));
    let correction1 = real(1.0 - hyper.beta1.powf(step));
    let correction2 = real(1.0 - hyper.beta2.powf(step));
    for i in 0..arenas.params.len() {
        let grad = real(hyper.grad_factor) * arenas.grads[i];
        let m = beta1 * arenas.m[i] + rest1 * grad;
        let v = beta2 * arenas.v[i] + rest2 * grad * grad;
        let old = arenas.params[i];
        let decays = !hyper.no_decay.iter().any(|range| range.contains(&i));
        let decay = if decays { real(hyper.lr * hyper.weight_decay) * old } else { T::ZERO };
        let direction = (m / correction1) / ((v / correction2).sqrt() + real(hyper.eps));
        let new = old - decay - real(hyper.lr) * direction;
        arenas.m[i] = m;
        arenas.v[i] = v;
        arenas.params[i] = new;
        for average in arenas.averages.iter_mut() {
            let kept = real(average.decay) * average.values[i];
            average.values[i] = kept + real(1.0 - average.decay) * new;
        }
    }
    if let Some(copy) = arenas.compute_copy {
        copy.copy_from_slice(arenas.params);
    }
    Ok(())
}
