//! Engines one by one, also those that are not the choice on this CPU.

use super::*;

/// Every engine that this CPU can run, whether or not it is the fastest choice here.
fn engines() -> Vec<Engine> {
    let has_dots = is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512bf16");
    let amx = [Engine::AmxF32, Engine::AmxBf16].into_iter().filter(|_| amx_available());
    amx.chain(has_dots.then_some(Engine::DotBf16)).collect()
}

#[test]
fn every_engine_multiplies_small_whole_numbers_exactly() {
    for (m, k, n) in [(1, 1, 1), (33, 65, 31), (64, 600, 40), (7, 40, 130)] {
        let number = |i: usize| ((i * 37) % 17) as f32 - 8.0;
        let a: Vec<f32> = (0..m * k).map(number).collect();
        let b: Vec<f32> = (0..k * n).map(number).collect();
        for (a, b) in [
            (Mat::new(&a, m, k), Mat::new(&b, k, n)),
            (Mat::new(&a, k, m).t(), Mat::new(&b, n, k).t()),
        ] {
            for write in [Write::Overwrite, Write::Accumulate] {
                let mut want = vec![2.0; m * n];
                let view = &mut MatMut::new(&mut want, m, n);
                crate::gemm::reference(view, write, a, b).expect("shapes agree");
                for engine in engines() {
                    let mut got = vec![2.0; m * n];
                    let view = &mut MatMut::new(&mut got, m, n);
                    assert!(run_on(engine, view, write, a, b));
                    assert!(got == want, "{engine:?} {m}x{k}x{n} {write:?}");
                }
            }
        }
    }
}
