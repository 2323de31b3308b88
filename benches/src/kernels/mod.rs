//! Every operator of a device with operands, ready to be timed, and what a call costs at least.

pub mod costs;
mod gpu;
pub mod shapes;

#[cfg(feature = "device")]
mod case;
#[cfg(feature = "device")]
mod conv;
#[cfg(feature = "device")]
mod diffusion;
#[cfg(feature = "device")]
mod elementwise;
#[cfg(feature = "device")]
mod images;
#[cfg(feature = "device")]
mod inception;
#[cfg(any(feature = "cuda", feature = "emulated"))]
mod network;
#[cfg(feature = "device")]
mod norms;
#[cfg(feature = "device")]
mod optimiser;
mod options;
#[cfg(feature = "device")]
mod products;
mod record;
#[cfg(feature = "device")]
mod scan;
#[cfg(all(test, feature = "emulated"))]
mod tests;

pub use costs::{BlockCosts, Ceilings, Cost, exp_ceiling};
pub use gpu::{driver_version, gpu_state};
pub use options::{KernelOptions, KernelRequest};
pub use record::{About, KernelRecord, Measured};
pub use shapes::{
    BRANCHES, BlockShape, BranchShape, IMAGES, ImageShape, LAYERS, LayerShape, PARAMETERS,
    SAMPLING, TRAINING,
};

#[cfg(feature = "device")]
pub use case::{Call, Case, Lab, format_name};
#[cfg(any(feature = "cuda", feature = "emulated"))]
pub use network::{Network, forward_call, training_call};
#[cfg(feature = "device")]
pub use products::square as square_product;

#[cfg(feature = "device")]
use ssm_kernels::device::{Activation, Driver};

/// A plain copy of so many bytes: the ceiling of all that memory limits.
#[cfg(feature = "device")]
pub fn device_copy<A: Activation, D: Driver>(lab: &Lab<A, D>, bytes: usize) -> Case {
    elementwise::device_copy(lab, bytes)
}

/// Every operator of a block in training, and its products.
#[cfg(feature = "device")]
pub fn block_cases<A: Activation, D: Driver>(lab: &Lab<A, D>, shape: BlockShape) -> Vec<Case> {
    let mut cases = scan::training(lab, shape);
    cases.extend(conv::cases(lab, shape));
    cases.extend(norms::cases(lab, shape));
    cases.extend(products::cases(lab, shape));
    cases.extend(elementwise::cases(lab, shape));
    cases
}

/// The scan of few images, divided among the processors in every way.
#[cfg(feature = "device")]
pub fn sampling_cases<A: Activation, D: Driver>(lab: &Lab<A, D>, shape: BlockShape) -> Vec<Case> {
    scan::plans(lab, shape)
}

/// The optimiser and the norm over arenas of so many parameters.
#[cfg(feature = "device")]
pub fn arena_cases<A: Activation, D: Driver>(lab: &Lab<A, D>, parameters: usize) -> Vec<Case> {
    optimiser::cases(lab, parameters)
}

/// Noising and losses of images, which are f32 whatever the activations are.
#[cfg(feature = "device")]
pub fn image_cases<A: Activation, D: Driver>(lab: &Lab<A, D>, shape: ImageShape) -> Vec<Case> {
    diffusion::cases(lab, shape)
}

/// Convolution, norm and attention of images.
#[cfg(feature = "device")]
pub fn layer_cases<A: Activation, D: Driver>(lab: &Lab<A, D>, layer: LayerShape) -> Vec<Case> {
    images::cases(lab, layer)
}

/// Convolution and pooling of a block of Inception.
#[cfg(feature = "device")]
pub fn branch_cases<A: Activation, D: Driver>(lab: &Lab<A, D>, branch: BranchShape) -> Vec<Case> {
    inception::cases(lab, branch)
}
