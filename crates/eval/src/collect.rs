//! Features as they come, to what metrics need of them.

use crate::fingerprint::Fingerprint;
use crate::inception_score::{InceptionScore, ScoreAccumulator, Splits};
use crate::statistics::{Accumulator, Statistics};
use crate::{EvalError, FeatureBatch, FeatureNetwork, Rows};

/// What is kept of the features of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Mean and covariance of the spatial features.
    pub spatial: bool,
    /// The Inception Score, and how images are divided for it.
    pub score: Option<Splits>,
    /// Every row of the pool features: 4 bytes a number, 8 KiB an image.
    pub rows: bool,
}

/// Rows that stand on their own.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureRows {
    values: Vec<f32>,
    dim: usize,
}

impl FeatureRows {
    /// A view of all.
    ///
    /// # Errors
    /// Never for rows that a [`Collector`] kept.
    pub fn view(&self) -> Result<Rows<'_>, EvalError> {
        Rows::new(&self.values, self.dim)
    }
}

/// What is known of a set of images.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How features were made, and of what.
    pub fingerprint: Fingerprint,
    /// Mean and covariance of the pool features.
    pub pool: Statistics,
    /// Mean and covariance of the spatial features.
    pub spatial: Option<Statistics>,
    /// The Inception Score of the set.
    pub score: Option<InceptionScore>,
    /// All pool features.
    pub rows: Option<FeatureRows>,
    /// Class of each row; empty where there are none.
    pub labels: Vec<u32>,
}

impl Measured {
    /// What is known from mean and covariance alone.
    pub fn from_statistics(
        fingerprint: Fingerprint,
        pool: Statistics,
        spatial: Option<Statistics>,
    ) -> Self {
        Self { fingerprint, pool, spatial, score: None, rows: None, labels: Vec::new() }
    }

    /// Number of images, where it is known.
    pub fn count(&self) -> Option<u64> {
        self.pool.count.or(self.fingerprint.origin.count)
    }
}

/// Takes in features batch by batch. Memory does not grow with their number, unless rows are kept.
///
/// The result depends on the rows and their order alone, not on how they are cut into batches.
#[derive(Debug)]
pub struct Collector {
    pool: Accumulator,
    spatial: Option<Accumulator>,
    score: Option<ScoreAccumulator>,
    rows: Option<FeatureRows>,
    classes: usize,
}

impl Collector {
    /// For `total` images of a network with these outputs.
    ///
    /// # Errors
    /// [`EvalError::Input`] when something is to be kept that the network does not give.
    pub fn new(
        network: &(impl FeatureNetwork + ?Sized),
        keep: Keep,
        total: u64,
    ) -> Result<Self, EvalError> {
        Self::of_layers([network.dim(), network.spatial_dim(), network.classes()], keep, total)
    }

    /// As [`Collector::new`], for lengths of the rows of pool, spatial features and logits.
    ///
    /// # Errors
    /// As [`Collector::new`].
    pub fn of_layers(layers: [usize; 3], keep: Keep, total: u64) -> Result<Self, EvalError> {
        let [dim, spatial_dim, classes] = layers;
        let lacks = |what: &str, dim: usize| match dim {
            0 => Err(EvalError::input(what, "absent", "a layer of the features")),
            dim => Ok(dim),
        };
        let spatial =
            keep.spatial.then(|| lacks("the spatial features", spatial_dim)).transpose()?;
        let score = match keep.score {
            Some(splits) => {
                Some(ScoreAccumulator::new(lacks("the logits", classes)?, splits, total)?)
            }
            None => None,
        };
        Ok(Self {
            pool: Accumulator::new(lacks("the features", dim)?),
            spatial: spatial.map(Accumulator::new),
            score,
            rows: keep.rows.then(|| FeatureRows { values: Vec::new(), dim }),
            classes,
        })
    }

    /// Takes in the features of some images.
    ///
    /// # Errors
    /// [`EvalError::NotFinite`] for NaN and infinite features, [`EvalError::Input`] for rows of
    /// other lengths.
    pub fn push(&mut self, batch: &FeatureBatch) -> Result<(), EvalError> {
        self.pool.push(Rows::new(&batch.pool, self.pool.dim())?)?;
        if let Some(spatial) = &mut self.spatial {
            spatial.push(Rows::new(&batch.spatial, spatial.dim())?)?;
        }
        if let Some(score) = &mut self.score {
            score.push(Rows::new(&batch.logits, self.classes)?)?;
        }
        if let Some(rows) = &mut self.rows {
            rows.values.extend_from_slice(&batch.pool);
        }
        Ok(())
    }

    /// What came of all of them.
    ///
    /// # Errors
    /// [`EvalError::Input`] for fewer than two images, of which there is no covariance, and for
    /// another number than was announced where the Inception Score needs it.
    pub fn finish(self, fingerprint: Fingerprint, labels: Vec<u32>) -> Result<Measured, EvalError> {
        Ok(Measured {
            fingerprint,
            pool: self.pool.finish()?,
            spatial: self.spatial.map(|spatial| spatial.finish()).transpose()?,
            score: self.score.map(|score| score.finish()).transpose()?,
            rows: self.rows,
            labels,
        })
    }
}
