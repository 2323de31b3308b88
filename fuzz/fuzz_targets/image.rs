//! One PNG, JPEG or npy file.
#![no_main]

use data::read_image;
use fuzz::with_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("x.png", bytes, |path| drop(read_image(path)));
});
