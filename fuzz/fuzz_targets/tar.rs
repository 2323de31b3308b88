//! A WebDataset shard.
#![no_main]

use data::WebDataset;
use fuzz::{read_images, with_file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    with_file("x.tar", bytes, |path| read_images(WebDataset::open(path)));
});
