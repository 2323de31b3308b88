//! Where the channels of an image lie in a flat slice.

/// Images `[B, C, H, W]`, row-major: channel `c` of an image is a contiguous run of `H·W` elements.
///
/// Only three things need the channel axis: splitting a learned variance from the prediction,
/// choosing guided channels, and the length of one image. All three are answered here, so another
/// order (tokens `[B, L, P·P·C]`, channel fastest) means another set of these answers and no change
/// in an objective, a sampler or the guidance rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLayout {
    /// Channels `C` of the image, not of the model output.
    pub channels: usize,
    /// Pixels `H·W` of one channel.
    pub pixels: usize,
}

impl ImageLayout {
    /// Elements of one image, `C·H·W`.
    pub fn image_len(self) -> usize {
        self.channels * self.pixels
    }

    /// Elements of one model output of `output_channels` channels.
    pub fn output_len(self, output_channels: usize) -> usize {
        output_channels * self.pixels
    }

    /// Number of images in a slice of `len` elements.
    ///
    /// # Panics
    /// When `len` is not a whole number of images.
    pub fn image_count(self, len: usize) -> usize {
        let image_len = self.image_len();
        assert!(
            image_len > 0 && len.is_multiple_of(image_len),
            "{len} elements are no whole number of images of {self:?}"
        );
        len / image_len
    }

    /// Splits the output for one image into the prediction (first `C` channels) and what follows.
    pub(crate) fn split<T>(self, output: &[T]) -> (&[T], &[T]) {
        output.split_at(self.image_len())
    }

    /// The same of a slice to be written.
    pub(crate) fn split_mut<T>(self, output: &mut [T]) -> (&mut [T], &mut [T]) {
        output.split_at_mut(self.image_len())
    }

    /// Leading elements of the output for one image that belong to its first `channels` channels.
    pub(crate) fn leading_len(self, channels: usize) -> usize {
        channels.min(self.channels) * self.pixels
    }
}
