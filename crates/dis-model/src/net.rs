//! What every layer of one pass shares.

use crate::config::DisConfig;
use ssm_kernels::{
    Backend, Buf, Element, HostBackend, KernelError, Mat, MatMut, Mut, Ref, View, ViewMut,
};
use std::mem::ManuallyDrop;
use std::ops::Range;

/// Memory of an activation.
pub(crate) type ActBuf<B> = Buf<B, <B as Backend>::Act>;
/// Memory of what is kept in the wide format.
pub(crate) type WideBuf<B> = Buf<B, <B as Backend>::Wide>;
/// An activation as an operand of a product.
pub(crate) type ActMat<'a, B> = Mat<'a, <B as Backend>::Act, <B as Backend>::Memory>;
/// An activation as the result of a product.
pub(crate) type ActMatMut<'a, B> = MatMut<'a, <B as Backend>::Act, <B as Backend>::Memory>;

/// The arena of parameters, in the formats of backend `B`.
#[derive(Debug)]
pub struct Params<'a, B: Backend> {
    /// All digits.
    pub full: Ref<'a, B, B::Wide>,
    /// As matrix products read them.
    pub compute: Ref<'a, B, B::Act>,
}

impl<B: Backend> Clone for Params<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Params<'_, B> {}

impl<B: Backend> Params<'_, B> {
    /// The same arena for a shorter time.
    pub(crate) fn reborrow(&self) -> Params<'_, B> {
        Params { full: self.full.reborrow(), compute: self.compute.reborrow() }
    }
}

impl<'a, B: HostBackend> Params<'a, B> {
    /// Both are one on a host.
    pub fn host(arena: &'a [B::Elem]) -> Self {
        Self { full: arena, compute: arena }
    }
}

/// Who computes, sizes and parameters of the network, images of the batch.
#[derive(Debug)]
pub(crate) struct Net<'a, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) c: &'a DisConfig,
    pub(crate) batch: usize,
    pub(crate) params: Params<'a, B>,
}

impl<B: Backend> Net<'_, B> {
    /// Tokens of all images.
    pub(crate) fn rows(&self) -> usize {
        self.batch * self.c.seq_len()
    }

    /// A parameter.
    pub(crate) fn param(&self, range: &Range<usize>) -> Ref<'_, B, B::Wide> {
        self.params.full.reborrow().part(range.clone())
    }

    /// A weight as products read it.
    pub(crate) fn weight(&self, range: &Range<usize>) -> Ref<'_, B, B::Act> {
        self.params.compute.reborrow().part(range.clone())
    }
}

/// Views that are lent to an operator as a slice of their own lifetime. They own nothing, and must
/// not be dropped after that: a drop could look at what was lent.
pub(crate) type Lent<T> = ManuallyDrop<T>;

/// The gradient of a parameter in the arena `grads`.
pub(crate) fn grad<'g, B: Backend>(
    grads: &'g mut Mut<'_, B, B::Wide>,
    range: &Range<usize>,
) -> Mut<'g, B, B::Wide> {
    grads.reborrow().part(range.clone())
}

/// Makes the buffers of a network for one batch size.
pub(crate) struct Allocator<'a, B> {
    pub(crate) backend: &'a B,
    pub(crate) c: &'a DisConfig,
    pub(crate) batch: usize,
}

impl<B: Backend> Allocator<'_, B> {
    /// `n` zeros for every image.
    pub(crate) fn images<T: Element>(&self, n: usize) -> Result<Buf<B, T>, KernelError> {
        self.backend.zeros(self.batch * n)
    }

    /// `n` zeros for every token.
    pub(crate) fn tokens<T: Element>(&self, n: usize) -> Result<Buf<B, T>, KernelError> {
        self.images(self.c.seq_len() * n)
    }

    /// Two of [`Allocator::tokens`], one for each scan order.
    pub(crate) fn token_pair<T: Element>(&self, n: usize) -> Result<[Buf<B, T>; 2], KernelError> {
        Ok([self.tokens(n)?, self.tokens(n)?])
    }
}
