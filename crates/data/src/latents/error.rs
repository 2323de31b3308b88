//! What can be wrong with a latent cache, beside what can be wrong with any file.

use std::path::PathBuf;

/// Why a latent cache could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LatentError {
    /// The cache is not complete.
    #[error(
        "{}: a latent cache that is not complete: {whole} of {shards} shards are there\n\
         help: run the command that makes it again; it goes on where it stopped",
        folder.display()
    )]
    Unfinished {
        /// The folder of the cache.
        folder: PathBuf,
        /// Shards that are there.
        whole: usize,
        /// Shards of the whole cache.
        shards: u64,
    },
    /// The folder holds a cache of something else.
    #[error(
        "{}: this latent cache has {field} {there}, not {wanted}\n\
         help: give another folder, or remove this one",
        file.display()
    )]
    Differs {
        /// The index.
        file: PathBuf,
        /// The field of [`super::LatentCacheSpec`].
        field: &'static str,
        /// What the cache was made with.
        there: String,
        /// What is asked for.
        wanted: String,
    },
    /// Another process writes to the cache.
    #[error("{}: in use by process {holder}", folder.display())]
    InUse {
        /// The folder of the cache.
        folder: PathBuf,
        /// Number of the process, as it wrote it down.
        holder: String,
    },
    /// The disk is full, or would be.
    #[error(
        "{}: {needed} bytes are needed, {available} are free\n\
         help: free some and run the same command again; it goes on where it stopped",
        path.display()
    )]
    Space {
        /// The file that did not fit, or the folder that has no room for the rest.
        path: PathBuf,
        /// Bytes of all shards that are missing.
        needed: u64,
        /// Bytes that can be written.
        available: u64,
    },
    /// A later version of this program wrote it.
    #[error(
        "{}: format {got} of latent caches is newer than {known}, the newest that this program reads\n\
         help: use the program that wrote it, or a later one",
        path.display()
    )]
    NewerFormat {
        /// The index.
        path: PathBuf,
        /// Its version.
        got: u32,
        /// Ours.
        known: u32,
    },
    /// An encoding holds a number that a cache cannot.
    #[error(
        "sample {source_index} of the source: element {element} of its {what} is {got}, expected {expected}"
    )]
    Value {
        /// Number of the sample in the source.
        source_index: u64,
        /// `mean` or `logstd`, and `mirrored` before it where it is.
        what: String,
        /// Which element, in the order `[C, H, W]`.
        element: usize,
        /// The number.
        got: f32,
        /// What fits.
        expected: String,
    },
    /// A label is no class.
    #[error(
        "sample {source_index} of the source has label {label}; there are {num_classes} classes"
    )]
    Label {
        /// Number of the sample in the source.
        source_index: u64,
        /// Its label.
        label: u32,
        /// Classes of the cache.
        num_classes: usize,
    },
    /// A stored encoding is not what the autoencoder makes of the source.
    #[error(
        "sample {index} of {}: element {element} of its {what} is {stored}, a new encoding has {fresh}",
        folder.display()
    )]
    Stale {
        /// The folder of the cache.
        folder: PathBuf,
        /// Index in the cache.
        index: u64,
        /// `mean` or `logstd`, and `mirrored` before it where it is.
        what: String,
        /// Which element.
        element: usize,
        /// As stored.
        stored: f32,
        /// As encoded, rounded to what is stored.
        fresh: f32,
    },
    /// Mirrored images are wanted of a cache that has none.
    #[error(
        "{}: a latent cache without mirrored encodings\n\
         help: switch mirroring off, or make a cache with both",
        folder.display()
    )]
    NotMirrored {
        /// The folder of the cache.
        folder: PathBuf,
    },
}
