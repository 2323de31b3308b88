//! A network with its weights, somewhere: numbers of this machine in, numbers of this machine out.

use crate::info::plan::Pass;
use dis_model::{Activations, Dis, DisConfig, Input, ModelError, ParamLayout, Params};
use ssm_kernels::adamw_ema::{Arenas, Average, Hyper};
use ssm_kernels::{Backend, Buf, Element, KernelError, Mut, Real, Ref, Storage, ViewMut};
use std::borrow::Cow;
use std::mem::ManuallyDrop;

#[cfg(any(feature = "cuda", feature = "emulated"))]
use half::bf16;

/// Weights that travel to a device together: it takes them through memory as large as that, and keeps
/// this memory.
const PIECE: usize = 4 << 20;

/// What samplers need of a network.
pub(crate) trait Network {
    /// Sizes and switches.
    fn config(&self) -> &DisConfig;

    /// Replaces the weights.
    fn load(&mut self, weights: &[f32]) -> Result<(), ModelError>;

    /// Value pass of as many images as there are `timesteps`: `x` is `[B, C, H, W]`, the result
    /// `[B, C', H, W]`.
    fn evaluate(
        &mut self,
        x: &[f32],
        timesteps: &[f64],
        labels: Option<&[u32]>,
    ) -> Result<&[f32], ModelError>;
}

/// A format of activations, where `W` is that of parameters.
pub(crate) trait Rounds<W: Real>: Element {
    /// Whether products read weights in another format than `W`.
    const IS_ROUNDED: bool;

    /// The nearest numbers of this format.
    fn round(weights: &[W]) -> Cow<'_, [Self]>;

    /// Weights for a pass.
    fn params<'a, B>(full: &'a Buf<B, W>, rounded: &'a Buf<B, Self>) -> Params<'a, B>
    where
        B: Backend<Act = Self, Wide = W>;
}

impl<W: Real> Rounds<W> for W {
    const IS_ROUNDED: bool = false;

    fn round(weights: &[W]) -> Cow<'_, [W]> {
        weights.into()
    }

    fn params<'a, B>(full: &'a Buf<B, W>, _rounded: &'a Buf<B, W>) -> Params<'a, B>
    where
        B: Backend<Act = W, Wide = W>,
    {
        Params { full: full.view(), compute: full.view() }
    }
}

#[cfg(any(feature = "cuda", feature = "emulated"))]
impl Rounds<f32> for bf16 {
    const IS_ROUNDED: bool = true;

    fn round(weights: &[f32]) -> Cow<'_, [Self]> {
        weights.iter().map(|&w| Self::from_f32(w)).collect()
    }

    fn params<'a, B>(full: &'a Buf<B, f32>, rounded: &'a Buf<B, Self>) -> Params<'a, B>
    where
        B: Backend<Act = Self, Wide = f32>,
    {
        Params { full: full.view(), compute: rounded.view() }
    }
}

/// A network on backend `B`, with its weights there.
pub(crate) struct Loaded<B: Backend> {
    dis: Dis<B>,
    pass: Pass,
    full: Buf<B, B::Wide>,
    /// The same as products read it, where that is another format.
    rounded: Buf<B, B::Act>,
    /// Of the last batch.
    memory: Option<Memory<B>>,
}

/// Memory for batches of one size.
struct Memory<B: Backend> {
    /// `[B, C, H, W]`.
    x: Buf<B, B::Wide>,
    activations: Activations<B>,
    output: Vec<B::Wide>,
}

/// Times and labels of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition<'a> {
    /// `[B]`.
    pub(crate) timesteps: &'a [f64],
    /// `[B]`, exactly where the network is conditional.
    pub(crate) labels: Option<&'a [u32]>,
}

/// Gradients of a pass.
pub(crate) struct Gradients<W> {
    /// `[B, C, H, W]`.
    pub(crate) x: Vec<W>,
    /// In the order of [`ParamLayout`].
    pub(crate) params: Vec<W>,
}

/// State of an optimiser beside the weights, each as long as they are.
pub(crate) struct Moments<B: Backend> {
    pub(crate) grads: Buf<B, B::Wide>,
    m: Buf<B, B::Wide>,
    v: Buf<B, B::Wide>,
    ema: Buf<B, B::Wide>,
}

impl<B: Backend> Memory<B> {
    fn new(dis: &Dis<B>, pass: Pass, batch: usize) -> Result<Self, ModelError> {
        let activations = match pass {
            Pass::Inference => Activations::for_inference(dis, batch)?,
            Pass::Training(recompute) => Activations::for_training_with(dis, batch, recompute)?,
        };
        let c = dis.config();
        Ok(Self {
            x: dis.backend().zeros(batch * c.image_len())?,
            activations,
            output: vec![B::Wide::ZERO; batch * c.output_len()],
        })
    }
}

impl<B: Backend> Loaded<B>
where
    B::Act: Rounds<B::Wide>,
{
    /// A network for value passes alone.
    pub(crate) fn for_inference(
        backend: B,
        config: DisConfig,
        weights: &[B::Wide],
    ) -> Result<Self, ModelError> {
        Self::new(backend, config, weights, Pass::Inference)
    }

    /// A network for passes of that kind.
    pub(crate) fn new(
        backend: B,
        config: DisConfig,
        weights: &[B::Wide],
        pass: Pass,
    ) -> Result<Self, ModelError> {
        let dis = Dis::on(backend, config)?;
        let full = dis.backend().zeros(weights.len())?;
        let rounded = dis.backend().zeros(if B::Act::IS_ROUNDED { weights.len() } else { 0 })?;
        let mut network = Self { dis, pass, full, rounded, memory: None };
        network.replace(weights)?;
        Ok(network)
    }

    /// Brings other weights.
    fn replace(&mut self, weights: &[B::Wide]) -> Result<(), ModelError> {
        let backend = self.dis.backend();
        for (i, piece) in weights.chunks(PIECE).enumerate() {
            let range = i * PIECE..i * PIECE + piece.len();
            backend.upload(piece, self.full.view_mut().part(range.clone()))?;
            if B::Act::IS_ROUNDED {
                backend.upload(&B::Act::round(piece), self.rounded.view_mut().part(range))?;
            }
        }
        Ok(())
    }

    /// Names and places of the parameters.
    pub(crate) fn layout(&self) -> &ParamLayout {
        self.dis.layout()
    }

    /// Who computes.
    pub(crate) fn backend(&self) -> &B {
        self.dis.backend()
    }

    /// Brings the images of the next passes.
    pub(crate) fn put(&mut self, x: &[B::Wide], images: usize) -> Result<(), ModelError> {
        if self.memory.as_ref().is_none_or(|memory| memory.activations.batch() != images) {
            // The old memory goes before the new one is asked for.
            self.memory = None;
            self.memory = Some(Memory::new(&self.dis, self.pass, images)?);
        }
        let memory = self.memory.as_mut().expect("made above");
        Ok(self.dis.backend().upload(x, memory.x.view_mut())?)
    }

    /// Value pass of the images that are there. A device may still compute when this returns.
    pub(crate) fn forward(&mut self, condition: Condition<'_>) -> Result<(), ModelError> {
        let memory = self.memory.as_mut().expect("images before a pass");
        let input = input::<B>(&memory.x, condition);
        let params = B::Act::params(&self.full, &self.rounded);
        self.dis.forward(params, &input, &mut memory.activations)
    }

    /// Output of the last value pass.
    pub(crate) fn output(&mut self) -> Result<&[B::Wide], ModelError> {
        let memory = self.memory.as_mut().expect("a pass before its output");
        self.dis.backend().download(memory.activations.output_view(), &mut memory.output)?;
        Ok(&memory.output)
    }

    /// Gradient pass of the last value pass, whose `condition` is the same: adds to `grads`,
    /// overwrites `grad_x`.
    pub(crate) fn backward(
        &mut self,
        condition: Condition<'_>,
        grad_out: Ref<'_, B, B::Wide>,
        grads: Mut<'_, B, B::Wide>,
        grad_x: Option<Mut<'_, B, B::Wide>>,
    ) -> Result<(), ModelError> {
        let memory = self.memory.as_mut().expect("a value pass before its gradient pass");
        let input = input::<B>(&memory.x, condition);
        let params = B::Act::params(&self.full, &self.rounded);
        self.dis.backward(params, &input, &mut memory.activations, grad_out, grads, grad_x)
    }

    /// Gradients of the last value pass, on this machine.
    pub(crate) fn gradients(
        &mut self,
        condition: Condition<'_>,
        grad_out: &[B::Wide],
    ) -> Result<Gradients<B::Wide>, ModelError> {
        let (backend, c) = (self.backend().clone(), self.dis.config());
        let (weights, pixels) = (self.layout().len(), condition.timesteps.len() * c.image_len());
        let mut slope = backend.zeros(grad_out.len())?;
        backend.upload(grad_out, slope.view_mut())?;
        let (mut params, mut x) = (backend.zeros(weights)?, backend.zeros(pixels)?);
        let grad_x = Some(Storage::view_mut(&mut x));
        self.backward(condition, slope.view(), params.view_mut(), grad_x)?;
        let mut found =
            Gradients { x: vec![B::Wide::ZERO; pixels], params: vec![B::Wide::ZERO; weights] };
        backend.download(x.view(), &mut found.x)?;
        backend.download(params.view(), &mut found.params)?;
        Ok(found)
    }

    /// Memory of an optimiser.
    pub(crate) fn moments(&self) -> Result<Moments<B>, ModelError> {
        let zeros = || self.backend().zeros(self.layout().len());
        let mut ema: Buf<B, B::Wide> = zeros()?;
        self.backend().copy(self.full.view(), ema.view_mut())?;
        Ok(Moments { grads: zeros()?, m: zeros()?, v: zeros()?, ema })
    }

    /// One optimiser step.
    pub(crate) fn update(
        &mut self,
        hyper: &Hyper<'_>,
        state: &mut Moments<B>,
    ) -> Result<(), KernelError> {
        // A view owns nothing; dropping it would come after what it is lent to for as long as it lives.
        let average = Average { decay: 0.9999, values: state.ema.view_mut() };
        let mut averages = ManuallyDrop::new([average]);
        let arenas = Arenas::<B::Wide, B::Act, B::Memory> {
            params: self.full.view_mut(),
            grads: state.grads.view(),
            m: state.m.view_mut(),
            v: state.v.view_mut(),
            averages: &mut *averages,
            compute_copy: B::Act::IS_ROUNDED.then(|| self.rounded.view_mut()),
        };
        self.dis.backend().adamw_ema(hyper, arenas)
    }
}

fn input<'a, B: Backend>(
    x: &'a Buf<B, B::Wide>,
    condition: Condition<'a>,
) -> Input<'a, B::Wide, B::Memory> {
    let Condition { timesteps, labels } = condition;
    Input { x: x.view(), timesteps, labels, drop_path: None }
}

impl<B: Backend<Wide = f32>> Network for Loaded<B>
where
    B::Act: Rounds<f32>,
{
    fn config(&self) -> &DisConfig {
        self.dis.config()
    }

    fn load(&mut self, weights: &[f32]) -> Result<(), ModelError> {
        self.replace(weights)
    }

    fn evaluate(
        &mut self,
        x: &[f32],
        timesteps: &[f64],
        labels: Option<&[u32]>,
    ) -> Result<&[f32], ModelError> {
        self.put(x, timesteps.len())?;
        self.forward(Condition { timesteps, labels })?;
        self.output()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dis_model::DisPreset;
    use dis_model::init::{InitOptions, init};
    use ssm_kernels::{Cpu, CpuBf16};

    /// A network that is given other weights, and batches of other sizes, is the one made for them.
    fn check<B: Backend<Wide = f32>>(backend: &B)
    where
        B::Act: Rounds<f32>,
    {
        let official = DisConfig::official(DisPreset::S, 8, 3, 2, 4);
        let config = DisConfig { hidden_size: 32, depth: 2, ..official };
        let layout = ParamLayout::new(&config);
        let weights = |seed| init(&config, &layout, &InitOptions::official(), seed);
        let network = |weights: &[f32]| {
            Loaded::for_inference(backend.clone(), config.clone(), weights).unwrap()
        };
        let x: Vec<f32> = (0..3 * config.image_len()).map(|i| (i as f32 * 0.7).sin()).collect();
        let mut one = network(&weights(1));
        for (seed, images) in [(1, 1), (2, 1), (2, 3), (3, 2)] {
            let mut fresh = network(&weights(seed));
            one.load(&weights(seed)).unwrap();
            let (x, times) = (&x[..images * config.image_len()], vec![500.0; images]);
            let labels = vec![seed as u32; images];
            let expected = fresh.evaluate(x, &times, Some(&labels)).unwrap();
            assert_eq!(expected.len(), images * config.output_len());
            assert_eq!(one.evaluate(x, &times, Some(&labels)).unwrap(), expected);
        }
    }

    #[test]
    fn weights_and_batches_can_change() {
        check(&Cpu);
        check(&CpuBf16);
    }

    #[cfg(feature = "emulated")]
    #[test]
    fn weights_and_batches_can_change_on_a_device() {
        use ssm_kernels::device::{Device, emulated::Fast};
        let emulator = std::sync::Arc::new(Fast::new().unwrap());
        check(&Device::<f32, Fast>::new(emulator.clone()));
        check(&Device::<bf16, Fast>::new(emulator));
    }
}
