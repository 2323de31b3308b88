//! What every layer of one pass shares.

use crate::config::DisConfig;

/// Sizes and parameters of the network that a pass runs through.
pub(crate) struct Net<'a, T> {
    pub(crate) c: &'a DisConfig,
    /// The whole arena.
    pub(crate) params: &'a [T],
}

impl<T> Clone for Net<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Net<'_, T> {}
