//! Matrix products: operands as they stand, transposed or as columns of wider rows, one or two at a time.

use crate::support::{
    GRADIENTS, Lab, TestActivation, TestDriver, VALUES, assert_act, assert_wide, on_every_device,
    rounded,
};
use parity::uniform;
use ssm_kernels::{Backend, Mat, MatMut, Storage, Write, gemm};

/// Rows, terms and columns: a token's, odd ones, and those of a small network.
const SIZES: [[usize; 3]; 5] = [[1, 1, 1], [3, 5, 2], [17, 33, 9], [66, 40, 96], [130, 96, 55]];

/// Columns before those of an operand inside its wider rows.
const MARGIN: usize = 3;

/// How an operand stands in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stands {
    Straight,
    Transposed,
    InWiderRows,
}

/// Operands of the two products, exact in the format of `A`.
struct Problem {
    size: [usize; 3],
    a: [Vec<f64>; 2],
    b: [Vec<f64>; 2],
    old: [Vec<f64>; 2],
}

impl Problem {
    fn new<A: TestActivation>(size: [usize; 3]) -> Self {
        let [rows, terms, cols] = size;
        let numbers =
            |seed: u64, len: usize| [seed, seed + 1].map(|seed| rounded::<A>(&uniform(seed, len)));
        Self {
            size,
            a: numbers(1, rows * terms),
            b: numbers(3, terms * cols),
            old: numbers(5, rows * cols),
        }
    }

    fn reference(&self, i: usize, write: Write) -> Vec<f64> {
        let [rows, terms, cols] = self.size;
        let mut out = self.old[i].clone();
        let (a, b) = (Mat::new(&self.a[i], rows, terms), Mat::new(&self.b[i], terms, cols));
        gemm::reference(&mut MatMut::new(&mut out, rows, cols), write, a, b).expect("shapes fit");
        out
    }
}

/// A matrix as it stands in memory; what is beside it is NaN.
fn laid_out(x: &[f64], cols: usize, stands: Stands) -> Vec<f64> {
    let rows = x.len() / cols;
    match stands {
        Stands::Straight => x.to_vec(),
        Stands::Transposed => (0..x.len()).map(|i| x[i % rows * cols + i / rows]).collect(),
        Stands::InWiderRows => {
            let margin = vec![f64::NAN; MARGIN];
            x.chunks_exact(cols).flat_map(|row| [&margin, row, &margin].concat()).collect()
        }
    }
}

macro_rules! view {
    ($buffer:expr, $rows:expr, $cols:expr, $stands:expr) => {
        match $stands {
            Stands::Straight => $buffer.mat($rows, $cols),
            Stands::Transposed => $buffer.mat($cols, $rows).t(),
            Stands::InWiderRows => $buffer.columns($rows, MARGIN..MARGIN + $cols),
        }
    };
}

const LAYOUTS: [Stands; 3] = [Stands::Straight, Stands::Transposed, Stands::InWiderRows];

fn products<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for size in SIZES {
        for (a_stands, b_stands) in LAYOUTS.iter().flat_map(|&a| LAYOUTS.map(|b| (a, b))) {
            for write in [Write::Overwrite, Write::Accumulate] {
                let what = format!("{size:?} {a_stands:?} {b_stands:?} {write:?}");
                one_of_each(lab, &what, &Problem::new::<A>(size), [a_stands, b_stands], write);
            }
        }
    }
}

/// A product into each format, and a pair in both orders of its buffers.
fn one_of_each<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    what: &str,
    problem: &Problem,
    [a_stands, b_stands]: [Stands; 2],
    write: Write,
) {
    let [rows, terms, cols] = problem.size;
    let a = [0, 1].map(|i| lab.act(&laid_out(&problem.a[i], terms, a_stands)));
    let b = [0, 1].map(|i| lab.act(&laid_out(&problem.b[i], cols, b_stands)));
    let a = [0, 1].map(|i| view!(a[i], rows, terms, a_stands));
    let b = [0, 1].map(|i| view!(b[i], terms, cols, b_stands));
    let want = [0, 1].map(|i| problem.reference(i, write));

    let mut out = lab.act(&problem.old[0]);
    lab.device.gemm(out.mat_mut(rows, cols), write, a[0], b[0]).expect("a product");
    assert_act::<A>(what, &lab.get_act(&out), &want[0], VALUES);
    let mut wide = lab.wide(&problem.old[0]);
    lab.device.gemm_wide(wide.mat_mut(rows, cols), write, a[0], b[0]).expect("a product");
    assert_wide(&format!("{what}, wide"), &lab.get_wide(&wide), &want[0], GRADIENTS);

    for [first, second] in [[0, 1], [1, 0]] {
        let mut outs = [first, second].map(|i| lab.act(&problem.old[i]));
        let views = outs.each_mut().map(|out| out.mat_mut(rows, cols));
        let (a, b) = ([a[first], a[second]], [b[first], b[second]]);
        lab.device.gemm_pair(views, write, a, b).expect("a pair");
        for (out, i) in outs.iter().zip([first, second]) {
            assert_act::<A>(&format!("{what}, {i} of a pair"), &lab.get_act(out), &want[i], VALUES);
        }
    }
}

fn shapes_that_are_no_product_are_refused<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let (a, b) = (lab.act(&[0.0; 6]), lab.act(&[0.0; 6]));
    let mut out = lab.act(&[0.0; 4]);
    let refused = lab.device.gemm(out.mat_mut(2, 2), Write::Overwrite, a.mat(2, 3), b.mat(2, 3));
    assert!(refused.is_err());
}

on_every_device!(products, shapes_that_are_no_product_are_refused);
