//! Both permutations: the same bits as the definition.

use crate::framed::{Framed, ODD, WHOLE};
use crate::support::{Lab, TestActivation, TestDriver, around, on_every_device, rounded};
use ssm_kernels::patchify::device::{gather, scatter};
use ssm_kernels::patchify::{Inner, Shape, reference};
use ssm_kernels::{KernelError, Storage};

/// Batch, channels, height, width, patch, leading tokens. Blocks write 1024 elements of an image.
const SHAPES: [[usize; 6]; 9] = [
    [1, 1, 1, 1, 1, 0],
    [2, 3, 8, 8, 2, 2],
    [3, 4, 6, 10, 2, 1],
    [1, 1, 5, 5, 1, 2],
    [5, 3, 9, 6, 3, 1],
    [2, 5, 7, 14, 7, 0],
    [2, 4, 32, 32, 2, 2],
    // More images than rows of blocks.
    [131, 1, 2, 4, 2, 1],
    [3, 64, 32, 32, 4, 1],
];

/// Tokens of the image, and the image of other tokens.
type Results = [Vec<f64>; 2];

fn on<A: TestActivation, D: TestDriver>(
    lab: &Lab<A, D>,
    shape: &Shape,
    [image, tokens]: [&[f64]; 2],
    margin: usize,
) -> Results {
    let from = Framed::<f32, D>::row(lab, image, margin);
    let mut to = Framed::<A, D>::empty(lab, tokens.len(), margin);
    gather(&lab.device, shape, from.view(), to.view_mut()).expect("gather");
    let gathered = to.get(lab);
    let from = Framed::<A, D>::row(lab, tokens, margin);
    let mut to = Framed::<f32, D>::empty(lab, image.len(), margin);
    scatter(&lab.device, shape, from.view(), to.view_mut()).expect("scatter");
    [gathered, to.get(lab)]
}

fn permutations<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    for [batch, channels, height, width, patch, extra] in SHAPES {
        for inner in [Inner::ChannelFirst, Inner::ChannelLast] {
            let shape = Shape { batch, channels, height, width, patch, extra, inner };
            if shape.tokens_len() > D::MOST_ELEMENTS {
                continue;
            }
            let image = around(1, shape.image_len(), 0.0, 1.0);
            let tokens = rounded::<A>(&around(2, shape.tokens_len(), 0.0, 1.0));
            let mut want = [vec![0.0; tokens.len()], vec![0.0; image.len()]];
            reference::gather(&shape, &image, &mut want[0]).expect("fitting operands");
            reference::scatter(&shape, &tokens, &mut want[1]).expect("fitting operands");
            want[0] = rounded::<A>(&want[0]);
            for margin in [0, WHOLE, ODD] {
                let what = format!("{:?} {shape:?} margin {margin}", A::FORMAT);
                let got =
                    lab.in_every_schedule(&what, || on(lab, &shape, [&image, &tokens], margin));
                assert!(got[0] == want[0], "{what}: tokens");
                assert!(got[1] == want[1], "{what}: image");
            }
        }
    }
}

fn nothing_and_what_does_not_fit<A: TestActivation, D: TestDriver>(lab: &Lab<A, D>) {
    let shape = |batch, height| {
        let inner = Inner::ChannelFirst;
        Shape { batch, channels: 3, height, width: 4, patch: 2, extra: 1, inner }
    };
    let (image, mut tokens) = (lab.wide(&[]), lab.empty(0));
    gather(&lab.device, &shape(0, 4), image.view(), tokens.view_mut()).expect("nothing");
    let refused = gather(&lab.device, &shape(1, 4), image.view(), tokens.view_mut());
    assert!(matches!(refused, Err(KernelError::Length { operand: "image", .. })), "{refused:?}");
    let refused = gather(&lab.device, &shape(0, 3), image.view(), tokens.view_mut());
    assert!(
        matches!(refused, Err(KernelError::Unsupported { what: "height", got: 3, .. })),
        "{refused:?}"
    );
}

on_every_device!(permutations, nothing_and_what_does_not_fit);
