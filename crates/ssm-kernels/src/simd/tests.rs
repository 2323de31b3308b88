use super::*;

/// Applies one function to every lane of `x`.
struct Map<'a, F>(&'a mut [f32], F);

#[derive(Clone, Copy)]
enum Function {
    ExpNeg,
    Sigmoid,
    Silu,
    Softplus,
    SoftplusSlope,
}

impl Kernel for Map<'_, Function> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for chunk in self.0.chunks_mut(LANES) {
            let x = simd.load_part(chunk);
            let y = match self.1 {
                Function::ExpNeg => simd.exp_neg(x),
                Function::Sigmoid => simd.sigmoid(x),
                Function::Silu => simd.silu(x),
                Function::Softplus => simd.softplus(x),
                Function::SoftplusSlope => simd.softplus_slope(x).1,
            };
            simd.store_part(y, chunk);
        }
    }
}

fn worst(set: InstructionSet, function: Function, exact: impl Fn(f64) -> f64) -> f64 {
    let x: Vec<f32> = (0..40_003).map(|i| (i as f32 - 20_000.0) * 1e-3).collect();
    let mut y = x.clone();
    dispatch(set, Map(&mut y, function));
    x.iter().zip(&y).fold(0.0, |worst, (&x, &y)| {
        let want = exact(f64::from(x));
        let error = (f64::from(y) - want).abs();
        worst.max(if error == 0.0 { 0.0 } else { error / want.abs() })
    })
}

#[test]
fn elementary_functions_are_accurate_on_every_instruction_set() {
    for set in InstructionSet::available() {
        // The argument of exp2 is rounded once, which for |x| = 20 costs 29 * 2^-24.
        let exp_neg = |x: f64| (-x).exp();
        assert!(worst(set, Function::ExpNeg, exp_neg) < 2e-6, "{set:?} exp");
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert!(worst(set, Function::Sigmoid, sigmoid) < 2e-6, "{set:?} sigmoid");
        let silu = |x: f64| x * sigmoid(x);
        assert!(worst(set, Function::Silu, silu) < 2e-6, "{set:?} silu");
        assert!(worst(set, Function::SoftplusSlope, sigmoid) < 2e-6, "{set:?} slope");
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        assert!(worst(set, Function::Softplus, softplus) < 2e-6, "{set:?} softplus");
    }
}

#[test]
fn extremes_stay_finite() {
    for set in InstructionSet::available() {
        let mut x = [-1e4f32, -200.0, -88.0, 0.0, 88.0, 200.0, 1e4];
        dispatch(set, Map(&mut x, Function::Sigmoid));
        assert!(x.iter().all(|y| (0.0..=1.0).contains(y)), "{set:?}: {x:?}");
        let mut x = [-1e4f32, 25.0, 1e4];
        dispatch(set, Map(&mut x, Function::Softplus));
        assert!(x[0] >= 0.0 && x[0] < 1e-37 && x[1] == 25.0 && x[2] == 1e4, "{set:?}: {x:?}");
    }
}

/// Copies a part through a vector and sums it.
struct Move<'a>(&'a [f32], &'a mut [f32]);

impl Kernel for Move<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        let part = simd.load_part(self.0);
        simd.store_part(part, self.1);
        simd.sum(part)
    }
}

#[test]
fn parts_read_and_write_their_elements_alone() {
    let ones = [1.0f32; LANES];
    for set in InstructionSet::available() {
        for n in 0..=LANES {
            let mut to = [7.0f32; LANES + 1];
            // Missing lanes are 0: the sum counts the elements.
            assert_eq!(dispatch(set, Move(&ones[..n], &mut to[..n])), n as f32, "{set:?}");
            assert!(to[..n].iter().all(|&x| x == 1.0), "{set:?}, {n}: {to:?}");
            assert!(to[n..].iter().all(|&x| x == 7.0), "{set:?}, {n}: {to:?}");
        }
    }
}

#[test]
fn exp_of_zero_is_exactly_one() {
    for set in InstructionSet::available() {
        let mut x = [0.0f32; LANES];
        dispatch(set, Map(&mut x, Function::ExpNeg));
        assert_eq!(x, [1.0; LANES], "{set:?}");
    }
}

/// Sums of sixteen vectors, then `select_negative(x, 1, 2)` of the first.
struct Sums([[f32; LANES]; LANES]);

impl Kernel for Sums {
    type Output = [[f32; LANES]; 2];

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Self::Output {
        let mut vectors = [simd.splat(0.0); LANES];
        for (vector, lanes) in vectors.iter_mut().zip(&self.0) {
            *vector = simd.load(lanes);
        }
        let mut out = [[0.0; LANES]; 2];
        simd.store(simd.sums(&vectors), &mut out[0]);
        let signs = simd.select_negative(vectors[0], simd.splat(1.0), simd.splat(2.0));
        simd.store(signs, &mut out[1]);
        out
    }
}

#[test]
fn sums_stand_in_the_lane_of_their_vector() {
    let mut vectors = [[0.0; LANES]; LANES];
    for (i, vector) in vectors.iter_mut().enumerate() {
        for (lane, x) in vector.iter_mut().enumerate() {
            *x = ((i * 37 + lane * 11) % 64) as f32 - 20.0;
        }
    }
    let sums = vectors.map(|vector| vector.iter().sum::<f32>());
    let signs = vectors[0].map(|x| if x < 0.0 { 1.0 } else { 2.0 });
    for set in InstructionSet::available() {
        assert_eq!(dispatch(set, Sums(vectors)), [sums, signs], "{set:?}");
    }
}
