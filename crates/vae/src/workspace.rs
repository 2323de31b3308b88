//! The memory of a pass.

use crate::config::VaeConfig;
use crate::layers::score_rows;
use crate::layout::{decoder_levels, encoder_levels};
use ssm_kernels::patchify::{Inner, Shape};
use ssm_kernels::{Backend, Buf, Element, ImageBackend, KernelError, Storage, View, ViewMut};

/// Shape of an activation, channels last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) batch: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Size {
    /// Elements of all images.
    pub(crate) fn len(self) -> usize {
        self.batch * self.pixels() * self.channels
    }

    /// Pixels of one image.
    pub(crate) fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// Elements of the buffers of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Of each of the three buffers of activations.
    pub(crate) activation: usize,
    /// Of the scores of attention.
    pub(crate) scores: usize,
    /// Of what goes in or comes out.
    pub(crate) edge: usize,
}

impl Need {
    /// What encoder and decoder need for images of `height` x `width`, in the format `T`.
    ///
    /// The largest activation is that of a level with most pixels times channels. In attention
    /// queries, keys and values stand together.
    pub(crate) fn of<T>(config: &VaeConfig, batch: usize, height: usize, width: usize) -> Self {
        let levels = config.block_out_channels.len();
        let pixels = |level: usize| (height >> level) * (width >> level);
        let at = |level: usize, (input, out): (usize, usize)| pixels(level) * input.max(out);
        let encoder = encoder_levels(config).into_iter().enumerate().map(|(i, io)| at(i, io));
        let decoder = decoder_levels(config).into_iter().enumerate();
        let decoder = decoder.map(|(i, io)| at(levels - 1 - i, io));
        let coarsest = pixels(levels - 1);
        let (qkv, scores) = match config.mid_block_add_attention {
            true => (3 * config.deepest(), score_rows::<T>(coarsest) * coarsest),
            false => (0, 0),
        };
        let edges = [
            pixels(0) * config.in_channels.max(config.out_channels),
            coarsest * 2 * config.latent_channels,
        ];
        let edge = edges[0].max(edges[1]);
        let rest = [coarsest * qkv, edge];
        let activation = encoder.chain(decoder).chain(rest).fold(0, usize::max);
        Self { activation: batch * activation, scores, edge: batch * edge }
    }

    /// Bytes in the formats of backend `B`.
    pub(crate) fn bytes<B: Backend>(self) -> usize {
        (3 * self.activation + self.scores) * size_of::<B::Act>() + self.edge * size_of::<B::Wide>()
    }
}

/// Buffers that are made for the largest images so far, and reused.
#[derive(Debug)]
pub(crate) struct Workspace<B: Backend> {
    /// The current activation.
    pub(crate) x: Buf<B, B::Act>,
    /// Shape of `x`, which may have more elements than that.
    pub(crate) size: Size,
    /// What a norm gives.
    pub(crate) normed: Buf<B, B::Act>,
    /// What a convolution gives; then it takes the place of `x`.
    pub(crate) next: Buf<B, B::Act>,
    /// Attention, query by key.
    pub(crate) scores: Buf<B, B::Act>,
    /// What goes in or comes out, channels first.
    pub(crate) edge: Buf<B, B::Wide>,
    /// Working memory of operators.
    pub(crate) scratch: B::Scratch,
}

impl<B: ImageBackend> Workspace<B> {
    /// No memory yet.
    pub(crate) fn new() -> Self {
        Self {
            x: Buf::<B, B::Act>::default(),
            size: Size::default(),
            normed: Buf::<B, B::Act>::default(),
            next: Buf::<B, B::Act>::default(),
            scores: Buf::<B, B::Act>::default(),
            edge: Buf::<B, B::Wide>::default(),
            scratch: B::Scratch::default(),
        }
    }

    /// Makes images `[B, C, H, W]` the current activation of a pass that needs `need`.
    pub(crate) fn enter(
        &mut self,
        backend: &B,
        need: Need,
        images: &[B::Wide],
        size: Size,
    ) -> Result<(), KernelError> {
        for buffer in [&mut self.x, &mut self.normed, &mut self.next] {
            grow::<B, B::Act>(backend, buffer, need.activation)?;
        }
        grow::<B, B::Act>(backend, &mut self.scores, need.scores)?;
        grow::<B, B::Wide>(backend, &mut self.edge, need.edge)?;
        self.size = size;
        backend.upload(images, self.edge.view_mut().part(0..size.len()))?;
        let tokens = self.x.view_mut().part(0..size.len());
        backend.patch_gather(&pixels_as_patches(size), self.edge.view().part(0..size.len()), tokens)
    }

    /// The current activation as images `[B, C, H, W]` on the host.
    pub(crate) fn leave(&mut self, backend: &B) -> Result<Vec<B::Wide>, KernelError> {
        let size = self.size;
        let tokens = self.x.view().part(0..size.len());
        let edge = self.edge.view_mut().part(0..size.len());
        backend.patch_scatter(&pixels_as_patches(size), tokens, edge)?;
        let mut images = vec![B::Wide::default(); size.len()];
        backend.download(self.edge.view().part(0..size.len()), &mut images)?;
        Ok(images)
    }

    /// What was written to `next` is the current activation.
    pub(crate) fn swap_next(&mut self) {
        std::mem::swap(&mut self.x, &mut self.next);
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

/// Patches of one pixel: channels first to channels last and back.
fn pixels_as_patches(size: Size) -> Shape {
    let Size { batch, height, width, channels } = size;
    Shape { batch, channels, height, width, patch: 1, extra: 0, inner: Inner::ChannelFirst }
}
