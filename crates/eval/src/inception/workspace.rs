//! The memory of a pass.

use super::layers::{CLASSES, POOL, SIDE, Stage};
use crate::resize::CHANNELS;
use ssm_kernels::patchify::{Inner, Shape};
use ssm_kernels::{Backend, Buf, Element, ImageBackend, KernelError, Storage, View, ViewMut};

/// Elements of the buffers, for one image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Of each of the two maps that a stage reads and writes.
    map: usize,
    /// Of each of the two maps between layers of a branch.
    inner: usize,
    /// Of what goes in or comes out.
    edge: usize,
}

impl Need {
    /// What the stages need.
    pub(super) fn of(stages: &[Stage]) -> Self {
        let image = SIDE * SIDE * CHANNELS;
        let mut need = Self { map: image, inner: POOL + CLASSES, edge: image };
        let mut side = SIDE;
        for stage in stages {
            for branch in &stage.branches {
                let mut side = side;
                for layer in &branch.chain {
                    side = layer.out_side(side);
                    need.inner = need.inner.max(side * side * layer.outputs());
                }
            }
            side = stage.out_side(side);
            need.map = need.map.max(side * side * stage.outputs());
        }
        need
    }

    /// Bytes for so many images in the formats of backend `B`.
    pub(super) fn bytes<B: Backend>(self, batch: usize) -> usize {
        let activations = 2 * (self.map + self.inner) * size_of::<B::Act>();
        batch * (activations + self.edge * size_of::<B::Wide>())
    }
}

/// Buffers that are made for the most images so far, and reused.
#[derive(Debug)]
pub(super) struct Workspace<B: Backend> {
    /// The map that a stage reads.
    pub(super) x: Buf<B, B::Act>,
    /// The map that it writes; then it takes the place of `x`.
    pub(super) next: Buf<B, B::Act>,
    /// What a layer inside a branch writes, and what it reads.
    pub(super) inner: [Buf<B, B::Act>; 2],
    /// What goes in or comes out.
    edge: Buf<B, B::Wide>,
    /// Working memory of operators.
    pub(super) scratch: B::Scratch,
}

impl<B: ImageBackend> Workspace<B> {
    /// No memory yet.
    pub(super) fn new() -> Self {
        Self {
            x: Buf::<B, B::Act>::default(),
            next: Buf::<B, B::Act>::default(),
            inner: [Buf::<B, B::Act>::default(), Buf::<B, B::Act>::default()],
            edge: Buf::<B, B::Wide>::default(),
            scratch: B::Scratch::default(),
        }
    }

    /// Makes images `[B, H, W, 3]` the current map of a pass that needs `need` for each.
    pub(super) fn enter(
        &mut self,
        backend: &B,
        need: Need,
        images: &[B::Wide],
    ) -> Result<(), KernelError> {
        let batch = images.len() / (SIDE * SIDE * CHANNELS);
        for map in [&mut self.x, &mut self.next] {
            grow::<B, B::Act>(backend, map, batch * need.map)?;
        }
        for inner in &mut self.inner {
            grow::<B, B::Act>(backend, inner, batch * need.inner)?;
        }
        grow::<B, B::Wide>(backend, &mut self.edge, batch * need.edge)?;
        backend.upload(images, self.edge.view_mut().part(0..images.len()))?;
        let shape = in_order(batch, images.len());
        let edge = self.edge.view().part(0..images.len());
        backend.patch_gather(&shape, edge, self.x.view_mut().part(0..images.len()))
    }

    /// The first elements of `inner[0]`, `each` of every image, on the host.
    pub(super) fn leave(
        &mut self,
        backend: &B,
        batch: usize,
        each: usize,
    ) -> Result<Vec<B::Wide>, KernelError> {
        let len = batch * each;
        let edge = self.edge.view_mut().part(0..len);
        backend.patch_scatter(&in_order(batch, len), self.inner[0].view().part(0..len), edge)?;
        let mut values = vec![B::Wide::default(); len];
        backend.download(self.edge.view().part(0..len), &mut values)?;
        Ok(values)
    }
}

/// Makes `buffer` at least `len` long; what it held is lost.
fn grow<B: Backend, T: Element>(
    backend: &B,
    buffer: &mut Buf<B, T>,
    len: usize,
) -> Result<(), KernelError> {
    if buffer.view().len() < len {
        // The old memory goes first: there is no need for both.
        *buffer = Buf::<B, T>::default();
        *buffer = backend.zeros(len)?;
    }
    Ok(())
}

/// Patches of one pixel of one channel: every element stays where it is, only its format changes.
fn in_order(batch: usize, len: usize) -> Shape {
    let width = len / batch;
    Shape { batch, channels: 1, height: 1, width, patch: 1, extra: 0, inner: Inner::ChannelFirst }
}
