//! One run of the production network, its results by name.

use super::Values;
use dis_model::{Activations, Dis, DisConfig, Input, Params};
use ssm_kernels::{HostBackend, Real};

/// Values and gradients of one run.
pub(crate) struct Run {
    pub(crate) output: Vec<f64>,
    /// Intermediates, named as in the goldens.
    pub(crate) mids: Values,
    /// Gradients by parameter name, and of the image as `x`.
    pub(crate) gradients: Values,
}

/// Runs both passes in `B`'s precision on f64 numbers.
pub(crate) fn run<B: HostBackend>(
    config: &DisConfig,
    params: &Values,
    input: &Input<'_, f64>,
    grad_output: &[f64],
) -> Run {
    let dis = Dis::<B>::new(config.clone()).unwrap();
    let params = rounded::<B::Elem>(&super::arena(dis.layout(), params));
    let x = rounded(input.x);
    let drop_path = input.drop_path.map(rounded);
    let input = Input::<_> {
        x: &x,
        timesteps: input.timesteps,
        labels: input.labels,
        drop_path: drop_path.as_deref(),
    };
    let mut activations = Activations::for_training(&dis, input.timesteps.len()).unwrap();
    dis.forward(Params::host(&params), &input, &mut activations).unwrap();
    let (output, mids) = (widened(activations.output()), mids(&dis, &activations));

    let mut grads = vec![B::Elem::ZERO; dis.layout().len()];
    let mut grad_x = vec![B::Elem::NAN; x.len()];
    let grad_output = rounded(grad_output);
    let (params, grad_x_out) = (Params::host(&params), Some(grad_x.as_mut_slice()));
    dis.backward(params, &input, &mut activations, &grad_output, &mut grads, grad_x_out).unwrap();
    let of = |p: &dis_model::Param| (p.name.clone(), widened(&grads[p.range.clone()]));
    let mut gradients: Values = dis.layout().iter().map(of).collect();
    gradients.insert("x".into(), widened(&grad_x));
    Run { output, mids, gradients }
}

fn mids<B: HostBackend>(dis: &Dis<B>, activations: &Activations<B>) -> Values {
    let half = dis.config().n_in_blocks();
    let mut mids = Values::new();
    for i in 0..dis.config().n_blocks() {
        let block = match i {
            i if i < half => format!("in_blocks.{i}"),
            i if i == half => "mid_block".to_string(),
            i => format!("out_blocks.{}", i - half - 1),
        };
        mids.insert(format!("{block}.hidden"), widened(activations.block_output(i)));
        mids.insert(format!("{block}.residual"), widened(activations.block_residual(i)));
    }
    mids.insert("time_embed".into(), widened(activations.time_embedding()));
    mids.insert("final_layer".into(), widened(activations.head_tokens()));
    mids
}

/// The nearest numbers of a backend.
pub(crate) fn rounded<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&x| T::from_f64(x)).collect()
}

/// The same numbers as f64.
pub(crate) fn widened<T: Real>(values: &[T]) -> Vec<f64> {
    values.iter().map(|&x| x.to_f64()).collect()
}
