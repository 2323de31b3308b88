//! What a data set is, and in which order a run sees it.

use crate::{DataError, flip_horizontally};
use philox::{Draws, Permutation, Purpose};

/// Size of every image of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// Channels: 3 for RGB.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl ImageShape {
    /// Elements of one image.
    pub const fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether an image has no element.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a sample is as it is stored, before it is prepared for a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// How the image is stored: `PNG`, `JPEG`, `npy` or `pixels`.
    pub format: &'static str,
    /// What its pixels are: `RGB`, `grey`, `palette` and the like.
    pub colour: &'static str,
    /// Label, as [`Dataset::load`] returns it.
    pub label: u32,
}

/// One visit to a sample: the source of whatever a data set draws anew each time it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Seed of the run.
    pub seed: u64,
    /// Global sample index since the start of the run.
    pub position: u64,
}

impl Visit {
    /// The random numbers of this visit for a purpose.
    pub const fn draws(&self, purpose: Purpose) -> Draws {
        Draws::new(self.seed, purpose, self.position)
    }
}

/// Images with labels, read by index from several threads.
pub trait Dataset: Send + Sync {
    /// The kind of data, as configurations spell it: `cifar10`.
    fn name(&self) -> &str;

    /// Number of samples.
    fn len(&self) -> u64;

    /// Whether there are no samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of every image.
    fn shape(&self) -> ImageShape;

    /// Number of classes; zero where samples have no labels.
    fn num_classes(&self) -> usize;

    /// Name of a class, where `label` is one.
    fn class_name(&self, label: u32) -> Option<&str>;

    /// Writes image `index` to `out`, `[C, H, W]` in [-1, 1], and returns its label (0 where samples
    /// have none).
    ///
    /// The result depends on `index` and, where a data set draws something anew on each visit, on
    /// `visit`; on nothing else. Whether to mirror is the loader's to draw.
    ///
    /// # Errors
    /// When the sample cannot be read.
    ///
    /// # Panics
    /// When `index` is not below [`Dataset::len`] or `out` is not [`ImageShape::len`] long.
    fn load(&self, index: u64, visit: Visit, out: &mut [f32]) -> Result<u32, DataError>;

    /// Where a sample comes from, for people: a file, and its member where the file is an archive.
    fn sample_name(&self, index: u64) -> String {
        format!("sample {index}")
    }

    /// Decodes a sample completely and says what is stored, or what is wrong with it.
    ///
    /// Whatever [`Dataset::load`] would refuse is refused here too.
    ///
    /// # Errors
    /// When the sample cannot be read.
    ///
    /// # Panics
    /// When `index` is not below [`Dataset::len`].
    fn probe(&self, index: u64) -> Result<Probe, DataError> {
        let ImageShape { channels, height, width } = self.shape();
        let visit = Visit { seed: 0, position: 0 };
        let label = self.load(index, visit, &mut vec![0.0; self.shape().len()])?;
        let colour = match channels {
            1 => "grey",
            3 => "RGB",
            _ => "other",
        };
        Ok(Probe { width, height, format: "pixels", colour, label })
    }

    /// The same for the image mirrored left to right.
    ///
    /// # Errors
    /// Those of [`Dataset::load`].
    ///
    /// # Panics
    /// As [`Dataset::load`] does.
    fn load_mirrored(&self, index: u64, visit: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        let label = self.load(index, visit, out)?;
        flip_horizontally(out, self.shape());
        Ok(label)
    }
}

/// The sample that a run visits at a position, of a data set of `len` samples.
///
/// Place `position mod len` of epoch `position / len`, through that epoch's [`Permutation`].
///
/// # Panics
/// When `len` is zero.
pub fn sample_index(seed: u64, len: u64, position: u64) -> u64 {
    Permutation::new(seed, len).index(position / len, position % len)
}

/// Panics unless a `load` was asked for a sample that exists, into an image of the right size.
#[track_caller]
pub(crate) fn check_load(dataset: &impl Dataset, index: u64, out: &[f32]) {
    let (name, len, shape) = (dataset.name(), dataset.len(), dataset.shape());
    assert!(index < len, "sample {index} of {name}, which has {len}");
    assert_eq!(out.len(), shape.len(), "elements for an image of {name}, {shape:?}");
}
