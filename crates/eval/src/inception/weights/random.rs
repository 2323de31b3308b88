//! Weights to test and to measure with.

use super::{Param, Tensor, TensorMap, layout};

/// Random weights, a function of the seed alone, with activations of about 1 in every stage.
///
/// Each tensor has a stream of its own, numbers `u` in [0, 1) of SplitMix64 that starts from the seed
/// XOR the FNV-1a hash of the name, and is rounded to f32 once:
///
/// | name ends with | value |
/// |---|---|
/// | `conv.weight` | `(2 u - 1) sqrt(6 / (in rows columns))` |
/// | `bn.weight`, `bn.running_var` | `1/2 + u` |
/// | `bn.bias`, `bn.running_mean` | `0.2 u - 0.1` |
/// | `fc.weight` | `(2 u - 1) / 64` |
/// | `fc.bias` | `2 u - 1` |
///
/// Nothing is learned, so distances between features of such a network say nothing of images. The
/// formula stands beside the goldens too, so that other programs make the same weights.
pub fn random(seed: u64) -> TensorMap {
    let tensor = |Param { name, shape }: Param| {
        let mut stream = Stream(seed ^ fnv1a(&name));
        let part = name.rsplit('.').next().unwrap_or_default();
        let value: Box<dyn Fn(f64) -> f64> = match (name.split_once(".conv."), part) {
            (Some(_), _) => {
                let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
                Box::new(move |u| (2.0 * u - 1.0) * bound)
            }
            _ if name == "fc.weight" => Box::new(|u| (2.0 * u - 1.0) * 0.015625),
            _ if name == "fc.bias" => Box::new(|u| 2.0 * u - 1.0),
            (None, "weight" | "running_var") => Box::new(|u| 0.5 + u),
            _ => Box::new(|u| 0.2 * u - 0.1),
        };
        let len = shape.iter().product();
        let data = (0..len).map(|_| value(stream.next()) as f32).collect();
        (name, Tensor { shape, data })
    };
    layout().into_iter().map(tensor).collect()
}

/// SplitMix64.
struct Stream(u64);

impl Stream {
    /// The next number in [0, 1).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// FNV-1a of 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sum of position times bits over a tensor, and of those times the hashes of their names.
    #[test]
    fn weights_are_those_of_the_formula() {
        let tensors = random(1);
        super::super::check(&tensors, "random").unwrap();
        let checksum = |t: &Tensor| {
            let terms = t.data.iter().zip(1u64..);
            terms.fold(0u64, |sum, (x, i)| sum.wrapping_add(i.wrapping_mul(x.to_bits().into())))
        };
        assert_eq!(checksum(&tensors["Mixed_7c.branch_pool.conv.weight"]), 0xc344_f9c4_65ce_60be);
        assert_eq!(checksum(&tensors["fc.bias"]), 0x0003_c8ef_0119_acaf);
        let total = tensors.iter().fold(0u64, |sum, (name, t)| {
            sum.wrapping_add((fnv1a(name) | 1).wrapping_mul(checksum(t)))
        });
        assert_eq!(total, 0x3e9a_ce66_833c_78eb);
    }
}
