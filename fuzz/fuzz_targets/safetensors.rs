//! Images as an array in a file `.safetensors`.
#![no_main]

use data::ArrayImages;
use fuzz::{read_images, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("x.safetensors", bytes, |path| read_images(ArrayImages::open(path)));
});
