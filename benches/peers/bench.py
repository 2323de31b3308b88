"""Times the PyTorch peers, interleaved: `python bench.py CASE... [--rounds 7]`.

Cases are PART/VARIANT/PASS, for example scan/unbind/forward, block/unbind/train, model/dit/train;
`--list` names them all. `--serve` answers one JSON line for every case name read from standard
input, so that another program can alternate with this one; for `CASE values` it is what the case gives.

The program starts itself again with an allocator setting under which freed memory is kept: with
glibc's defaults every tensor above 32 MiB is mapped and page-faulted anew, which can double the
time of the eager scans. `--default-malloc` measures that.
"""
import argparse
import contextlib
import json
import os
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import inception
import models
from scans import PYTORCH_SCANS

LENGTH, WIDTH, INNER, STATES, BLOCKS = 257, 384, 768, 16, 25
KEEP_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184:glibc.malloc.top_pad=268435456"


class Case:
    """One timed call; `images` and `flops` describe the work it stands for, `values` what it gives."""

    def __init__(self, call, images=None, flops=None, times=1, values=()):
        self.call, self.images, self.flops, self.times, self.values = call, images, flops, times, values

    def seconds(self):
        """One visit: a single call, or the median of several warm ones when the call is short.

        The pause lets the worker threads of whatever ran before stop spinning.
        """
        time.sleep(0.05)
        times = [self.once()]
        if times[0] < 0.05:
            times = [self.once() for _ in range(9)]
        return statistics.median(times) * self.times

    def once(self):
        start = time.perf_counter()
        self.call()
        return time.perf_counter() - start


def forward_only(f):
    def call():
        with torch.no_grad():
            f()
    return call


def scan_case(variant, train, batch):
    """Both directions. Layout is channel-first, or token-major strides under `-strided`."""
    name, *flags = variant.split("-")
    leaf = lambda *shape: torch.randn(*shape).requires_grad_()
    A = (-torch.arange(1.0, STATES + 1).repeat(INNER, 1)).requires_grad_()
    D, bias = leaf(INNER), torch.full((INNER,), -4.0, requires_grad=True)
    if "strided" in flags:
        act = lambda: torch.randn(batch, LENGTH, INNER).transpose(1, 2).requires_grad_()
    else:
        act = lambda: leaf(batch, INNER, LENGTH)
    u, delta, gate, grad = act(), act(), act(), act().detach()
    B, C = leaf(batch, STATES, LENGTH), leaf(batch, STATES, LENGTH)
    scan = PYTORCH_SCANS[name]
    if "compiled" in flags:
        scan = torch.compile(scan)
    one = lambda: scan(u, delta, A, B, C, D, gate, bias)
    if not train:
        return Case(forward_only(lambda: (one(), one())))

    def call():
        for _ in range(2):
            one().backward(grad)
    return Case(call)


def block_case(variant, train, batch):
    """One DiS-S/2 block with a skip, counted 25 times: a whole eager step needs over 20 GB at batch 8."""
    name, *flags = variant.split("-")
    scan = PYTORCH_SCANS[name]
    block = models.DisBlock(WIDTH, skip=True)
    run = torch.compile(block) if flags else block
    x, residual, skip = (torch.randn(batch, LENGTH, WIDTH) for _ in range(3))
    flops = models.dis_gemm_flops() * batch * (3 if train else 1)
    if not train:
        call = forward_only(lambda: run(x, residual, skip, scan))
    else:
        leaf, grad = x.clone().requires_grad_(), torch.randn_like(x)
        call = lambda: run(leaf, residual, skip, scan)[0].backward(grad)
    return Case(call, batch, flops, BLOCKS)


def model_case(variant, train, batch):
    name, *flags = variant.split("-")
    if name == "dis":
        model, flops = models.Dis(scan=PYTORCH_SCANS[flags[0]]), models.dis_gemm_flops()
        flags = []
    else:
        depth = 24 if name == "dit24" else 12
        model, flops = models.Dit(depth=depth), models.dit_gemm_flops(depth=depth)
    run = torch.compile(model) if "compiled" in flags else model
    bf16 = "bf16" in flags
    cast = (lambda: torch.autocast("cpu", torch.bfloat16)) if bf16 else contextlib.nullcontext
    images, t = torch.randn(batch, 3, 32, 32), torch.randint(0, 1000, (batch,))

    def forward():
        with cast():
            return run(images, t)

    def step():
        forward().float().square().mean().backward()
        model.zero_grad(set_to_none=True)
    flops *= batch * (3 if train else 1)
    return Case(step if train else forward_only(forward), batch, flops)


def autoencoder_case(variant, train, batch):
    """One image of 256x256 to its posterior, or one latent to that image; weights are frozen."""
    from diffusers import AutoencoderKL

    name, *flags = variant.split("-")
    model = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
        sample_size=256,
    ).eval()
    input = torch.randn(1, 3, 256, 256) if name == "encode" else torch.randn(1, 4, 32, 32)
    if flags:
        model = model.to(memory_format=torch.channels_last)
        input = input.to(memory_format=torch.channels_last)
    call = {"encode": model.encode, "decode": model.decode}[name]
    return Case(forward_only(lambda: call(input)), 1)


def inception_case(variant, train, batch):
    """Features of images of 32x32 or 256x256 bytes, from the resize on."""
    side, *flags = variant.split("-")
    network = inception.Inception(torch.channels_last if flags else torch.contiguous_format)
    images = inception.images(batch, int(side))
    with torch.no_grad():
        features = network(images)
    call = forward_only(lambda: network(images))
    return Case(call, batch, inception.FLOPS * batch, values=features.flatten().tolist())


def faster(make_call):
    """The call that is faster of those with images channel-first and channel-last."""
    calls = [make_call(layout) for layout in (torch.contiguous_format, torch.channels_last)]
    for call in calls:
        call()
    return min(calls, key=lambda call: min(Case(call).once() for _ in range(5)))


def conv_case(variant, train, batch):
    """A convolution of one image: channels in and out, kernel, side of the image."""
    *numbers, how = variant.split("-") if variant[-1].isalpha() else [*variant.split("-"), "same"]
    inputs, outputs, kernel, side = map(int, numbers)
    stride, padding = (2, 0) if how == "half" else (1, kernel // 2)

    def make_call(layout):
        layer = torch.nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding).to(memory_format=layout)
        image = torch.randn(1, inputs, side, side).to(memory_format=layout)
        before = {
            "same": lambda x: x,
            "half": lambda x: F.pad(x, (0, 1, 0, 1)),
            "double": lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"),
        }[how]
        return forward_only(lambda: layer(before(image)))
    return Case(faster(make_call))


def inception_conv_case(variant, train, batch):
    """A convolution of eight images with ReLU: channels in and out, kernel, side of the images, padding."""
    inputs, outputs, kernel, side, how = variant.split("-")
    kernel = [int(n) for n in kernel.split("x")]
    padding = [n // 2 for n in kernel] if how == "same" else 0

    def make_call(layout):
        layer = torch.nn.Conv2d(int(inputs), int(outputs), kernel, stride=2 if how == "half" else 1, padding=padding)
        layer = layer.to(memory_format=layout)
        images = torch.randn(8, int(inputs), int(side), int(side)).to(memory_format=layout)
        return forward_only(lambda: torch.relu_(layer(images)))
    return Case(faster(make_call))


def norm_case(variant, train, batch):
    """Group norm of 32 groups and SiLU of one image: channels, side of the image."""
    channels, side = (int(n) for n in variant.split("-"))
    norm = torch.nn.GroupNorm(32, channels, eps=1e-6)

    def make_call(layout):
        image = torch.randn(1, channels, side, side).to(memory_format=layout)
        return forward_only(lambda: F.silu(norm(image)))
    return Case(faster(make_call))


CONVS = [
    "128-128-3-256", "256-256-3-256", "256-256-3-128", "512-512-3-128", "512-512-3-64", "512-512-3-32",
    "3-128-3-256", "128-3-3-256", "4-512-3-32", "512-8-3-32", "256-128-1-256",
    "128-128-3-256-half", "256-256-3-128-double", "512-512-3-64-double",
]

INCEPTION = [
    "3-32-3x3-299-half", "80-192-3x3-73-valid", "288-64-1x1-35-same", "48-64-5x5-35-same", "288-384-3x3-35-half",
    "768-192-1x1-17-same", "192-192-1x7-17-same", "192-192-7x1-17-same", "448-384-3x3-8-same",
]

VARIANTS = {
    "scan": (scan_case, ["indexed", "unbind", "chunked", "unbind-compiled", "unbind-compiled-strided"]),
    "block": (block_case, ["indexed", "unbind", "chunked", "unbind-compiled"]),
    "model": (
        model_case,
        ["dit", "dit-compiled", "dit-bf16", "dit24", "dis-indexed", "dis-unbind"],
    ),
    "autoencoder": (
        autoencoder_case,
        ["encode", "encode-channels_last", "decode", "decode-channels_last"],
    ),
    "inception": (
        inception_case,
        ["32", "32-channels_last", "256", "256-channels_last"],
    ),
    "conv": (conv_case, CONVS),
    "inception-conv": (inception_conv_case, INCEPTION),
    "norm": (norm_case, ["128-256", "256-128", "512-64"]),
}


# Twenty minutes a step.
TOO_SLOW = {"model/dis-indexed/train"}


def case_names():
    names = [f"{part}/{v}/{p}" for part, (_, vs) in VARIANTS.items() for v in vs for p in ("forward", "train")]
    frozen = {f"{part}/{v}/train" for part in ("conv", "inception-conv", "norm", "autoencoder", "inception") for v in VARIANTS[part][1]}
    return [name for name in names if name not in TOO_SLOW | frozen]


def make(name, batch):
    if name not in case_names():
        sys.exit(f"unknown case {name!r}; --list names them")
    part, variant, kind = name.split("/")
    torch.manual_seed(0)
    case = VARIANTS[part][0](variant, kind == "train", batch)
    start = time.perf_counter()
    case.call()
    case.setup = time.perf_counter() - start
    case.call()
    return case


def serve(batch):
    cases = {}
    for line in sys.stdin:
        name, _, what = line.strip().partition(" ")
        if name not in cases:
            cases[name] = make(name, batch)
        answer = {"values": cases[name].values} if what else {"seconds": cases[name].seconds()}
        print(json.dumps({"case": name, **answer}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", metavar="FILE", help="also write every single time")
    parser.add_argument("--default-malloc", action="store_true", help="leave glibc's allocator as it is")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.list:
        return print("\n".join(case_names()))
    if not options.default_malloc and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = KEEP_MEMORY
        os.execv(sys.executable, [sys.executable, *sys.argv])
    torch.set_num_threads(options.threads)
    if options.serve:
        return serve(options.batch)
    if not options.cases:
        parser.error("name at least one case")
    cases = {name: make(name, options.batch) for name in options.cases}
    times = {name: [] for name in cases}
    faults = dict.fromkeys(cases, 0)
    count_faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(options.rounds):
        for name, case in cases.items():
            before = count_faults()
            times[name].append(case.seconds())
            faults[name] += count_faults() - before
    malloc = os.environ.get("GLIBC_TUNABLES", "default malloc")
    print(f"torch {torch.__version__}, {options.threads} threads, batch {options.batch}, {malloc}")
    for name, case in cases.items():
        median = statistics.median(times[name])
        low, high = min(times[name]) * 1e3, max(times[name]) * 1e3
        line = f"{name:34} {median * 1e3:9.1f} ms (min {low:.1f}, max {high:.1f})"
        if case.images:
            line += f"  {case.images / median:8.3f} img/s  {case.flops / median * 1e-9:5.0f} GFLOP/s"
        print(f"{line}  {faults[name] // options.rounds} page faults, first call {case.setup:.1f} s", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(times, file)


if __name__ == "__main__":
    main()
