//! The index of a latent cache.
#![no_main]

use data::latents::LatentIndex;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    let Ok(index) = LatentIndex::parse(bytes, Path::new("index.json")) else { return };
    // Whatever is accepted says of itself what it is.
    let hash = index.hash();
    assert!(bytes.windows(hash.len()).any(|window| window == hash.as_bytes()));
});
