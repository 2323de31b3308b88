//! The order of a run: the same for any batch size, number of threads and place to start.

use data::{
    Batch, DataError, Dataset, ImageShape, Loader, LoaderConfig, Shapes, Visit, flip_horizontally,
    load_batch, sample_index,
};
use philox::{Draws, Purpose};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CONFIG: LoaderConfig = LoaderConfig {
    seed: 5,
    batch_size: 7,
    stride: 7,
    start_position: 0,
    flip: true,
    workers: 0,
    prefetch: 3,
};

/// Images that tell their index; loading takes longer for some than for others, and can fail.
struct Probe {
    len: u64,
    delay: fn(u64) -> Duration,
    fail_on: Option<(u64, Failure)>,
    loads: AtomicU64,
}

#[derive(Clone, Copy)]
enum Failure {
    Error,
    Panic,
    /// An error the first time only.
    Once,
}

impl Probe {
    fn new(len: u64) -> Self {
        Self { len, delay: |_| Duration::ZERO, fail_on: None, loads: AtomicU64::new(0) }
    }
}

impl Dataset for Probe {
    fn name(&self) -> &str {
        "probe"
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn shape(&self) -> ImageShape {
        ImageShape { channels: 2, height: 1, width: 3 }
    }

    fn num_classes(&self) -> usize {
        10
    }

    fn class_name(&self, _: u32) -> Option<&str> {
        None
    }

    fn load(&self, index: u64, visit: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep((self.delay)(index));
        match self.fail_on {
            Some((i, Failure::Panic)) if i == index => panic!("probe {index}"),
            Some((i, Failure::Once))
                if i == index && self.loads.swap(0, Ordering::Relaxed) < 1000 =>
            {
                self.loads.store(1000, Ordering::Relaxed);
                return Err(broken());
            }
            Some((i, Failure::Error)) if i == index => return Err(broken()),
            _ => {}
        }
        let uniform = visit.draws(Purpose::Crop).uniform(0);
        for (i, out) in out.iter_mut().enumerate() {
            *out = index as f32 + i as f32 / 8.0 + uniform / 64.0;
        }
        Ok((index % 10) as u32)
    }
}

fn broken() -> DataError {
    DataError::Image { file: "probe.png".into(), reason: "is broken".into() }
}

fn batches(dataset: Arc<dyn Dataset>, config: LoaderConfig, count: usize) -> Vec<Batch> {
    let mut loader = Loader::new(dataset, config).expect("a good configuration");
    (0..count)
        .map(|_| {
            let batch = loader.next_batch().expect("a batch");
            loader.recycle(batch.clone());
            batch
        })
        .collect()
}

/// All samples of consecutive batches as one.
fn joined(batches: Vec<Batch>) -> Batch {
    batches.into_iter().fold(Batch::default(), |mut all, batch| {
        all.images.extend(batch.images);
        all.labels.extend(batch.labels);
        all.positions.extend(batch.positions);
        all.indices.extend(batch.indices);
        all
    })
}

#[test]
fn threads_change_nothing() {
    let mut probe = Probe::new(23);
    probe.delay = |index| Duration::from_micros(index * 7919 % 400);
    let probe: Arc<dyn Dataset> = Arc::new(probe);
    let expected = batches(Arc::clone(&probe), CONFIG, 30);
    for workers in [1, 2, 4] {
        for prefetch in [0, 1, 3, 16] {
            let config = LoaderConfig { workers, prefetch, ..CONFIG };
            let got = batches(Arc::clone(&probe), config, 30);
            assert!(got == expected, "{workers} workers, {prefetch} batches ahead");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any batch size from any position gives the same samples at the same positions.
    #[test]
    fn batches_are_cuts_of_one_sequence(
        seed: u64, len in 1u64..50, start in 0u64..200, batch_size in 1usize..20, workers in 0usize..3,
    ) {
        let probe: Arc<dyn Dataset> = Arc::new(Probe::new(len));
        let config = LoaderConfig {
            seed, batch_size, stride: batch_size, start_position: start, workers, ..CONFIG
        };
        let got = joined(batches(Arc::clone(&probe), config, 4));
        let whole = load_batch(probe.as_ref(), seed, true, start, 4 * batch_size).unwrap();
        prop_assert_eq!(&got, &whole);
        for (i, position) in (start..).take(got.len()).enumerate() {
            prop_assert_eq!(got.positions[i], position);
            prop_assert_eq!(got.indices[i], sample_index(seed, len, position));
            prop_assert_eq!(u64::from(got.labels[i]), got.indices[i] % 10);
            prop_assert_eq!(got.image(i)[1] as u64, got.indices[i]);
        }
    }

    /// However often a run stops, and with however many readers and threads each part goes on, the
    /// samples are those of one reader that never stopped.
    #[test]
    fn restarts_and_readers_change_nothing(
        seed: u64, len in 1u64..60, share in 1usize..4,
        parts in prop::collection::vec(
            (prop::sample::select(vec![1usize, 2, 4]), 0usize..3, 0usize..4), 1..5),
    ) {
        let probe: Arc<dyn Dataset> = Arc::new(Probe::new(len));
        let batch = 4 * share; // of all readers
        let (mut got, mut position) = (Vec::new(), 0);
        for (readers, workers, steps) in parts {
            let batch_size = batch / readers;
            let config = LoaderConfig { seed, batch_size, stride: batch, workers, ..CONFIG };
            let streams: Vec<_> = (0..readers)
                .map(|reader| {
                    let start_position = position + (reader * batch_size) as u64;
                    batches(Arc::clone(&probe), LoaderConfig { start_position, ..config }, steps)
                })
                .collect();
            let in_order = (0..steps).flat_map(|step| streams.iter().map(move |s| s[step].clone()));
            got.extend(in_order);
            position += (steps * batch) as u64;
        }
        let whole = load_batch(probe.as_ref(), seed, true, 0, position as usize).unwrap();
        prop_assert_eq!(joined(got), whole);
    }

    /// Processes that share a batch see it whole, in order.
    #[test]
    fn strides_share_a_batch(seed: u64, share in 1usize..5, processes in 1usize..4) {
        let probe: Arc<dyn Dataset> = Arc::new(Probe::new(40));
        let config = LoaderConfig { seed, batch_size: share, stride: share * processes, ..CONFIG };
        let parts: Vec<_> = (0..processes)
            .map(|rank| {
                let start_position = (rank * share) as u64;
                batches(Arc::clone(&probe), LoaderConfig { start_position, ..config }, 3)
            })
            .collect();
        let in_order = (0..3).flat_map(|step| parts.iter().map(move |part| part[step].clone()));
        let whole = load_batch(probe.as_ref(), seed, true, 0, 3 * share * processes).unwrap();
        prop_assert_eq!(joined(in_order.collect()), whole);
    }
}

#[test]
fn epochs_are_permutations() {
    let probe = Probe::new(31);
    let all = load_batch(&probe, 3, false, 0, 4 * 31).unwrap();
    let epochs: Vec<Vec<u64>> = all.indices.chunks(31).map(<[u64]>::to_vec).collect();
    for epoch in &epochs {
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..31));
    }
    assert!(epochs.windows(2).all(|pair| pair[0] != pair[1]), "epochs have different orders");
}

/// A sample is mirrored exactly when the coin at its position says so, which is half of the time.
#[test]
fn flips_are_coins_at_positions() {
    let shapes = Shapes::new(0, 16, 500).unwrap();
    let plain = load_batch(&shapes, 8, false, 100, 2000).unwrap();
    let flipped = load_batch(&shapes, 8, true, 100, 2000).unwrap();
    let mut heads = 0;
    for i in 0..2000 {
        let coin = Draws::new(8, Purpose::HorizontalFlip, plain.positions[i]).uniform(0) < 0.5;
        let mut expected = plain.image(i).to_vec();
        if coin {
            flip_horizontally(&mut expected, shapes.shape());
        }
        assert_eq!(flipped.image(i), expected, "position {}", plain.positions[i]);
        heads += u32::from(coin);
    }
    assert!((900..=1100).contains(&heads), "{heads} of 2000");
    assert_eq!(plain.labels, flipped.labels);
}

#[test]
fn a_flip_reverses_rows() {
    let shape = ImageShape { channels: 2, height: 2, width: 3 };
    let mut image: Vec<f32> = (0..12u8).map(f32::from).collect();
    flip_horizontally(&mut image, shape);
    assert_eq!(image, [2., 1., 0., 5., 4., 3., 8., 7., 6., 11., 10., 9.]);
}

/// Takes batches until one fails; returns how many were good, and the error.
fn until_error(loader: &mut Loader) -> (usize, DataError) {
    for good in 0..100 {
        if let Err(error) = loader.next_batch() {
            return (good, error);
        }
    }
    panic!("no batch failed")
}

#[test]
fn errors_come_in_order_and_name_the_position() {
    let position = 38; // in the sixth batch of seven
    let index = sample_index(CONFIG.seed, 1000, position);
    for workers in [0, 1, 4] {
        let mut probe = Probe::new(1000);
        probe.fail_on = Some((index, Failure::Error));
        let config = LoaderConfig { workers, prefetch: 8, ..CONFIG };
        let mut loader = Loader::new(Arc::new(probe), config).unwrap();
        let (good, error) = until_error(&mut loader);
        assert_eq!((good, loader.position()), (5, 35), "{workers} workers");
        let message = format!("sample {index} of probe, at position 38: probe.png: is broken");
        assert_eq!(error.to_string(), message);
        // It stays there.
        assert_eq!(until_error(&mut loader).0, 0);
        assert!(matches!(error, DataError::Sample { position: 38, .. }));
    }
}

/// A file server that comes back: the same batch is tried again and nothing is skipped.
#[test]
fn a_batch_can_be_tried_again() {
    let index = sample_index(CONFIG.seed, 1000, 10);
    for workers in [0, 3] {
        let mut probe = Probe::new(1000);
        probe.fail_on = Some((index, Failure::Once));
        let mut loader = Loader::new(Arc::new(probe), LoaderConfig { workers, ..CONFIG }).unwrap();
        assert_eq!(until_error(&mut loader).0, 1);
        let got = (0..4).map(|_| loader.next_batch().unwrap()).collect();
        let expected = load_batch(&Probe::new(1000), CONFIG.seed, true, 7, 28).unwrap();
        assert_eq!(joined(got), expected);
    }
}

#[test]
fn a_panic_in_a_data_set_is_an_error_in_order() {
    let mut probe = Probe::new(1000);
    probe.fail_on = Some((sample_index(CONFIG.seed, 1000, 15), Failure::Panic));
    let config = LoaderConfig { workers: 2, ..CONFIG };
    let mut loader = Loader::new(Arc::new(probe), config).unwrap();
    let (good, error) = until_error(&mut loader);
    assert_eq!(good, 2);
    assert!(
        matches!(&error, DataError::Panicked { position: 14, message, .. }
        if message.starts_with("probe ")),
        "{error}"
    );
}

/// Dropping waits for the samples that are being loaded, not for the batches.
#[test]
fn dropping_stops_at_once() {
    for taken in [0, 1] {
        let mut probe = Probe::new(1000);
        probe.delay = |_| Duration::from_millis(2);
        let config =
            LoaderConfig { workers: 3, prefetch: 32, batch_size: 500, stride: 500, ..CONFIG };
        let probe = Arc::new(probe);
        let mut loader = Loader::new(Arc::clone(&probe) as Arc<dyn Dataset>, config).unwrap();
        for _ in 0..taken {
            loader.next_batch().unwrap();
        }
        let before = probe.loads.load(Ordering::Relaxed);
        drop(loader);
        let after = probe.loads.load(Ordering::Relaxed);
        assert!(after - before < 250, "{} samples of 3 batches of 500", after - before);
        assert_eq!(Arc::strong_count(&probe), 1, "threads are gone");
    }
}

/// With nothing loaded ahead, the caller waits for every sample.
#[test]
fn waiting_is_counted() {
    for workers in [0, 1] {
        let mut probe = Probe::new(100);
        probe.delay = |_| Duration::from_millis(1);
        let config = LoaderConfig { workers, prefetch: 0, ..CONFIG };
        let mut loader = Loader::new(Arc::new(probe), config).unwrap();
        assert_eq!(loader.waited(), Duration::ZERO);
        for _ in 0..5 {
            loader.next_batch().unwrap();
        }
        assert!(loader.waited() >= Duration::from_millis(5 * 7), "{:?}", loader.waited());
    }
}

#[test]
fn recycled_memory_is_used_again() {
    let mut loader = Loader::new(Arc::new(Probe::new(9)), CONFIG).unwrap();
    let batch = loader.next_batch().unwrap();
    let address = batch.images.as_ptr();
    loader.recycle(batch);
    assert_eq!(loader.next_batch().unwrap().images.as_ptr(), address);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let refused = |config: LoaderConfig, len: u64| {
        Loader::new(Arc::new(Probe::new(len)), config).unwrap_err().to_string()
    };
    let empty = LoaderConfig { batch_size: 0, ..CONFIG };
    assert_eq!(refused(empty, 9), "batch size is 0, expected 1 to 1048576");
    let narrow = LoaderConfig { stride: 6, ..CONFIG };
    assert_eq!(refused(narrow, 9), "stride is 6, expected 7 to 4294967296");
    let late = LoaderConfig { start_position: u64::MAX, ..CONFIG };
    assert!(refused(late, 9).starts_with("start position is 18446744073709551615"));
    let crowd = LoaderConfig { workers: 257, ..CONFIG };
    assert_eq!(refused(crowd, 9), "workers is 257, expected 0 to 256");
    let greedy = LoaderConfig { prefetch: usize::MAX, ..CONFIG };
    assert!(refused(greedy, 9).starts_with("prefetch is"));
    assert!(refused(CONFIG, 0).starts_with("number of samples is 0"));
}
