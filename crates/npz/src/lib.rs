//! Arrays in NumPy's files and zip archives.
//!
//! | | read | write |
//! |---|---|---|
//! | `.npz` | [`Archive`]: in parts, or as f64 | [`Writer`] |
//! | `.npy` | [`NpyFile`] | – |
//! | images in either | [`images`] | [`Writer::array`] |
//! | other zip files | [`ZipMembers`] | – |
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("images.npz");
//! let mut writer = npz::Writer::create(&path)?;
//! writer.array("arr_0", npz::Element::U8, &[2, 4, 4, 3])?;
//! writer.write(&[0; 48])?;
//! writer.write(&[255; 48])?;
//! writer.array_f64("mu", &[3], &[1.0, 2.0, 3.0])?;
//! writer.finish()?;
//!
//! let (mut images, mut batch) = (npz::images(&path)?, Vec::new());
//! while images.read(1, &mut batch)? > 0 {
//!     assert_eq!(batch.len(), images.height() * images.width() * 3);
//! }
//! let (shape, mu) = npz::Archive::open(&path)?.read_f64("mu", 2048)?;
//! assert_eq!((shape, mu), (vec![3], vec![1.0, 2.0, 3.0]));
//! # Ok(())
//! # }
//! ```
//!
//! # Damage
//!
//! No file makes this crate panic or allocate without bound: what is read in parts needs the memory
//! of the caller's buffer, and what is read as a whole grows as bytes come. Errors name the file,
//! the member, where it starts, and what was expected and found. Pickles are refused.
#![forbid(unsafe_code)]

mod archive;
mod array_reader;
mod block_reader;
mod element;
mod error;
mod images;
mod limits;
mod member_bytes;
mod names;
mod npy;
mod shared_file;
mod writer;
mod zip_members;

pub use archive::{Archive, NpyFile};
pub use array_reader::ArrayReader;
pub use block_reader::BlockReader;
pub use element::Element;
pub use error::NpzError;
pub use images::{ImageArray, images};
pub use limits::{MAX_COMPRESSION_RATIO, MAX_MEMBER_BYTES, MAX_MEMBERS, name_problem};
pub use names::Names;
pub use npy::{NPY_HEAD_BYTES, NpyHeader, is_npy};
pub use shared_file::SharedFile;
pub use writer::Writer;
pub use zip_members::{MemberSizes, ZipMembers};
