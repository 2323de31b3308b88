"""Writes small.safetensors: a network of random weights, and what it makes of images and latents.

    pip install torch safetensors packaging && python make_small.py [OTHER.safetensors]

The network is written from its formulas, in f64. With the name of another golden, one that was made
by diffusers, the same code is held against that one first.
"""
import json
import sys

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

CONFIG = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [8, 12, 12],
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "out_channels": 3,
    "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
}


class Network:
    """`p` are the parameters, f64, by the names of diffusers."""

    def __init__(self, config, p):
        self.widths, self.layers = config["block_out_channels"], config["layers_per_block"]
        self.groups, self.p = config["norm_num_groups"], p

    def conv(self, x, name, **options):
        return F.conv2d(x, self.p[name + ".weight"], self.p[name + ".bias"], **options)

    def norm(self, x, name):
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch, self.groups, -1)
        mean = grouped.mean(-1, keepdim=True)
        variance = (grouped - mean).square().mean(-1, keepdim=True)
        x = ((grouped - mean) / (variance + 1e-6).sqrt()).reshape(x.shape)
        weight, bias = self.p[name + ".weight"], self.p[name + ".bias"]
        return x * weight[:, None, None] + bias[:, None, None]

    def norm_silu(self, x, name):
        x = self.norm(x, name)
        return x * torch.sigmoid(x)

    def resnet(self, x, name):
        h = self.conv(self.norm_silu(x, name + ".norm1"), name + ".conv1", padding=1)
        h = self.conv(self.norm_silu(h, name + ".norm2"), name + ".conv2", padding=1)
        if name + ".conv_shortcut.weight" in self.p:
            x = self.conv(x, name + ".conv_shortcut")
        return x + h

    def attention(self, x, name):
        batch, channels, height, width = x.shape
        tokens = self.norm(x, name + ".group_norm").flatten(2).transpose(1, 2)
        linear = lambda t, part: t @ self.p[f"{name}.{part}.weight"].T + self.p[f"{name}.{part}.bias"]
        q, k, v = (linear(tokens, part) for part in ("to_q", "to_k", "to_v"))
        scores = q @ k.transpose(1, 2) / channels**0.5
        shares = (scores - scores.amax(-1, keepdim=True)).exp()
        shares = shares / shares.sum(-1, keepdim=True)
        return x + linear(shares @ v, "to_out.0").transpose(1, 2).reshape(x.shape)

    def mid(self, x, name):
        x = self.resnet(x, name + ".resnets.0")
        x = self.attention(x, name + ".attentions.0")
        return self.resnet(x, name + ".resnets.1")

    def encode(self, x):
        x = self.conv(x, "encoder.conv_in", padding=1)
        for i in range(len(self.widths)):
            name = f"encoder.down_blocks.{i}"
            for j in range(self.layers):
                x = self.resnet(x, f"{name}.resnets.{j}")
            if i + 1 < len(self.widths):
                # One column of zeros at the right and one row below.
                x = self.conv(F.pad(x, (0, 1, 0, 1)), name + ".downsamplers.0.conv", stride=2)
        x = self.mid(x, "encoder.mid_block")
        x = self.conv(self.norm_silu(x, "encoder.conv_norm_out"), "encoder.conv_out", padding=1)
        return self.conv(x, "quant_conv").chunk(2, 1)

    def decode(self, x):
        x = self.conv(self.conv(x, "post_quant_conv"), "decoder.conv_in", padding=1)
        x = self.mid(x, "decoder.mid_block")
        for i in range(len(self.widths)):
            name = f"decoder.up_blocks.{i}"
            for j in range(self.layers + 1):
                x = self.resnet(x, f"{name}.resnets.{j}")
            if i + 1 < len(self.widths):
                x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                x = self.conv(x, name + ".upsamplers.0.conv", padding=1)
        return self.conv(self.norm_silu(x, "decoder.conv_norm_out"), "decoder.conv_out", padding=1)


def shapes(config):
    """Parameters in any order."""
    widths, layers, latent = config["block_out_channels"], config["layers_per_block"], config["latent_channels"]
    out = {}

    def pair(name, *shape):
        out[name + ".weight"], out[name + ".bias"] = shape, shape[:1]

    def resnet(name, a, b):
        pair(name + ".norm1", a), pair(name + ".conv1", b, a, 3, 3)
        pair(name + ".norm2", b), pair(name + ".conv2", b, b, 3, 3)
        if a != b:
            pair(name + ".conv_shortcut", b, a, 1, 1)

    for coder, kind, sampler, order, n in (
        ("encoder", "down", "down", widths, layers),
        ("decoder", "up", "up", widths[::-1], layers + 1),
    ):
        before = order[0]
        for i, width in enumerate(order):
            for j in range(n):
                resnet(f"{coder}.{kind}_blocks.{i}.resnets.{j}", width if j else before, width)
            if i + 1 < len(order):
                pair(f"{coder}.{kind}_blocks.{i}.{sampler}samplers.0.conv", width, width, 3, 3)
            before = width
        deep, mid = widths[-1], f"{coder}.mid_block"
        resnet(mid + ".resnets.0", deep, deep), resnet(mid + ".resnets.1", deep, deep)
        pair(mid + ".attentions.0.group_norm", deep)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            pair(f"{mid}.attentions.0.{part}", deep, deep)
        pair(coder + ".conv_norm_out", order[-1])
    pair("encoder.conv_in", widths[0], config["in_channels"], 3, 3)
    pair("encoder.conv_out", 2 * latent, widths[-1], 3, 3)
    pair("decoder.conv_in", widths[-1], latent, 3, 3)
    pair("decoder.conv_out", config["out_channels"], widths[0], 3, 3)
    pair("quant_conv", 2 * latent, 2 * latent, 1, 1)
    pair("post_quant_conv", latent, latent, 1, 1)
    return out


def random_weights(config, generator):
    weights = {}
    for name, shape in shapes(config).items():
        x = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            x = x / (x[0].numel() ** 0.5)
        else:
            x = 0.1 * x + ("norm" in name and name.endswith("weight"))
        weights[name] = x
    return weights


def check_against(path):
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        config = json.loads(file.metadata()["config"])
    weights = {n.removeprefix("param."): t.double() for n, t in tensors.items() if n.startswith("param.")}
    network = Network(config, weights)
    mean, logvar = network.encode(tensors["in.image"])
    decoded = network.decode(tensors["in.latent"])
    for name, ours in (("out.mean", mean), ("out.logvar", logvar), ("out.decoded", decoded)):
        error = ((ours - tensors[name]).abs().max() / tensors[name].abs().max()).item()
        print(f"{name}: {error:.1e}")
        assert error < 1e-13


def main():
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        check_against(sys.argv[1])
    generator = torch.Generator().manual_seed(0)
    weights = random_weights(CONFIG, generator)
    network = Network(CONFIG, {name: x.double() for name, x in weights.items()})
    image = (2 * torch.rand(2, 3, 12, 20, generator=generator) - 1).double()
    latent = torch.randn(2, 4, 5, 3, generator=generator).double()
    mean, logvar = network.encode(image)
    tensors = {f"param.{name}": x for name, x in weights.items()}
    tensors |= {"in.image": image.float(), "in.latent": latent.float()}
    tensors |= {"out.mean": mean, "out.logvar": logvar, "out.decoded": network.decode(latent)}
    about = {"config": json.dumps(CONFIG), "source": f"make_small.py, torch {torch.__version__}, f64, seed 0"}
    save_file({name: x.contiguous() for name, x in tensors.items()}, "small.safetensors", about)


main()
