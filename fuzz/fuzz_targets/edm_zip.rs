//! A zip file of images, with labels.
#![no_main]

use data::EdmZip;
use fuzz::{read_images, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("x.zip", bytes, |path| read_images(EdmZip::open(path)));
});
