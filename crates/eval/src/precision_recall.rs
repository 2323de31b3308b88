//! Precision, recall, density and coverage by nearest neighbours.
//!
//! The radius of an image is the distance to the `k`-th nearest *other* image of its own set, and the
//! balls of these radii are what a set covers.
//!
//! | metric | share of | that |
//! |---|---|---|
//! | precision | generated images | lie in a ball of a reference image |
//! | recall | reference images | lie in a ball of a generated image |
//! | coverage | reference images | have a generated image in their ball |
//! | density | pairs, times `N / k` | are a generated image in the ball of a reference image |
//!
//! The distance of two rows is *defined* as the f64 sum of their squared differences from the first
//! column to the last, and the counts are those of this definition, to the last pair. They are found
//! with f32 products, which decide nearly every pair because the error of their distances is known;
//! the pairs they leave open are computed by the definition. So neither tiles nor threads nor the
//! instruction set change a count.
//!
//! # Source
//! Precision and recall: Kynkäänniemi et al., arXiv 1904.06991, equations 1 and 2.
//! Density and coverage: Naeem et al., arXiv 2002.09797, equations 3 and 4.
//! ADM's evaluation computes distances in f16 where they are finite, which moves its recall in the
//! third digit (0.242 for 0.235 on synthetic features); no rounding is copied here.

mod balls;
mod per_class;
mod radii;
mod space;

use crate::{EvalError, Rows};
use balls::Balls;
pub use per_class::{ClassScores, per_class};
use space::{Set, Space};

/// Whether an image on the surface of a ball is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is: distance `<=` radius. Kynkäänniemi's code and ADM's evaluation.
    AtMost,
    /// It is not: distance `<` radius. The code of density and coverage, and dgm-eval.
    Below,
}

impl Comparison {
    /// Whether a squared distance counts as inside a squared radius.
    fn holds(self, distance: f64, radius: f64) -> bool {
        match self {
            Self::AtMost => distance <= radius,
            Self::Below => distance < radius,
        }
    }
}

/// How neighbours are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which neighbour makes a radius, from 1.
    pub k: usize,
    /// What happens on the surface.
    pub comparison: Comparison,
    /// Most rows of a block of distances. It changes speed and memory, never a result: a block has
    /// `tile^2` numbers and twice `tile` rows of features.
    pub tile: usize,
}

impl Options {
    /// ADM's evaluation: the third neighbour, surfaces inside.
    pub const ADM: Self = Self { k: 3, comparison: Comparison::AtMost, tile: 2048 };
}

/// What the metrics are shares of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Generated images in a ball of the reference.
    pub precision: u64,
    /// Reference images in a ball of what was generated.
    pub recall: u64,
    /// Pairs of a generated image and a ball of the reference that it lies in.
    pub density: u64,
    /// Reference images whose ball has a generated image.
    pub coverage: u64,
}

/// Precision, recall, density and coverage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrecisionRecall {
    /// Share of generated images that look real, 0 to 1.
    pub precision: f64,
    /// Share of reference images that could have been generated, 0 to 1.
    pub recall: f64,
    /// Balls of the reference around a generated image, relative to `k`; may exceed 1.
    pub density: f64,
    /// Share of reference images with a generated one in their ball, 0 to 1.
    pub coverage: f64,
    /// What these are shares of.
    pub counts: Counts,
    /// Which neighbour made a radius.
    pub k: usize,
    /// Number of reference images.
    pub reference: usize,
    /// Number of generated images.
    pub generated: usize,
    /// Pairs of a generated and a reference image that f32 left open. It depends on tiles and on the
    /// instruction set, the counts do not.
    pub guarded: u64,
}

/// Compares generated images with a reference by their features.
///
/// `progress` is told the share of the work that is done, up to 1, from the calling thread.
/// Memory beside the features is a few blocks of `options.tile` rows, never a matrix of all pairs.
///
/// # Errors
/// [`EvalError::Input`] when rows differ in length or are longer than 2^20, when a set has not more
/// than `k` rows, and when `k` or `tile` is 0; [`EvalError::NotFinite`] for a feature that is none.
pub fn precision_recall(
    reference: Rows<'_>,
    generated: Rows<'_>,
    options: &Options,
    progress: &(dyn Fn(f64) + Sync),
) -> Result<PrecisionRecall, EvalError> {
    check(reference, generated, options)?;
    let space = Space::around(reference, generated);
    let [reference, generated] = [reference, generated].map(|rows| Set::new(rows, &space));
    let mut work = Work::new(reference.len(), generated.len(), progress);
    let tile = options.tile;
    let [of_reference, of_generated] = [
        radii::squared(&space, &reference, options.k, tile, &mut work)?,
        radii::squared(&space, &generated, options.k, tile, &mut work)?,
    ];
    let shape = [reference.len(), generated.len()];
    let reference = Balls::new(&space, reference, of_reference);
    let generated = Balls::new(&space, generated, of_generated);
    let (counts, guarded) =
        balls::count(&space, &reference, &generated, options.comparison, tile, &mut work)?;
    Ok(PrecisionRecall::new(counts, guarded, options.k, shape))
}

impl PrecisionRecall {
    fn new(counts: Counts, guarded: u64, k: usize, shape: [usize; 2]) -> Self {
        let [reference, generated] = shape;
        let share = |count: u64, of: usize| count as f64 / of as f64;
        Self {
            precision: share(counts.precision, generated),
            recall: share(counts.recall, reference),
            density: share(counts.density, generated) / k as f64,
            coverage: share(counts.coverage, reference),
            counts,
            k,
            reference,
            generated,
            guarded,
        }
    }
}

/// Refuses what has no radii or no distances.
fn check(reference: Rows<'_>, generated: Rows<'_>, options: &Options) -> Result<(), EvalError> {
    let Options { k, tile, .. } = *options;
    if k == 0 {
        return Err(EvalError::input("k of precision and recall", k, "1 or more"));
    }
    if tile == 0 {
        return Err(EvalError::input("tile of precision and recall", tile, "1 or more"));
    }
    if reference.dim() != generated.dim() {
        let expected = format!("{}, as in the reference", reference.dim());
        return Err(EvalError::input("length of generated features", generated.dim(), expected));
    }
    if reference.dim() > space::MOST_COLUMNS {
        let expected = format!("at most {}", space::MOST_COLUMNS);
        return Err(EvalError::input("length of features", reference.dim(), expected));
    }
    for (what, rows) in [("reference", reference), ("generated", generated)] {
        if rows.len() <= k {
            let expected = format!("more than k = {k}");
            return Err(EvalError::input(format!("number of {what} rows"), rows.len(), expected));
        }
        rows.check_finite(&format!("{what} features"))?;
    }
    Ok(())
}

/// How much of the work is done, in pairs of rows.
struct Work<'a> {
    done: f64,
    all: f64,
    progress: &'a (dyn Fn(f64) + Sync),
}

impl<'a> Work<'a> {
    fn new(reference: usize, generated: usize, progress: &'a (dyn Fn(f64) + Sync)) -> Self {
        let [n, m] = [reference as f64, generated as f64];
        // Half of the pairs within a set and its diagonal, and all across.
        let all = n * (n + 1.0) / 2.0 + m * (m + 1.0) / 2.0 + n * m;
        Self { done: 0.0, all, progress }
    }

    /// `pairs` more are done.
    fn advance(&mut self, pairs: f64) {
        self.done += pairs;
        (self.progress)(self.done / self.all);
    }
}
