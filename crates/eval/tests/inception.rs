//! The network against numbers of others, and its laws.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eval::inception::weights::{TensorMap, random};
use eval::inception::{Inception, InceptionFeatures, Protocol, SIDE, StageMean};
use eval::{FeatureBatch, FeatureNetwork, ImageBatch};
use parity::{Golden, assert_close};
use rayon::ThreadPoolBuilder;
use safetensors::SafeTensors;
use ssm_kernels::Cpu;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Other numbers than those beside this test: weights of another seed, or other images.
const OTHER_GOLDEN: &str = "DIS_INCEPTION_GOLDEN";

/// Sums in f32, of rounded products of norms and weights, over 94 layers; of the largest feature.
const FEATURES: f64 = 1e-5;
/// Single values of a map, not means of many.
const SPATIAL: f64 = 2e-5;

/// Numbers of the published network in f64, with random weights.
struct Numbers {
    golden: Golden,
    weights_seed: u64,
}

impl Numbers {
    fn open(path: PathBuf) -> Self {
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let weights_seed = metadata.metadata().as_ref().unwrap()["weights_seed"].parse().unwrap();
        Self { golden: Golden::open(path), weights_seed }
    }

    /// Features, or what `DIS_INCEPTION_GOLDEN` names in their place.
    fn features() -> Self {
        let ours = || golden_path("inception_random_f64.safetensors");
        Self::open(std::env::var_os(OTHER_GOLDEN).map_or_else(ours, PathBuf::from))
    }

    /// The images of each size, in the order of the rows.
    fn images(&self) -> Vec<(Vec<u8>, usize, usize)> {
        let images = |name: &str| {
            let [_, height, width, 3] = *self.golden.shape(name) else { panic!("{name}") };
            (self.golden.get(name).iter().map(|&x| x as u8).collect(), height, width)
        };
        vec![images("images32"), images("images64x96")]
    }
}

fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// The weights of seed 1, made once.
fn weights() -> TensorMap {
    static WEIGHTS: OnceLock<TensorMap> = OnceLock::new();
    WEIGHTS.get_or_init(|| random(1)).clone()
}

#[test]
fn features_are_those_of_the_published_network() {
    let numbers = Numbers::features();
    for protocol in Protocol::ALL {
        let mut network =
            InceptionFeatures::new(Cpu, protocol, random(numbers.weights_seed)).unwrap();
        let mut features = FeatureBatch::default();
        for (pixels, height, width) in numbers.images() {
            let images = ImageBatch::new(&pixels, height, width).unwrap();
            let more = network.features(images).unwrap();
            features.pool.extend(more.pool);
            features.spatial.extend(more.spatial);
            features.logits.extend(more.logits);
        }
        let name = protocol.name().replace('-', "_");
        let golden = |tap: &str| numbers.golden.get(&format!("{name}.{tap}"));
        assert_close(&format!("{name}.pool"), &features.pool, golden("pool"), FEATURES);
        if protocol == Protocol::Adm {
            assert_close("adm.spatial", &features.spatial, golden("spatial"), SPATIAL);
            assert_close("adm.logits", &features.logits, golden("logits"), FEATURES);
        } else {
            assert_eq!((features.spatial.len(), network.spatial_dim()), (0, 0), "{name}");
            assert_eq!((features.logits.len(), network.classes()), (0, 0), "{name}");
        }
    }
}

/// Says in which stage the network goes wrong, where the features only say that it does.
#[test]
fn stages_are_those_of_the_published_network() {
    let numbers = Numbers::open(golden_path("inception_stages_f64.safetensors"));
    let images = Numbers::open(golden_path("inception_random_f64.safetensors")).images();
    let (pixels, height, width) = &images[0];
    let images = ImageBatch::new(pixels, *height, *width).unwrap();
    let resizer = eval::resize::Resizer::new(Protocol::Adm.resize(), *height, *width, SIDE);
    let mut input = vec![0.0; images.len() * resizer.out_len()];
    resizer.batch(images, 0, |value| Protocol::Adm.input(value) as f32, &mut input);
    let mut network = Inception::load(Cpu, random(numbers.weights_seed)).unwrap();
    let means = network.stage_means(&input).unwrap();
    let (last, means) = means.split_last().unwrap();
    assert_eq!(means.len(), numbers.golden.names().filter(|name| name.contains("stage")).count());
    for StageMean { stage, mean } in means {
        let name = format!("adm.stage.{stage}");
        assert_close(&name, mean, &numbers.golden.get(&name)[..mean.len()], FEATURES);
    }
    assert_eq!((last.stage, &last.mean), ("Mixed_7c", &network.forward(&input).unwrap().pool));
}

/// Images of noise that differ in every pixel.
fn noise(images: usize) -> Vec<u8> {
    parity::uniform(5, images * 24 * 40 * 3).iter().map(|x| (128.0 * x + 128.0) as u8).collect()
}

#[test]
fn features_are_the_same_bits_in_any_batch_and_on_any_number_of_threads() {
    let pixels = noise(18);
    let part = |first: usize, count: usize| {
        let bytes = 24 * 40 * 3;
        ImageBatch::new(&pixels[first * bytes..][..count * bytes], 24, 40).unwrap()
    };
    let mut network = InceptionFeatures::new(Cpu, Protocol::Adm, weights()).unwrap();
    let all = network.features(part(0, 18)).unwrap();
    let mut check = |first: usize, count: usize, threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let some = pool.install(|| network.features(part(first, count))).unwrap();
        let row = |values: &[f32], dim: usize| values[first * dim..][..count * dim].to_vec();
        assert_eq!(some.pool, row(&all.pool, 2048), "{count} from {first} on {threads}");
        assert_eq!(some.spatial, row(&all.spatial, 2023), "{count} from {first} on {threads}");
        assert_eq!(some.logits, row(&all.logits, 1008), "{count} from {first} on {threads}");
    };
    for (first, count, threads) in [(0, 1, 1), (15, 3, 2), (3, 2, 4)] {
        check(first, count, threads);
    }
    let of = |values: &[f32], dim: usize| values.chunks_exact(dim).nth(1).unwrap().to_vec();
    assert_ne!(of(&all.pool, 2048), all.pool[..2048], "images differ, so features do");
    assert_eq!(
        network.features(ImageBatch::new(&[], 24, 40).unwrap()).unwrap(),
        Default::default()
    );
}

#[test]
fn images_of_another_size_leave_no_trace() {
    let mut network = InceptionFeatures::new(Cpu, Protocol::Clean, weights()).unwrap();
    let pixels = noise(1);
    let first = network.features(ImageBatch::new(&pixels, 24, 40).unwrap()).unwrap();
    let turned = network.features(ImageBatch::new(&pixels, 40, 24).unwrap()).unwrap();
    assert_ne!(first, turned);
    assert_eq!(network.features(ImageBatch::new(&pixels, 24, 40).unwrap()).unwrap(), first);
}

#[test]
fn what_is_no_image_of_the_network_is_refused() {
    let mut network = Inception::load(Cpu, weights()).unwrap();
    for len in [0, 1, SIDE * SIDE * 3 - 1] {
        assert_eq!(
            network.forward(&vec![0.0; len]).unwrap_err().to_string(),
            format!("number of values is {len}, expected one or more images of 299x299x3")
        );
    }
    let [map, inner, image] = [147 * 147 * 64, 35 * 35 * 288, 299 * 299 * 3];
    assert_eq!(network.activation_bytes(5), 5 * 4 * (2 * map + 2 * inner + image));
}
