//! A loader's memory: what the first batches needed is enough for all. Alone in its process, because
//! the memory of the process is what is measured.

use data::{Loader, LoaderConfig, Shapes};
use std::sync::Arc;

/// Bytes in use, as Linux counts them; `None` elsewhere.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024 * line.split_ascii_whitespace().next()?.parse::<u64>().ok()?)
}

#[test]
#[allow(clippy::print_stdout, reason = "a test that cannot look says so")]
fn ten_epochs_need_no_more_memory_than_one() {
    let (samples, batch_size) = (512, 32);
    let shapes = Shapes::new(0, 64, samples).expect("a data set");
    let config = LoaderConfig {
        seed: 0,
        batch_size,
        stride: batch_size,
        start_position: 0,
        flip: true,
        workers: 2,
        prefetch: 4,
    };
    let mut loader = Loader::new(Arc::new(shapes), config).expect("a good configuration");
    let mut epoch = || {
        for _ in 0..samples / batch_size as u64 {
            let batch = loader.next_batch().expect("a batch");
            loader.recycle(batch);
        }
        resident()
    };
    epoch();
    let Some(before) = epoch() else {
        println!("skipped: no /proc/self/status");
        return;
    };
    let after = (0..10).filter_map(|_| epoch()).max().expect("as before");
    // Ten epochs are 250 MB of images, a batch 1.6 MB.
    let batch_bytes = (batch_size * 3 * 64 * 64 * 4) as u64;
    assert!(after < before + 2 * batch_bytes, "{before} bytes after two epochs, then {after}");
}
