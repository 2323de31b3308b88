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
//! | [`ImageFiles`] | PNG, JPEG, npy or pixels, made squares by a [`Preparation`] | the source's | an [`ImageSource`] |
//! | [`latents::LatentCache`] | what an autoencoder made of images | those of the images | a cache |
//!
//! | source | labels | from |
//! |---|---|---|
//! | [`ImageFolder`] | one a sub-folder, or none | a folder |
//! | [`WebDataset`] | `.cls`, `.json`, one a folder, or none | tar files |
//! | [`EdmZip`] | `dataset.json`, or none | a zip file |
//! | [`Celeba`] | none | a zip file or a folder, and the list of parts |
//! | [`ArrayImages`] | an array, or none | `.npy`, `.npz`, `.safetensors` |
//!
//! A new data set implements [`Dataset`], of which `load` writes one image; a new format of stored
//! images implements [`ImageSource`], of which `read` gives the bytes of one. Images of files are
//! resized by [`resize`], which equals Pillow (9.5 to 12.1) bit for bit, because published numbers
//! were made with Pillow and no other Rust resizer matches it. The README of the crate has the
//! formats, what becomes of which kind of image, and all limits.
//!
//! # Damage
//!
//! No file makes this crate panic or allocate without bound. Errors name the file, the field, what was
//! expected and what was found; those of a [`Loader`] also the position, and arrive in order.
#![forbid(unsafe_code)]

mod array_file;
mod array_images;
mod batch;
mod celeba;
mod cifar10;
mod class_names;
mod dataset;
mod decode;
mod edm_zip;
mod error;
mod image_files;
mod image_folder;
mod jpeg;
pub mod latents;
mod limits;
mod loader;
mod pool;
mod resize;
mod shapes;
mod shapes_judge;
mod shard_scan;
mod source;
mod spare;
mod tar_scan;
mod transform;
mod web_dataset;

pub use array_images::ArrayImages;
pub use batch::{Batch, load_batch};
pub use celeba::{Celeba, CelebaPart};
pub use cifar10::{Cifar10, Split};
pub use dataset::{Dataset, ImageShape, Probe, Visit, sample_index};
pub use decode::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_PIXELS, read_image};
pub use edm_zip::EdmZip;
pub use error::DataError;
pub use image_files::{ImageFiles, Preparation, stored_image};
pub use image_folder::ImageFolder;
pub use limits::MAX_CLASSES;
pub use loader::{Loader, LoaderConfig};
pub use npz::{MAX_COMPRESSION_RATIO, MAX_MEMBER_BYTES, MAX_MEMBERS};
pub use resize::{Filter, PassOrder, Raster, resize, resize_window};
pub use shapes::Shapes;
pub use shapes_judge::{ShapeMatch, nearest_class};
pub use source::{Encoding, ImageSource};
pub use transform::{centre_crop, flip_horizontally, signed_unit, write_planes};
pub use web_dataset::WebDataset;
