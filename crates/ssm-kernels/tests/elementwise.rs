//! The small steps against loops written out, the fast form against the definition, and refusals.

use parity::uniform;
use ssm_kernels::elementwise::{DropPath, ResidualAdd, cpu, reference};
use ssm_kernels::{Backend, Cpu, KernelError, Mat, Reference};

/// Lengths below, at and above a task of the fast form.
const LENGTHS: [usize; 5] = [1, 7, 1 << 14, (1 << 14) + 1, 3 * (1 << 14) + 5];

fn numbers(seed: u64, len: usize) -> Vec<f32> {
    parity::to_f32(&uniform(seed, len))
}

/// What both forms make of `start`, which must be the same bits.
fn both(start: &[f32], run: impl Fn(bool, &mut [f32]) -> Result<(), KernelError>) -> Vec<f32> {
    let [plain, fast] = [false, true].map(|fast| {
        let mut out = start.to_vec();
        run(fast, &mut out).expect("fitting operands");
        out
    });
    assert_eq!(plain, fast);
    plain
}

#[test]
fn sums_of_two() {
    for len in LENGTHS {
        let (a, b) = (numbers(1, len), numbers(2, len));
        let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let add =
            |fast, out: &mut [f32]| [reference::add, cpu::add][usize::from(fast)](&a, &b, out);
        assert_eq!(both(&vec![f32::NAN; len], add), want);
        let assign = |fast, to: &mut [f32]| match fast {
            false => reference::add_assign(to, &b),
            true => cpu::add_assign(to, &b),
        };
        assert_eq!(both(&a, assign), want);
        let residual = |fast, to: &mut [f32]| match fast {
            false => reference::add_to_residual(to, &b),
            true => cpu::add_to_residual(to, &b),
        };
        assert_eq!(both(&a, residual), want);
    }
}

#[test]
fn rows_and_columns() {
    for (rows, cols) in [(1, 1), (3, 128), (65, 129), (200, 300)] {
        let row = numbers(3, cols);
        let fill = |fast, out: &mut [f32]| match fast {
            false => reference::fill_rows(&row, out),
            true => cpu::fill_rows(&row, out),
        };
        assert_eq!(both(&vec![f32::NAN; rows * cols], fill), row.repeat(rows));

        // Columns of wider rows, added to what is there, the first row first.
        let wide = numbers(4, rows * (cols + 5));
        let x = Mat::columns(&wide, rows, cols + 5, 2, cols);
        let sums = |fast, sums: &mut [f32]| match fast {
            false => reference::add_column_sums(x, sums),
            true => cpu::add_column_sums(x, sums),
        };
        let mut want = row.clone();
        for r in 0..rows {
            want.iter_mut().zip(x.row(r)).for_each(|(sum, x)| *sum += x);
        }
        assert_eq!(both(&row, sums), want);
    }
}

#[test]
fn drop_path_scales_whole_images() {
    const FACTORS: [f32; 3] = [1.25, 0.0, 1.0];
    for image in [1, 5, 1000] {
        let (hidden, stream) = (numbers(5, 3 * image), numbers(6, 3 * image));
        let start = vec![f32::NAN; 3 * image];
        for drop_path in [None, Some(&FACTORS[..])] {
            let factor = |i: usize| drop_path.map_or(1.0, |factors| factors[i / image]);
            let args = DropPath { batch: 3, x: &hidden[..], drop_path };
            let scaled = both(&start, |fast, out| match fast {
                false => reference::apply_drop_path(&args, out),
                true => cpu::apply_drop_path(&args, out),
            });
            for residual in [None, Some(&stream[..])] {
                let args = ResidualAdd { batch: 3, hidden: &hidden[..], residual, drop_path };
                let sum = both(&start, |fast, out| match fast {
                    false => reference::residual_add(&args, out),
                    true => cpu::residual_add(&args, out),
                });
                for i in 0..3 * image {
                    assert_eq!(scaled[i], factor(i) * hidden[i]);
                    let want = residual.map(|residual| residual[i] + factor(i) * hidden[i]);
                    assert_eq!(sum[i], want.unwrap_or(hidden[i]), "no drop-path without a stream");
                }
            }
        }
    }
}

#[test]
fn silu_and_its_slope() {
    let x: Vec<f64> = uniform(7, 50).iter().map(|x| 8.0 * x).collect();
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let mut value = vec![f64::NAN; x.len()];
    reference::silu(&x, &mut value).unwrap();
    let mut slope = vec![2.0; x.len()];
    reference::silu_backward(&x, &mut slope).unwrap();
    for ((&x, value), slope) in x.iter().zip(value).zip(slope) {
        assert!((value - silu(x)).abs() < 1e-14);
        let difference = (silu(x + 1e-6) - silu(x - 1e-6)) / 2e-6;
        assert!((slope - 2.0 * difference).abs() < 1e-8, "at {x}: {slope}");
    }
}

#[test]
fn wrong_operands_are_named() {
    let x = [1.0f32; 12];
    let mut out = [0.0f32; 11];
    let args = ResidualAdd { batch: 5, hidden: &x[..], residual: None, drop_path: None };
    let of = |result: Result<(), KernelError>| result.unwrap_err().to_string();
    for (words, refused) in [
        ("fill_rows: row is 0", of(Cpu.fill_rows(&[], &mut out))),
        ("fill_rows: out has 11", of(Cpu.fill_rows(&x[..3], &mut out))),
        ("sums has 11", of(Cpu.add_column_sums(Mat::new(&x, 1, 12), &mut out))),
        ("column stride of x", of(Cpu.add_column_sums(Mat::new(&x, 6, 2).t(), &mut out[..6]))),
        ("add: b has 11", of(Cpu.add(&x, &x[1..], &mut out))),
        ("add: out has 11", of(Cpu.add(&x, &x, &mut out))),
        ("add_assign: from has 12", of(Cpu.add_assign(&mut out, &x))),
        ("add_to_residual: x has 12", of(Cpu.add_to_residual(&mut out, &x))),
        ("residual_add: hidden has 12", of(Cpu.residual_add(&args, &mut out))),
        (
            "residual_add: drop_path has 2",
            of(Cpu.residual_add(
                &ResidualAdd { batch: 3, drop_path: Some(&x[..2]), ..args },
                &mut out,
            )),
        ),
        (
            "apply_drop_path: out has 11",
            of(Cpu.apply_drop_path(&DropPath { batch: 3, x: &x[..], drop_path: None }, &mut out)),
        ),
        ("silu: out has 11", of(Cpu.silu(&x, &mut out))),
        ("silu_backward: grad has 11", of(Reference::default().silu_backward(&x, &mut out))),
        ("copy: to has 11", of(Cpu.copy(&x[..], &mut out[..]))),
    ] {
        assert!(refused.contains(words), "{refused}: no {words}");
    }
}
