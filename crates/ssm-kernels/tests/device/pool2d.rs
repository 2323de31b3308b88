//! Pooling: all kinds of windows, over images inside wider rows.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{
    Lab, TestActivation, TestDriver, VALUES, around, assert_act, on_every_device, rounded,
};
use ssm_kernels::conv2d::Shape;
use ssm_kernels::pool2d::cases::CASES;
use ssm_kernels::pool2d::{Args, Kind, Window, reference};
use ssm_kernels::{ImageBackend, KernelError, Mat, MatMut, Storage};

const fn window(kind: Kind, side: usize, stride: usize, padding: usize) -> Window {
    Window { kind, side, stride, padding }
}

const fn shape(batch: usize, height: usize, width: usize) -> Shape {
    Shape { batch, height, width }
}

/// Beside those of every backend: channels that are vectors in both formats, in windows that meet the
/// edge and in those of whole images; rows that are more than one a thread, and wider than one block.
const MORE: [(Window, Shape, usize); 6] = [
    (window(Kind::Average, 3, 1, 1), shape(3, 5, 7), 40),
    (window(Kind::Average, 8, 8, 0), shape(3, 8, 8), 64),
    (window(Kind::Average, 4, 3, 3), shape(1, 6, 2), 16),
    (window(Kind::Max, 3, 1, 1), shape(3, 7, 5), 24),
    (window(Kind::Max, 3, 2, 0), shape(2, 1101, 3), 8),
    (window(Kind::Average, 3, 1, 1), shape(1, 2, 67), 72),
];

struct Problem {
    window: Window,
    shape: Shape,
    channels: usize,
    x: Vec<f64>,
    out_pixels: usize,
}

impl Problem {
    fn new<A: TestActivation>((window, shape, channels): (Window, Shape, usize)) -> Self {
        let (rows, columns) = window.out_size(shape.height, shape.width).expect("an output");
        let x = rounded::<A>(&around(1, pixels(&shape) * channels, -0.5, 2.0));
        Self { window, shape, channels, x, out_pixels: shape.batch * rows * columns }
    }

    fn reference(&self) -> Vec<f64> {
        let &Self { window, shape, channels, out_pixels, .. } = self;
        let x = Mat::new(&self.x, pixels(&shape), channels);
        let mut out = vec![f64::NAN; out_pixels * channels];
        let args = Args { shape, channels, x, window };
        reference::forward(&args, MatMut::new(&mut out, out_pixels, channels)).expect("operands");
        out
    }

    /// With so many elements that nobody may use before and behind every pixel, of `x` and of the output.
    fn on<A: TestActivation, D: TestDriver>(
        &self,
        lab: &Lab<A, D>,
        [x_margins, out_margins]: [[usize; 2]; 2],
    ) -> Vec<f64> {
        let &Self { window, shape, channels, out_pixels, .. } = self;
        let x = Framed::<A, D>::between(lab, &self.x, pixels(&shape), x_margins);
        let nothing = vec![f64::NAN; out_pixels * channels];
        let mut out = Framed::<A, D>::between(lab, &nothing, out_pixels, out_margins);
        let args = Args { shape, channels, x: x.mat(), window };
        lab.device.pool2d(&args, out.mat_mut()).expect("a pooling");
        out.get(lab)
    }
}

fn pixels(shape: &Shape) -> usize {
    shape.batch * shape.height * shape.width
}

fn values<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for case in CASES.into_iter().chain(MORE) {
        let problem = Problem::new::<A>(case);
        let want = problem.reference();
        for margin in [0, WHOLE, ODD] {
            let what = format!("{:?} {case:?} margin {margin}", A::FORMAT);
            let got = lab.in_every_schedule(&what, || problem.on(lab, [[margin; 2]; 2]));
            match problem.window.kind {
                // One of the values, as it is.
                Kind::Max => assert_eq!(got, want, "{what}"),
                Kind::Average => assert_act::<A>(&what, &got, &want, VALUES),
            }
        }
    }
}

/// Pixels that begin like vectors, and of which the second does not.
fn pixels_that_are_no_whole_vectors<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for kind in [Kind::Max, Kind::Average] {
        let problem = Problem::new::<A>((window(kind, 3, 2, 1), shape(3, 4, 5), 16));
        let want = problem.reference();
        for margins in [[[0, ODD], [0; 2]], [[0; 2], [0, ODD]]] {
            let what = format!("{:?} {kind:?} margins {margins:?}", A::FORMAT);
            assert_act::<A>(&what, &problem.on(lab, margins), &want, VALUES);
        }
    }
}

/// Not a number stays in every window that it is in, wherever it stands there.
fn not_a_number_stays<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for kind in [Kind::Max, Kind::Average] {
        let mut problem = Problem::new::<A>((window(kind, 3, 1, 1), shape(1, 5, 5), 1));
        problem.x[2 * 5 + 2] = f64::NAN;
        let got = problem.on(lab, [[0; 2]; 2]);
        for (pixel, out) in got.iter().enumerate() {
            let reaches = (pixel / 5).abs_diff(2) <= 1 && (pixel % 5).abs_diff(2) <= 1;
            assert_eq!(out.is_nan(), reaches, "{kind:?} pixel {pixel}: {out}");
        }
    }
}

fn call<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    batch: usize,
    [x, out]: [(usize, usize); 2],
    padding: usize,
) -> Result<(), KernelError> {
    let from = lab.act(&vec![1.0; x.0 * x.1]);
    let mut to = lab.act(&vec![1.0; out.0 * out.1]);
    let args = Args {
        shape: shape(batch, 4, 5),
        channels: 2,
        x: from.mat(x.0, x.1),
        window: window(Kind::Max, 3, 2, padding),
    };
    lab.device.pool2d(&args, to.mat_mut(out.0, out.1))
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    assert_eq!(call(lab, 0, [(0, 2), (0, 2)], 0), Ok(()));
    assert_eq!(call(lab, 1, [(20, 2), (2, 2)], 0), Ok(()));
    let wrong = [([(19, 2), (2, 2)], "x"), ([(20, 3), (2, 2)], "x"), ([(20, 2), (2, 1)], "out")];
    for (sizes, named) in wrong {
        let refused = call(lab, 1, sizes, 0);
        assert!(
            matches!(refused, Err(KernelError::Matrix { operand, .. }) if operand == named),
            "{refused:?}"
        );
    }
    let refused = call(lab, 1, [(20, 2), (12, 2)], 3);
    assert!(
        matches!(refused, Err(KernelError::Unsupported { what: "padding", got: 3, .. })),
        "{refused:?}"
    );
}

on_every_device!(
    values,
    pixels_that_are_no_whole_vectors,
    not_a_number_stays,
    nothing_and_what_does_not_fit
);
