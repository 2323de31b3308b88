//! What the benches share: operands ready to run, the PyTorch process they take turns with, and the
//! table that compares both with the marks.
#![forbid(unsafe_code)]

mod images;
pub mod kernels;
mod machine;
mod networks;
mod options;
mod peer;
mod products;
mod report;
mod scan;
mod turns;

pub use images::{Conv, Norm};
pub use machine::{commit, date, load, processor};
pub use networks::{autoencoder, quickstart, s384};
pub(crate) use options::from_root;
pub use options::{Options, Part, Request};
pub use peer::Peer;
pub use products::{Pass, Product, ROWS};
pub use report::{Figure, Line, Mark, Report};
pub use scan::Scan;
pub use turns::{Timing, Turns};

use philox::{Draws, Purpose};
use ssm_kernels::Buffer;

/// Images of a batch in every case that PyTorch has too.
pub const BATCH: usize = 8;

/// Repeatable normal numbers.
pub fn random(seed: u64, len: usize) -> Buffer<f32> {
    let mut values = Buffer::zeros(len);
    Draws::new(seed, Purpose::SyntheticData, 0).fill_normal(&mut values);
    values
}

/// Repeatable bytes, which the peer makes too: high bytes of multiples of a large odd number.
pub fn bytes(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
