//! Images as an array in a file `.npy`.
#![no_main]

use data::ArrayImages;
use fuzz::{read_images, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("x.npy", bytes, |path| read_images(ArrayImages::open(path)));
});
