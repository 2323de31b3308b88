//! What convolutions of images refuse, by name.

use ssm_kernels::conv2d::{Activation, Args, Kernel, Shape, cpu, reference};
use ssm_kernels::{KernelError, Mat, MatMut};

fn shape(batch: usize, height: usize, width: usize) -> Shape {
    Shape { batch, height, width }
}

#[test]
fn wrong_operands_are_named() {
    let kernel = Kernel::same(3, 4, 3);
    let refused = |shape: Shape,
                   x: fn(&[f32]) -> Mat<'_, f32>,
                   lens: [usize; 2],
                   out: [usize; 2],
                   words: &str| {
        let values = [0.0f32; 16];
        let [bias, add] = lens.map(|len| vec![0.0; len]);
        let [mut of_cpu, mut of_definition] = [(); 2].map(|()| vec![0.0f32; out[0] * out[1]]);
        let weights = cpu::Weights::new(&kernel, &[0.0; 108]).unwrap();
        let (x, activation) = (x(&values), Activation::None);
        let (bias, add) = (&bias[..], Some(&add[..]));
        let args = Args::<_, f32> { shape, x, weights: &weights, bias, add, activation };
        let of_cpu = cpu::forward(&args, MatMut::new(&mut of_cpu, out[0], out[1]));
        let weights = reference::Weights::new(&kernel, &[0.0; 108]).unwrap();
        let args = Args::<_, f32> { shape, x, weights: &weights, bias, add, activation };
        let out = MatMut::new(&mut of_definition, out[0], out[1]);
        for result in [of_cpu, reference::forward(&args, out)] {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with("conv2d: ") && error.contains(words), "{error}");
        }
    };
    let four = shape(1, 2, 2);
    refused(four, |v| Mat::new(&v[..9], 3, 3), [4, 16], [4, 4], ": x is 3x3, expected 4x3");
    refused(four, |v| Mat::new(&v[..8], 4, 2), [4, 16], [4, 4], ": x is 4x2, expected 4x3");
    let words = ": x is 4x3 with columns 4 apart, expected contiguous";
    refused(four, |v| Mat::new(&v[..12], 3, 4).t(), [4, 16], [4, 4], words);
    let fits: fn(&[f32]) -> Mat<'_, f32> = |v| Mat::new(&v[..12], 4, 3);
    refused(four, fits, [3, 16], [4, 4], "bias has 3 elements, expected 4");
    refused(four, fits, [4, 15], [4, 4], "add has 15 elements, expected 16");
    refused(four, fits, [4, 16], [4, 5], "out is 4x5, expected 4x4");
    refused(four, fits, [4, 16], [5, 4], "out is 5x4, expected 4x4");
    let none = shape(1, 0, 2);
    refused(none, |v| Mat::new(&v[..0], 0, 3), [4, 0], [0, 4], "smaller side of the image is 0");
}

#[test]
fn wrong_weights_are_named() {
    let kernel = Kernel::same(3, 4, 3);
    let refused = |kernel: Kernel, len: usize, words: &str| {
        let weight = vec![0.0f32; len];
        let both: [Result<(), KernelError>; 2] = [
            cpu::Weights::new(&kernel, &weight).map(drop),
            reference::Weights::new(&kernel, &weight).map(drop),
        ];
        for result in both {
            let error = result.unwrap_err().to_string();
            assert!(error.starts_with("conv2d: ") && error.contains(words), "{error}");
        }
    };
    refused(kernel, 107, "weight has 107 elements, expected 108");
    refused(Kernel { inputs: 0, ..kernel }, 0, "input channels is 0, supported: 1 or more");
    refused(Kernel { outputs: 0, ..kernel }, 0, "output channels is 0");
    refused(Kernel { height: 0, ..kernel }, 0, "rows of the kernel is 0");
    refused(Kernel { width: 0, ..kernel }, 0, "columns of the kernel is 0");
    refused(Kernel { stride: 0, ..kernel }, 108, "stride is 0");
}
