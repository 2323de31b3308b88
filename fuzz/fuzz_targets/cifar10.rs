//! CIFAR-10 in its binary layout.
#![no_main]

use data::{Cifar10, Dataset, Split};
use fuzz::with_file;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    with_file("test_batch.bin", bytes, |path| {
        let folder = path.parent().unwrap_or(Path::new("."));
        let Ok(images) = Cifar10::open(folder, Split::Test) else { return };
        (0..images.len()).for_each(|index| drop(images.probe(index)));
    });
});
