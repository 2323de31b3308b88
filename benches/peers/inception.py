"""Inception-v3 of 2015 behind pytorch-fid's resize, written for timing: eager convolutions with the norms folded in.

Weights are those of `eval::inception::weights::random`, so that both sides can be compared before they are timed.
"""
import math

import numpy as np
import torch
import torch.nn.functional as F

SEED = 0
EPS = 1e-3

# Of all convolutions of an image, two a multiply-add.
FLOPS = 11_422_336_192


def uniform(name, shape):
    """Numbers in [0, 1) of SplitMix64 that starts from the seed and the FNV-1a hash of the name, in f64."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(SEED ^ state) + np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53).reshape(shape)


def folded(name, shape):
    """Weight and bias of a convolution and the norm behind it."""
    f32 = lambda x: x.astype(np.float32).astype(np.float64)
    norm = lambda part: uniform(f"{name}.bn.{part}", shape[:1])
    weight = f32((2 * uniform(f"{name}.conv.weight", shape) - 1) * math.sqrt(6 / math.prod(shape[1:])))
    factor = f32(0.5 + norm("weight")) / np.sqrt(f32(0.5 + norm("running_var")) + EPS)
    bias = f32(0.2 * norm("bias") - 0.1) - f32(0.2 * norm("running_mean") - 0.1) * factor
    return [torch.from_numpy(x.astype(np.float32)) for x in (weight * factor[:, None, None, None], bias)]


class Inception:
    """Bytes [B, H, W, 3] to features [B, 2048]. A layer draws its weights at its first call."""

    def __init__(self, layout):
        self.layout, self.layers = layout, {}

    def conv(self, name, x, outputs, size=(1, 1), stride=1, valid=False):
        if name not in self.layers:
            weight, bias = folded(name, (outputs, x.shape[1], *size))
            self.layers[name] = weight.to(memory_format=self.layout), bias
        weight, bias = self.layers[name]
        padding = (0, 0) if valid else (size[0] // 2, size[1] // 2)
        return F.conv2d(x, weight, bias, stride, padding).relu_()

    def chain(self, stage, x, *layers):
        for name, outputs, *rest in layers:
            x = self.conv(f"{stage}.{name}", x, outputs, *rest)
        return x

    @staticmethod
    def average(x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    @staticmethod
    def largest(x):
        return F.max_pool2d(x, 3, 1, 1)

    @staticmethod
    def halved(x):
        return F.max_pool2d(x, 3, 2)

    def mixed_5(self, stage, x, pooled):
        return torch.cat([
            self.chain(stage, x, ("branch1x1", 64)),
            self.chain(stage, x, ("branch5x5_1", 48), ("branch5x5_2", 64, (5, 5))),
            self.chain(stage, x, ("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, (3, 3))),
            self.chain(stage, self.average(x), ("branch_pool", pooled)),
        ], 1)

    def mixed_6(self, stage, x, inner):
        row, column = (1, 7), (7, 1)
        return torch.cat([
            self.chain(stage, x, ("branch1x1", 192)),
            self.chain(stage, x, ("branch7x7_1", inner), ("branch7x7_2", inner, row), ("branch7x7_3", 192, column)),
            self.chain(
                stage, x, ("branch7x7dbl_1", inner), ("branch7x7dbl_2", inner, column), ("branch7x7dbl_3", inner, row),
                ("branch7x7dbl_4", inner, column), ("branch7x7dbl_5", 192, row),
            ),
            self.chain(stage, self.average(x), ("branch_pool", 192)),
        ], 1)

    def mixed_7(self, stage, x, pool):
        fork = lambda name, y: [self.conv(f"{stage}.{name}{end}", y, 384, size) for end, size in (("a", (1, 3)), ("b", (3, 1)))]
        return torch.cat([
            self.chain(stage, x, ("branch1x1", 320)),
            *fork("branch3x3_2", self.chain(stage, x, ("branch3x3_1", 384))),
            *fork("branch3x3dbl_3", self.chain(stage, x, ("branch3x3dbl_1", 448), ("branch3x3dbl_2", 384, (3, 3)))),
            self.chain(stage, pool(x), ("branch_pool", 192)),
        ], 1)

    def __call__(self, images):
        x = images.permute(0, 3, 1, 2).float() / 255
        x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
        x = x.contiguous(memory_format=self.layout)
        half = ((3, 3), 2, True)
        x = self.conv("Conv2d_1a_3x3", x, 32, *half)
        x = self.conv("Conv2d_2a_3x3", x, 32, (3, 3), 1, True)
        x = self.halved(self.conv("Conv2d_2b_3x3", x, 64, (3, 3)))
        x = self.conv("Conv2d_3b_1x1", x, 80)
        x = self.halved(self.conv("Conv2d_4a_3x3", x, 192, (3, 3), 1, True))
        for stage, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = self.mixed_5(stage, x, pooled)
        x = torch.cat([
            self.chain("Mixed_6a", x, ("branch3x3", 384, *half)),
            self.chain("Mixed_6a", x, ("branch3x3dbl_1", 64), ("branch3x3dbl_2", 96, (3, 3)), ("branch3x3dbl_3", 96, *half)),
            self.halved(x),
        ], 1)
        for stage, inner in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            x = self.mixed_6(stage, x, inner)
        x = torch.cat([
            self.chain("Mixed_7a", x, ("branch3x3_1", 192), ("branch3x3_2", 320, *half)),
            self.chain(
                "Mixed_7a", x, ("branch7x7x3_1", 192), ("branch7x7x3_2", 192, (1, 7)), ("branch7x7x3_3", 192, (7, 1)),
                ("branch7x7x3_4", 192, *half),
            ),
            self.halved(x),
        ], 1)
        x = self.mixed_7("Mixed_7b", x, self.average)
        return self.mixed_7("Mixed_7c", x, self.largest).mean((2, 3))


def images(batch, side):
    """The bytes that the other side has too: the high ones of multiples of a large odd number."""
    numbers = np.arange(batch * side * side * 3, dtype=np.uint64) * np.uint64(2654435761)
    return torch.from_numpy(((numbers >> np.uint64(24)) & np.uint64(255)).astype(np.uint8).reshape(batch, side, side, 3))
