//! Data sets, and batches of them in a seeded order.
//!
//! A [`Dataset`] hands out images by index as `[C, H, W]` floats in [-1, 1]. A [`Loader`] visits them
//! in an order that is a pure function of the seed, mirrors some, and prefetches on threads:
//!
//! ```
//! use data::{Loader, LoaderConfig, Shapes};
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), data::DataError> {
//! let shapes = Arc::new(Shapes::new(0, 16, 4096)?);
//! let config = LoaderConfig {
//!     seed: 0,
//!     batch_size: 32,
//!     stride: 32,
//!     start_position: 0, // `samples_seen` of a checkpoint
//!     flip: false,
//!     workers: 2,
//!     prefetch: 4,
//! };
//! let mut loader = Loader::new(shapes, config)?;
//! for _step in 0..3 {
//!     let batch = loader.next_batch()?;
//!     assert_eq!(batch.images.len(), 32 * 3 * 16 * 16);
//!     loader.recycle(batch);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # One number is the whole state
//!
//! *Position* is the global index of a sample since the start of the run; it never restarts. With N
//! samples, position p is place `p mod N` of epoch `p / N`, and [`sample_index`] maps it to a sample
//! through a keyed bijection, so no shuffled list exists. Whatever else is random about a visit is
//! Philox at that position ([`Visit`]). So order and content do not depend on the batch size, the
//! number of workers or processes, or on restarts: to resume is to start at a later position.
//!
//! # Data sets
//!
//! | data set | images | labels | from |
//! |---|---|---|---|
//! | [`Shapes`] | generated, any size and number | 4 | a seed |
//! | [`Cifar10`] | 32x32 | 10 | the official binary files |
//! | [`ImageFolder`] | PNG and JPEG, cropped to a square | one a sub-folder, or none | a folder |
//!
//! A new one implements [`Dataset`]: six short functions, of which `load` writes one image. Images of
//! files are resized by [`resize`], which equals Pillow (9.5 to 12.3) bit for bit, because published
//! numbers were made with Pillow and no other Rust resizer matches it.
//!
//! # Damage
//!
//! No file makes this crate panic or allocate without bound. Errors name the file, the field, what was
//! expected and what was found; those of a [`Loader`] also the position, and arrive in order.
#![forbid(unsafe_code)]

mod batch;
mod cifar10;
mod dataset;
mod decode;
mod error;
mod image_folder;
mod loader;
mod pool;
mod resize;
mod shapes;
mod shapes_judge;
mod transform;

pub use batch::{Batch, load_batch};
pub use cifar10::{Cifar10, Split};
pub use dataset::{Dataset, ImageShape, Visit, sample_index};
pub use decode::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS, read_image};
pub use error::DataError;
pub use image_folder::ImageFolder;
pub use loader::{Loader, LoaderConfig};
pub use resize::{Filter, Raster, resize, resize_window};
pub use shapes::Shapes;
pub use shapes_judge::{ShapeMatch, nearest_class};
pub use transform::{centre_crop, flip_horizontally, signed_unit};
