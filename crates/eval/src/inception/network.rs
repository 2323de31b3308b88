//! The network on a backend, with host memory at both ends.

use super::fold::{self, Folded};
use super::layers::{
    CLASSES, Layer, POOL, SIDE, SPATIAL, SPATIAL_CHANNELS, SPATIAL_STAGE, Stage, stages,
};
use super::weights::{TensorMap, check};
use super::workspace::{Need, Workspace};
use crate::EvalError;
use crate::resize::CHANNELS;
use ssm_kernels::conv2d::{Activation, Args, Kernel, Shape};
use ssm_kernels::pool2d::{self, Kind, Window};
use ssm_kernels::{Buf, ImageBackend, KernelError, Mat, MatMut, Real, Storage, View, ViewMut};

/// Features of some images, one row an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps<T> {
    /// `[N, 2048]`: means of the last map.
    pub pool: Vec<T>,
    /// `[N, 17, 17, 7]`: the first channels of the branch of single pixels of `Mixed_6d`, pixel by pixel.
    pub spatial: Vec<T>,
    /// `[N, 1008]`: the linear map of `pool`, without its bias.
    pub logits: Vec<T>,
}

/// Means over the pixels of one stage's map.
#[derive(Clone, Debug, PartialEq)]
pub struct StageMean<T> {
    /// The published name.
    pub stage: &'static str,
    /// `[N, channels]`.
    pub mean: Vec<T>,
}

/// Inception-v3 of 2015 on a backend.
///
/// Activations are channels-last; branches write the columns of their stage's map, so nothing is
/// concatenated. Memory for activations is made at the first pass and kept; more images replace it.
#[derive(Debug)]
pub struct Inception<B: ImageBackend> {
    backend: B,
    stages: Vec<Stage>,
    /// Of every layer with weights, in the order of the stages.
    convs: Vec<Conv<B>>,
    classes: Conv<B>,
    need: Need,
    work: Workspace<B>,
}

/// The weights of one convolution, with its norm.
#[derive(Debug)]
struct Conv<B: ImageBackend> {
    weights: B::Conv2dWeights,
    bias: Buf<B, B::Wide>,
}

impl<B: ImageBackend> Conv<B> {
    fn new(
        backend: &B,
        kernel: &Kernel,
        weight: &[f32],
        bias: &[f64],
    ) -> Result<Self, KernelError> {
        let weights = backend.conv2d_weights(kernel, weight)?;
        let wide: Vec<B::Wide> = bias.iter().map(|&x| B::Wide::from_f64(x)).collect();
        let mut bias = backend.zeros(wide.len())?;
        backend.upload(&wide, bias.view_mut())?;
        Ok(Self { weights, bias })
    }
}

/// Columns of a map that a layer reads.
#[derive(Clone, Copy)]
struct Read {
    shape: Shape,
    channels: usize,
}

impl<B: ImageBackend> Inception<B> {
    /// The network with the weights of [`check`].
    ///
    /// # Errors
    /// [`EvalError::Weights`] when the tensors are not those of the network; [`EvalError::Kernel`] when
    /// a device lacks memory.
    pub fn load(backend: B, mut tensors: TensorMap) -> Result<Self, EvalError> {
        check(&tensors, "the set of tensors")?;
        let stages = stages();
        let mut convs = Vec::new();
        for branch in stages.iter().flat_map(|stage| &stage.branches) {
            for layer in branch.chain.iter().chain(&branch.ends) {
                if let Layer::Conv(name, kernel) = layer {
                    let Folded { weight, bias } = fold::take(&mut tensors, name);
                    convs.push(Conv::new(&backend, kernel, &weight, &bias)?);
                }
            }
        }
        let weight = fold::take_one(&mut tensors, "fc.weight").data;
        // The Inception Score is made of classes without their bias.
        let kernel = Kernel::same(POOL, CLASSES, 1);
        let classes = Conv::new(&backend, &kernel, &weight, &[0.0; CLASSES])?;
        let need = Need::of(&stages);
        Ok(Self { backend, stages, convs, classes, need, work: Workspace::new() })
    }

    /// Bytes of activations for `batch` images in one pass. Neither the scratch of operators, which is
    /// strips of an image, nor weights are in it.
    pub fn activation_bytes(&self, batch: usize) -> usize {
        self.need.bytes::<B>(batch)
    }

    /// Features of images `[N, 299, 299, 3]` that have their protocol behind them, all in one pass.
    ///
    /// # Errors
    /// [`EvalError::Input`] when `images` are no whole images; [`EvalError::Kernel`] when a device lacks
    /// memory.
    pub fn forward(&mut self, images: &[B::Wide]) -> Result<Taps<B::Wide>, EvalError> {
        let mut spatial = Vec::new();
        let batch = self.each_stage(images, |pass, stage, read| {
            if stage.name == SPATIAL_STAGE {
                // Windows of one pixel copy, here some columns to where they stand alone.
                let read = Read { channels: SPATIAL_CHANNELS, ..read };
                pass.pool_map(Window { side: 1, ..MEAN }, stage.outputs(), read)?;
                spatial = pass.work.leave(pass.backend, read.shape.batch, SPATIAL)?;
            }
            Ok(())
        })?;
        let Self { backend, classes, stages, work, .. } = self;
        let mut pass = Pass { backend, work };
        let side = stages.iter().fold(SIDE, |side, stage| stage.out_side(side));
        let (pool, logits) = pass.backend.clone().run(|| {
            let shape = Shape { batch, height: side, width: side };
            pass.pool_map(Window { side, ..MEAN }, POOL, Read { shape, channels: POOL })?;
            let pool = pass.work.leave(pass.backend, batch, POOL)?;
            pass.classify(classes, batch)?;
            Ok::<_, KernelError>((pool, pass.work.leave(pass.backend, batch, CLASSES)?))
        })?;
        Ok(Taps { pool, spatial, logits })
    }

    /// Mean over the pixels of every stage's map, in the order of the stages. The features "64", "192" and "768" of pytorch-fid are those of `MaxPool_1`, `MaxPool_2` and
    /// `Mixed_6e`.
    ///
    /// # Errors
    /// Those of [`Inception::forward`].
    pub fn stage_means(
        &mut self,
        images: &[B::Wide],
    ) -> Result<Vec<StageMean<B::Wide>>, EvalError> {
        let mut means = Vec::new();
        self.each_stage(images, |pass, stage, read| {
            pass.pool_map(Window { side: read.shape.height, ..MEAN }, stage.outputs(), read)?;
            let mean = pass.work.leave(pass.backend, read.shape.batch, read.channels)?;
            means.push(StageMean { stage: stage.name, mean });
            Ok(())
        })?;
        Ok(means)
    }

    /// Runs all stages, calls `after` behind each, and returns the number of images.
    fn each_stage(
        &mut self,
        images: &[B::Wide],
        mut after: impl FnMut(&mut Pass<'_, B>, &Stage, Read) -> Result<(), KernelError> + Send,
    ) -> Result<usize, EvalError> {
        let image = SIDE * SIDE * CHANNELS;
        if images.is_empty() || !images.len().is_multiple_of(image) {
            let expected = format!("one or more images of {SIDE}x{SIDE}x{CHANNELS}");
            return Err(EvalError::input("number of values", images.len(), expected));
        }
        let batch = images.len() / image;
        let Self { backend, stages, convs, need, work, .. } = self;
        let mut pass = Pass { backend, work };
        pass.backend.clone().run(|| {
            pass.work.enter(pass.backend, *need, images)?;
            let mut convs = convs.iter();
            let mut side = SIDE;
            for stage in stages.iter() {
                let shape = Shape { batch, height: side, width: side };
                pass.stage(stage, &mut convs, shape)?;
                side = stage.out_side(side);
                let shape = Shape { batch, height: side, width: side };
                after(&mut pass, stage, Read { shape, channels: stage.outputs() })?;
            }
            Ok::<_, KernelError>(())
        })?;
        Ok(batch)
    }
}

/// The mean over a window whose side is still to be said.
const MEAN: Window = Window { kind: Kind::Average, side: 0, stride: 1, padding: 0 };

/// One pass through the network.
struct Pass<'a, B: ImageBackend> {
    backend: &'a B,
    work: &'a mut Workspace<B>,
}

impl<B: ImageBackend> Pass<'_, B> {
    /// The map of a stage takes the place of the one it reads.
    fn stage<'c>(
        &mut self,
        stage: &Stage,
        convs: &mut impl Iterator<Item = &'c Conv<B>>,
        shape: Shape,
    ) -> Result<(), KernelError> {
        let width = stage.outputs();
        let side = stage.out_side(shape.height);
        let rows = shape.batch * side * side;
        let mut column = 0;
        for branch in &stage.branches {
            let Workspace { x, next, inner: [to, from], scratch, .. } = &mut *self.work;
            let mut read = Read { shape, channels: stage.inputs };
            let mut is_first = true;
            for layer in &branch.chain {
                let source = if is_first { &*x } else { &*from };
                let side = layer.out_side(read.shape.height);
                let len = shape.batch * side * side * layer.outputs();
                let out = to.view_mut().part(0..len);
                let out = MatMut::of(out, len / layer.outputs(), layer.outputs());
                run(self.backend, layer, convs, (read, source), out, scratch)?;
                let shape = Shape { height: side, width: side, ..shape };
                read = Read { shape, channels: layer.outputs() };
                std::mem::swap(to, from);
                is_first = false;
            }
            for end in &branch.ends {
                let source = if is_first { &*x } else { &*from };
                let columns = column..column + end.outputs();
                let out = next.view_mut().part(0..rows * width);
                let out = MatMut::columns_of(out, rows, width, columns);
                run(self.backend, end, convs, (read, source), out, scratch)?;
                column += end.outputs();
            }
        }
        std::mem::swap(&mut self.work.x, &mut self.work.next);
        Ok(())
    }

    /// Pools the first channels of the current map, whose pixels are `width` long, to `inner[0]`.
    fn pool_map(&mut self, window: Window, width: usize, read: Read) -> Result<(), KernelError> {
        let Read { shape, channels } = read;
        let pixels = shape.batch * shape.height * shape.width;
        let side = shape.height - window.side + 1;
        let rows = shape.batch * side * side;
        let x = self.work.x.view().part(0..pixels * width);
        let x = Mat::columns_of(x, pixels, width, 0..channels);
        let out = self.work.inner[0].view_mut().part(0..rows * channels);
        let args = pool2d::Args { shape, channels, x, window };
        self.backend.pool2d(&args, MatMut::of(out, rows, channels))
    }

    /// The classes of the features in `inner[0]` take their place.
    fn classify(&mut self, conv: &Conv<B>, batch: usize) -> Result<(), KernelError> {
        let Workspace { inner: [pool, logits], scratch, .. } = &mut *self.work;
        let args = Args {
            shape: Shape { batch, height: 1, width: 1 },
            x: Mat::of(pool.view().part(0..batch * POOL), batch, POOL),
            weights: &conv.weights,
            bias: conv.bias.view(),
            add: None,
            activation: Activation::None,
        };
        let out = logits.view_mut().part(0..batch * CLASSES);
        self.backend.conv2d(&args, MatMut::of(out, batch, CLASSES), scratch)?;
        std::mem::swap(pool, logits);
        Ok(())
    }
}

/// One layer, with the next weights where it has any.
fn run<'c, B: ImageBackend>(
    backend: &B,
    layer: &Layer,
    convs: &mut impl Iterator<Item = &'c Conv<B>>,
    (read, source): (Read, &Buf<B, B::Act>),
    out: MatMut<'_, B::Act, B::Memory>,
    scratch: &mut B::Scratch,
) -> Result<(), KernelError> {
    let Read { shape, channels } = read;
    let pixels = shape.batch * shape.height * shape.width;
    let x = Mat::of(source.view().part(0..pixels * channels), pixels, channels);
    match layer {
        Layer::Pool(window, channels) => {
            let args = pool2d::Args { shape, channels: *channels, x, window: *window };
            backend.pool2d(&args, out)
        }
        Layer::Conv(name, _) => {
            let conv = convs.next().unwrap_or_else(|| panic!("no weights for {name}"));
            let (weights, bias) = (&conv.weights, conv.bias.view());
            let args = Args { shape, x, weights, bias, add: None, activation: Activation::Relu };
            backend.conv2d(&args, out, scratch)
        }
    }
}
