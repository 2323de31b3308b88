//! Arrays of numbers and of images in a file `.npz` or `.npy`.
#![no_main]

use fuzz::{read_arrays, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("x", bytes, read_arrays);
});
