//! Parameters and FLOPs of every preset against the tables made from the official classes.

use dis_model::{DisConfig, DisPreset, ParamLayout, counts};

/// Side, channels, patch and classes, then parameters of S, S-384, B, M, L, H.
#[rustfmt::skip]
const PARAMETERS: [([usize; 4], [u64; 6]); 18] = [
    ([32, 3, 2, 0], [28_488_008, 30_921_624, 119_203_608, 229_454_616, 404_112_408, 900_687_384]),
    ([32, 3, 4, 0], [28_457_168, 30_889_440, 119_139_168, 229_390_176, 404_026_464, 900_558_432]),
    ([32, 3, 8, 0], [28_598_768, 31_037_184, 119_434_368, 229_685_376, 404_419_968, 901_148_544]),
    ([32, 3, 2, 10], [28_764_008, 31_221_912, 120_394_008, 230_645_016, 406_223_896, 905_427_480]),
    ([64, 3, 2, 0], [28_770_632, 31_216_536, 119_793_432, 230_044_440, 404_898_840, 901_867_032]),
    ([64, 3, 4, 0], [28_527_824, 30_963_168, 119_286_624, 229_537_632, 404_223_072, 900_853_344]),
    ([32, 4, 2, 0], [28_492_432, 30_926_240, 119_212_832, 229_463_840, 404_124_704, 900_705_824]),
    ([32, 4, 4, 0], [28_474_864, 30_907_904, 119_176_064, 229_427_072, 404_075_648, 900_632_192]),
    ([32, 4, 8, 0], [28_669_552, 31_111_040, 119_581_952, 229_832_960, 404_616_704, 901_443_584]),
    ([32, 4, 2, 1000], [29_132_752, 31_606_688, 121_163_552, 231_414_560, 407_249_952, 906_966_560]),
    ([32, 4, 4, 1000], [29_115_184, 31_588_352, 121_126_784, 231_377_792, 407_200_896, 906_892_928]),
    ([32, 4, 8, 1000], [29_309_872, 31_791_488, 121_532_672, 231_783_680, 407_741_952, 907_704_320]),
    ([64, 4, 2, 0], [28_775_056, 31_221_152, 119_802_656, 230_053_664, 404_911_136, 901_885_472]),
    ([64, 4, 4, 0], [28_545_520, 30_981_632, 119_323_520, 229_574_528, 404_272_256, 900_927_104]),
    ([64, 4, 8, 0], [28_687_216, 31_129_472, 119_618_816, 229_869_824, 404_665_856, 901_517_312]),
    ([64, 4, 2, 1000], [29_415_376, 31_901_600, 121_753_376, 232_004_384, 408_036_384, 908_146_208]),
    ([64, 4, 4, 1000], [29_185_840, 31_662_080, 121_274_240, 231_525_248, 407_397_504, 907_187_840]),
    ([64, 4, 8, 1000], [29_327_536, 31_809_920, 121_569_536, 231_820_544, 407_791_104, 907_778_048]),
];

#[test]
fn parameters_of_every_preset() {
    for ([side, channels, patch, classes], expected) in PARAMETERS {
        for (preset, expected) in DisPreset::ALL.into_iter().zip(expected) {
            let config = DisConfig::official(preset, side, channels, patch, classes);
            let case = format!("{} {side}x{side}x{channels}/{patch}, {classes}", preset.name());
            assert_eq!(counts::parameters(&config), expected, "closed form: {case}");
            assert_eq!(ParamLayout::new(&config).len() as u64, expected, "layout: {case}");
        }
    }
}

/// Closed form and layout agree where the official code has nothing to compare with.
#[test]
fn parameters_with_every_switch() {
    use dis_model::{Conditioning, Skip};
    for preset in DisPreset::ALL {
        for skip in [Skip::Concat, Skip::Add, Skip::None] {
            for conditioning in [Conditioning::Token, Conditioning::Adaln] {
                for (num_classes, final_adaln, learned_variance) in
                    [(0, true, true), (10, true, false), (1, false, true), (1000, false, false)]
                {
                    let config = DisConfig {
                        skip,
                        conditioning,
                        num_classes,
                        final_adaln,
                        learned_variance,
                        normalize_ssm_inputs: num_classes > 0,
                        d_state: 8,
                        d_conv: 3,
                        ..DisConfig::official(preset, 64, 4, 8, 0)
                    };
                    let layout = ParamLayout::new(&config).len() as u64;
                    assert_eq!(counts::parameters(&config), layout, "{config:?}");
                }
            }
        }
    }
}

/// Preset, side, channels, patch, classes; the paper's figure and the official counter's (0: not
/// counted); GEMM and convolution by torch's counter on the official model, scan, total, in GFLOP.
struct FlopRow(DisPreset, [usize; 4], [f64; 2], [f64; 3]);

#[rustfmt::skip]
const FLOPS: [FlopRow; 14] = {
    use DisPreset::{B, H, L, M, S, S384};
    [
        FlopRow(S, [32, 3, 4, 0], [0.43, 0.432], [3.465, 0.277, 3.742]),
        FlopRow(S384, [32, 3, 4, 0], [0.0, 0.470], [3.765, 0.290, 4.054]),
        FlopRow(B, [32, 3, 4, 0], [1.86, 1.864], [14.685, 0.579, 15.263]),
        FlopRow(M, [32, 3, 4, 0], [3.70, 3.704], [28.834, 1.135, 29.965]),
        FlopRow(L, [32, 3, 4, 0], [6.57, 6.579], [50.939, 1.513, 52.448]),
        FlopRow(H, [32, 3, 4, 0], [14.79, 14.789], [113.891, 2.270, 116.154]),
        FlopRow(S, [32, 3, 2, 0], [0.0, 0.0], [13.673, 1.097, 14.769]),
        FlopRow(S, [32, 4, 2, 1000], [0.0, 0.0], [13.729, 1.101, 14.829]),
        FlopRow(B, [32, 4, 2, 1000], [0.0, 0.0], [58.220, 2.298, 60.517]),
        FlopRow(M, [32, 4, 2, 1000], [0.0, 0.0], [114.375, 4.505, 118.876]),
        FlopRow(L, [32, 4, 2, 1000], [0.0, 0.0], [202.080, 6.007, 208.082]),
        FlopRow(H, [32, 4, 4, 1000], [0.0, 0.0], [115.662, 2.305, 117.959]),
        FlopRow(H, [32, 4, 2, 1000], [0.0, 0.0], [451.861, 9.010, 460.863]),
        FlopRow(H, [64, 4, 2, 1000], [0.0, 0.0], [1796.773, 35.830, 1832.596]),
    ]
};

#[test]
fn flops_of_the_table() {
    for FlopRow(preset, [side, channels, patch, classes], paper, [gemm, scan, total]) in FLOPS {
        let config = DisConfig::official(preset, side, channels, patch, classes);
        let close = |what: &str, got: f64, expected: f64, tolerance: f64| {
            // The table is rounded to a thousandth.
            let allowed = (tolerance * expected).max(0.0005);
            let case = format!("{what} of {}/{patch} at {side}", preset.name());
            assert!((got / 1e9 - expected).abs() <= allowed, "{case}: {got:e}, table {expected}");
        };
        close("gemm", counts::gemm_flops(&config), gemm, 1e-3);
        close("scan", counts::scan_flops(&config), scan, 1e-3);
        close("total", counts::flops(&config), total, 1e-3);
        for (what, expected) in [("paper", paper[0]), ("official counter", paper[1])] {
            if expected > 0.0 {
                close(what, counts::paper_flops(&config), expected, 5e-3);
            }
        }
    }
}

#[test]
fn without_the_mixer_the_count_is_an_eighth() {
    for preset in DisPreset::ALL {
        let config = DisConfig::official(preset, 32, 3, 4, 0);
        let ratio = counts::flops(&config) / counts::paper_flops(&config);
        assert!((7.85..8.75).contains(&ratio), "{}: {ratio}", preset.name());
    }
}
