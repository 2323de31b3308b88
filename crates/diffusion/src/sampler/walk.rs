//! The way along a grid that samplers in `lambda` share.

use super::SampleRequest;
use crate::{Grid, NoiseLevel};

/// A place on a grid, going from its first (noisiest) evaluation to its last.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    grid: Grid,
    /// The evaluation the state is at; the grid's length when done.
    i: usize,
}

impl Walk {
    /// At the first evaluation.
    pub(super) fn new(grid: Grid) -> Self {
        Self { grid, i: 0 }
    }

    /// Number of evaluations.
    pub(super) fn len(&self) -> usize {
        self.grid.nodes().len()
    }

    /// The level of evaluation `i`, and after the last the end.
    pub(super) fn level(&self, i: usize) -> NoiseLevel {
        self.grid.level(i)
    }

    /// The present evaluation.
    pub(super) fn request(&self) -> Option<SampleRequest> {
        self.grid.nodes().get(self.i).map(|&node| SampleRequest::at(node, self.i))
    }

    /// The number of the present evaluation, after which the walk is one further.
    pub(super) fn take(&mut self) -> usize {
        assert!(self.i < self.len(), "a sampler advances only while it has a request");
        self.i += 1;
        self.i - 1
    }
}
