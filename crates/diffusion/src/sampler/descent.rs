//! The way down a grid that ancestral and implicit sampling share.

use super::SampleRequest;
use crate::{DiffusionTable, TableRow};

/// A place on a grid, going from its last (noisiest) entry to its first.
#[derive(Clone, Debug)]
pub(super) struct Descent {
    table: DiffusionTable,
    /// The entry the state is at; `None` when done.
    t: Option<usize>,
}

impl Descent {
    /// At the last entry.
    pub(super) fn new(table: DiffusionTable) -> Self {
        let t = Some(table.len() - 1);
        Self { table, t }
    }

    /// At entry `t`.
    pub(super) fn starting_at(self, t: usize) -> Self {
        assert!(t < self.table.len(), "entry {t} of a grid of {}", self.table.len());
        Self { t: Some(t), ..self }
    }

    /// Number of entries of the grid.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The evaluation at the present entry; entries count from the noisiest.
    pub(super) fn request(&self) -> Option<SampleRequest> {
        self.t.map(|t| SampleRequest::at(self.table[t].node(), self.table.len() - 1 - t))
    }

    /// The present entry with the index of its draw, after which the descent is one entry lower.
    pub(super) fn take(&mut self) -> (TableRow, u32) {
        let t = self.t.expect("a sampler advances only while it has a request");
        self.t = t.checked_sub(1);
        (self.table[t], (self.table.len() - 1 - t) as u32)
    }
}
