//! Published vectors of Philox4x32-10 and fixed answers of our addressing.

use philox::{Draws, LANES, Purpose, block, name_position};

#[test]
fn published_vectors() {
    let all = u32::MAX;
    for (counter, key, words) in [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([all; 4], [all; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ] {
        assert_eq!(block(counter, key), words, "counter {counter:x?}, key {key:x?}");
    }
}

#[test]
fn addresses_are_laid_out_as_promised() {
    let noise = Draws::new(42, Purpose::DiffusionNoise, 1_234_567_890_123);
    assert_eq!(
        [28, 29, 30, 31].map(|lane| noise.word(lane)),
        [0x2af4_9252, 0xee47_2a76, 0xa692_516a, 0x1c71_48ad]
    );
    assert_eq!(block([7, 5, 1_912_276_171, 287], [42, 0])[0], noise.word(28));

    let drop_path = Draws::new(42, Purpose::DropPath, 3).sub(12);
    assert_eq!(
        [0, 1, 2, 3].map(|lane| drop_path.word(lane)),
        [0x8332_4d58, 0x1b80_ae5f, 0xfd09_c187, 0x69de_6935]
    );
    assert_eq!(drop_path.sub(5).sub(12), drop_path);

    let seed = 0x0123_4567_89ab_cdef;
    assert_eq!(
        Draws::new(seed, Purpose::Crop, 1).word(LANES - 1),
        block([u32::MAX, 9, 1, 0], [0x89ab_cdef, 0x0123_4567])[3]
    );
}

#[test]
fn normals_of_a_known_block() {
    let noise = Draws::new(42, Purpose::DiffusionNoise, 1_234_567_890_123);
    let expected =
        [1.7135172389622195, -0.7961725896903582, 0.7102241064022162, 0.5958914799274282];
    for (lane, expected) in (28..).zip(expected) {
        let got = noise.normal_f64(lane);
        assert!((got - expected).abs() <= 1e-15, "lane {lane}: {got:?}, expected {expected:?}");
        assert_eq!(noise.normal(lane), expected as f32);
    }
}

/// The bits of normals are a promise to every platform and to the CUDA port, which may find the first
/// operation that it does in another order by the doubles.
#[test]
fn bits_of_normals_do_not_change() {
    let draws = Draws::new(7, Purpose::InitialNoise, 11);
    let mut normals = vec![0.0; 1 << 16];
    draws.fill_normal(&mut normals);
    let hash = fnv(normals.iter().map(|x| u64::from(x.to_bits())));
    assert_eq!(hash, 0x3324f588636e429e, "hash of f32 is {hash:#x}");

    let hash = fnv((0..1 << 16).map(|lane| draws.normal_f64(lane).to_bits()));
    assert_eq!(hash, 0xfd24b46b1d2749e5, "hash of f64 is {hash:#x}");
}

/// FNV-1a over whole words instead of bytes.
fn fnv(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |hash, word| (hash ^ word).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn purposes_have_their_numbers() {
    let all = [
        Purpose::Shuffle,
        Purpose::HorizontalFlip,
        Purpose::VaePosteriorNoise,
        Purpose::Timestep,
        Purpose::DiffusionNoise,
        Purpose::LabelDrop,
        Purpose::DropPath,
        Purpose::ParameterInitialisation,
        Purpose::Crop,
        Purpose::InitialNoise,
        Purpose::SampleStepNoise,
        Purpose::SampleLabel,
        Purpose::SyntheticData,
        Purpose::EvaluationSubset,
    ];
    for (number, purpose) in (1..).zip(all) {
        assert_eq!(purpose as u32, number, "{purpose:?}");
    }
}

/// FNV-1a's published vectors.
#[test]
fn names_become_positions() {
    assert_eq!(name_position(""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(name_position("a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(name_position("foobar"), 0x8594_4171_f739_67e8);
}

#[test]
#[should_panic(expected = "lane 17179869184")]
fn lanes_end() {
    Draws::new(0, Purpose::Timestep, 0).word(LANES);
}

#[test]
#[should_panic(expected = "24 bits")]
fn subs_end() {
    let _ = Draws::new(0, Purpose::DropPath, 0).sub(1 << 24);
}
