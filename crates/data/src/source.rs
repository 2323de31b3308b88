//! Where stored images come from: bytes by index, not yet decoded.

use crate::DataError;

/// What the bytes of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A whole PNG, JPEG or npy file; its first bytes say which.
    File,
    /// Bytes of pixels and nothing else.
    Pixels {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// 1 for grey, 3 for RGB.
        channels: usize,
        /// `[C, H, W]` rather than `[H, W, C]`.
        planar: bool,
    },
}

/// Stored images with labels, read by index from several threads.
///
/// What a folder, an archive and an array file have in common. [`crate::ImageFiles`] makes a
/// [`crate::Dataset`] of one by decoding and preparing its images.
pub trait ImageSource: Send + Sync {
    /// The kind of data, as configurations spell it: `image_folder`.
    fn kind(&self) -> &'static str;

    /// Number of images.
    fn len(&self) -> u64;

    /// Whether there are no images.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What [`ImageSource::read`] gives.
    fn encoding(&self) -> Encoding {
        Encoding::File
    }

    /// Replaces `bytes` by those of image `index`.
    ///
    /// # Errors
    /// When they cannot be read, are too many, or fail their checksum.
    ///
    /// # Panics
    /// When `index` is not below [`ImageSource::len`].
    fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError>;

    /// Label of an image; 0 where there are no classes.
    fn label(&self, index: u64) -> u32;

    /// Where an image is, for people: a file, and its member where the file is an archive.
    fn sample_name(&self, index: u64) -> String;

    /// The error of an image whose bytes are no image.
    fn broken(&self, index: u64, reason: String) -> DataError;

    /// Number of classes; zero where images have no labels.
    fn num_classes(&self) -> usize;

    /// Name of a class, where `label` is one and classes have names.
    fn class_name(&self, label: u32) -> Option<&str>;
}
