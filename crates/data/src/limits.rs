//! How many classes there may be.

/// The largest number of classes.
pub const MAX_CLASSES: u32 = 1 << 20;
