//! The order of an epoch: fixed sequences, the law of a bijection, and evenness on a small set.

use philox::Permutation;
use proptest::prelude::*;

fn sequence(seed: u64, len: u64, epoch: u64, places: std::ops::Range<u64>) -> Vec<u64> {
    let permutation = Permutation::new(seed, len);
    places.map(|place| permutation.index(epoch, place)).collect()
}

#[test]
fn fixed_sequences() {
    assert_eq!(sequence(0, 10, 0, 0..10), [8, 3, 0, 7, 1, 6, 2, 5, 4, 9]);
    assert_eq!(sequence(0, 10, 1, 0..10), [5, 4, 8, 0, 1, 9, 6, 2, 3, 7]);
    assert_eq!(sequence(1, 10, 0, 0..10), [3, 8, 4, 9, 5, 0, 6, 7, 1, 2]);
    assert_eq!(
        sequence(0, 50_000, 0, 0..8),
        [44081, 35402, 11415, 49337, 1898, 37338, 28009, 34950]
    );
    let imagenet = 1_281_167;
    assert_eq!(
        sequence(0, imagenet, 0, 0..6),
        [460_541, 107_192, 316_014, 350_552, 867_971, 313_081]
    );
    assert_eq!(sequence(0, imagenet, 0, imagenet - 1..imagenet), [59_202]);
    assert_eq!(
        sequence((1 << 40) + 7, imagenet, 3, 0..4),
        [1_033_236, 1_216_981, 1_191_954, 1_031_667]
    );
}

fn is_bijection(seed: u64, len: u64, epoch: u64) -> bool {
    let mut seen = vec![false; len as usize];
    sequence(seed, len, epoch, 0..len)
        .into_iter()
        .all(|index| index < len && !std::mem::replace(&mut seen[index as usize], true))
}

proptest! {
    #[test]
    fn every_epoch_is_a_bijection(seed: u64, epoch: u64, len in 1u64..5000) {
        prop_assert!(is_bijection(seed, len, epoch));
    }

    /// Sizes that no memory could hold still give indices in range, and different ones.
    #[test]
    fn huge_sets(seed: u64, epoch: u64, len in 1u64 << 33.., place: u64) {
        let permutation = Permutation::new(seed, len);
        let place = place % (len - 1);
        let (one, two) = (permutation.index(epoch, place), permutation.index(epoch, place + 1));
        prop_assert!(one < len && two < len && one != two);
    }
}

#[test]
fn sizes_around_powers_of_two() {
    for len in [1, 2, 3, 4, 5, 15, 16, 17, 255, 256, 257, 1023, 1024, 1025, 4096, 4097, 50_000] {
        assert!(is_bijection(3, len, 2), "{len}");
    }
}

/// Every index is at every place of ten equally often: chi-square over 20,000 seeds, 81 degrees of
/// freedom (sd 13). The spread of a network with six rounds is 135.
#[test]
fn small_sets_are_shuffled_evenly() {
    const SEEDS: u64 = 20_000;
    let mut counts = [[0u32; 10]; 10];
    for seed in 0..SEEDS {
        for (place, index) in sequence(seed, 10, 0, 0..10).into_iter().enumerate() {
            counts[place][index as usize] += 1;
        }
    }
    let expected = SEEDS as f64 / 10.0;
    let chi: f64 =
        counts.iter().flatten().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    assert!(chi < 120.0, "chi-square {chi}");
}

#[test]
#[should_panic(expected = "place 10 of an epoch of 10 samples")]
fn places_end() {
    Permutation::new(0, 10).index(0, 10);
}
