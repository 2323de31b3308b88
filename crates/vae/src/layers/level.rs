//! The residual blocks at one resolution, and the way to the next.

use super::resnet::Resnet;
use super::{Conv, Loader};
use crate::workspace::Workspace;
use ssm_kernels::conv2d::{Kernel, Padding};
use ssm_kernels::{ImageBackend, KernelError};

/// What stands behind the residual blocks of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resample {
    /// Nothing.
    None,
    /// A 3x3 convolution of stride 2, with a row of zeros below and a column at the right alone.
    Halve,
    /// A 3x3 convolution of the image doubled by nearest neighbour.
    Double,
}

/// One level of the encoder or the decoder.
#[derive(Debug)]
pub(crate) struct Level<B: ImageBackend> {
    resnets: Vec<Resnet<B>>,
    resample: Option<Conv<B>>,
}

impl<B: ImageBackend> Level<B> {
    /// The level `name` with `n` residual blocks.
    pub(crate) fn load(
        loader: &mut Loader<'_, B>,
        name: &str,
        n: usize,
        resample: Resample,
    ) -> Result<Self, KernelError> {
        let resnets = (0..n).map(|i| Resnet::load(loader, &format!("{name}.resnets.{i}")));
        let resnets = resnets.collect::<Result<_, KernelError>>()?;
        let resample = match resample {
            Resample::None => None,
            Resample::Halve => {
                let padding = Padding { bottom: 1, right: 1, ..Padding::default() };
                let halve = |kernel| Kernel { stride: 2, padding, ..kernel };
                Some(Conv::adapted(loader, &format!("{name}.downsamplers.0.conv"), halve)?)
            }
            Resample::Double => {
                let double = |kernel| Kernel { upsample2: true, ..kernel };
                Some(Conv::adapted(loader, &format!("{name}.upsamplers.0.conv"), double)?)
            }
        };
        Ok(Self { resnets, resample })
    }

    /// The level on the current activation.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        for resnet in &self.resnets {
            resnet.run(backend, work)?;
        }
        self.resample.as_ref().map_or(Ok(()), |resample| resample.run(backend, work))
    }
}
