//! What turns images into features.

use crate::EvalError;

/// Images of one size, `[N, H, W, 3]` bytes.
#[derive(Clone, Copy, Debug)]
pub struct ImageBatch<'a> {
    pixels: &'a [u8],
    height: usize,
    width: usize,
}

impl<'a> ImageBatch<'a> {
    /// Images of `height x width` pixels.
    ///
    /// # Errors
    /// [`EvalError::Input`] when a side is 0 or `pixels` are no whole images.
    pub fn new(pixels: &'a [u8], height: usize, width: usize) -> Result<Self, EvalError> {
        let image = height.checked_mul(width).and_then(|area| area.checked_mul(3)).unwrap_or(0);
        if image == 0 || !pixels.len().is_multiple_of(image) {
            let expected = format!("whole images of {height}x{width}x3 bytes");
            return Err(EvalError::input("number of bytes", pixels.len(), expected));
        }
        Ok(Self { pixels, height, width })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.image_len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One image, `[H, W, 3]`.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn image(&self, index: usize) -> &'a [u8] {
        &self.pixels[index * self.image_len()..][..self.image_len()]
    }

    fn image_len(&self) -> usize {
        self.height * self.width * 3
    }
}

/// Features of some images, one row an image. A network that has no spatial features, or no classes,
/// leaves them empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureBatch {
    /// `[N, dim]`: what FID, precision and recall compare.
    pub pool: Vec<f32>,
    /// `[N, spatial_dim]`: what sFID compares.
    pub spatial: Vec<f32>,
    /// `[N, classes]`: what the Inception Score is made of.
    pub logits: Vec<f32>,
}

/// Turns images into features.
pub trait FeatureNetwork: Send {
    /// Length of a row of [`FeatureBatch::pool`].
    fn dim(&self) -> usize;

    /// Length of a row of [`FeatureBatch::spatial`]; 0 where there are none.
    fn spatial_dim(&self) -> usize;

    /// Length of a row of [`FeatureBatch::logits`]; 0 where there are none.
    fn classes(&self) -> usize;

    /// Features of some images, the same bits in whatever batches they come.
    ///
    /// # Errors
    /// [`EvalError`] when images are refused or a device lacks memory.
    fn features(&mut self, images: ImageBatch<'_>) -> Result<FeatureBatch, EvalError>;
}
