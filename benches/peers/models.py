"""DiS and DiT of matching sizes, written for timing: the operations are right, the
initialisation is PyTorch's default and parameter names are not the official ones.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from scans import scan_indexed


def sinusoid(t, width):
    frequency = torch.exp(torch.arange(width // 2) * (-math.log(10000) / (width // 2)))
    angle = t[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)


def unpatch(tokens, grid, patch, channels):
    """[B, grid*grid, patch*patch*channels] -> [B, channels, H, W], channels fastest."""
    tiles = tokens.unflatten(2, (patch, patch, channels)).unflatten(1, (grid, grid))
    return torch.einsum("bhwpqc->bchpwq", tiles).flatten(4).flatten(2, 3)


# ---- DiS ----

class SsmDirection(nn.Module):
    def __init__(self, inner, states, rank, width=4):
        super().__init__()
        self.states, self.rank, self.width = states, rank, width
        self.conv = nn.Conv1d(inner, inner, width, groups=inner, padding=width - 1)
        self.x_proj = nn.Linear(inner, rank + 2 * states, bias=False)
        self.delta_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, states + 1)).repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        nn.init.uniform_(self.delta_proj.weight, -rank**-0.5, rank**-0.5)
        delta = torch.exp(torch.empty(inner).uniform_(math.log(1e-3), math.log(0.1))).clamp_min(1e-4)
        with torch.no_grad():
            self.delta_proj.bias.copy_(delta + torch.log(-torch.expm1(-delta)))

    def project(self, x):
        low, B, C = self.x_proj(x).split([self.rank, self.states, self.states], -1)
        return low @ self.delta_proj.weight.t(), B, C

    def channel_first(self, x, gate, scan):
        x = F.silu(self.conv(x)[..., : x.shape[2]])
        delta, B, C = (v.transpose(1, 2) for v in self.project(x.transpose(1, 2)))
        A = -torch.exp(self.A_log)
        B, C = B.contiguous(), C.contiguous()
        return scan(x, delta, A, B, C, self.D, gate, self.delta_proj.bias)


class BidirectionalSsm(nn.Module):
    def __init__(self, width, states=16, expand=2):
        super().__init__()
        inner, rank = expand * width, math.ceil(width / 16)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.forwards = SsmDirection(inner, states, rank)
        self.backwards = SsmDirection(inner, states, rank)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x, scan):
        xz = self.in_proj(x)
        x, gate = xz.transpose(1, 2).chunk(2, 1)
        y = self.forwards.channel_first(x, gate, scan)
        y = y + self.backwards.channel_first(x.flip(2), gate.flip(2), scan).flip(2)
        return self.out_proj(y.transpose(1, 2))


class DisBlock(nn.Module):
    def __init__(self, width, skip, states=16):
        super().__init__()
        self.skip_linear = nn.Linear(2 * width, width) if skip else None
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.mixer = BidirectionalSsm(width, states)

    def forward(self, hidden, residual, skip, scan):
        if self.skip_linear is not None:
            hidden = self.skip_linear(torch.cat([hidden, skip], -1))
        residual = hidden if residual is None else residual + hidden
        return self.mixer(self.norm(residual), scan), residual


class Dis(nn.Module):
    """`depth` + 1 blocks, the last `depth` / 2 with a long skip. `scan` is one of `scans.PYTORCH_SCANS`."""

    def __init__(self, size=32, patch=2, width=384, depth=24, channels=3, classes=0,
                 learn_sigma=True, scan=scan_indexed):
        super().__init__()
        self.patch, self.width, self.half, self.scan = patch, width, depth // 2, scan
        self.out_channels = channels * (2 if learn_sigma else 1)
        self.extra_tokens = 2 if classes else 1
        self.patch_embed = nn.Conv2d(channels, width, patch, patch)
        self.time_embed = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.label_embed = nn.Embedding(classes + 1, width) if classes else None
        tokens = (size // patch) ** 2 + self.extra_tokens
        self.positions = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.blocks = nn.ModuleList(DisBlock(width, i > self.half) for i in range(depth + 1))
        for block in self.blocks:
            block.mixer.out_proj.weight.data /= math.sqrt(depth)
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width)) if classes else None
        self.head = nn.Linear(width, patch * patch * self.out_channels)

    def forward(self, images, t, labels=None):
        condition = [self.time_embed(sinusoid(t, self.width))]
        if labels is not None:
            condition.insert(0, self.label_embed(labels))
        patches = self.patch_embed(images).flatten(2).transpose(1, 2)
        hidden = torch.cat([torch.stack(condition, 1), patches], 1) + self.positions
        residual, skips = None, []
        for i, block in enumerate(self.blocks):
            skip = skips.pop() if i > self.half else None
            hidden, residual = block(hidden, residual, skip, self.scan)
            if i < self.half:
                skips.append(hidden)
        hidden = F.layer_norm(self.norm(residual + hidden), (self.width,))
        if labels is not None:
            shift, scale = self.modulation(sum(condition))[:, None].chunk(2, -1)
            hidden = hidden * (1 + scale) + shift
        tokens = self.head(hidden)[:, self.extra_tokens :]
        return unpatch(tokens, images.shape[2] // self.patch, self.patch, self.out_channels)


# ---- a transformer ----

def attention(x, qkv, heads):
    q, k, v = (p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in qkv(x).chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class DitBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.width, self.heads = width, heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, x, c):
        m = self.modulation(F.silu(c))[:, None].chunk(6, -1)
        norm = lambda v, shift, scale: F.layer_norm(v, (self.width,)) * (1 + scale) + shift
        x = x + m[2] * self.proj(attention(norm(x, m[0], m[1]), self.qkv, self.heads))
        return x + m[5] * self.down(F.gelu(self.up(norm(x, m[3], m[4])), approximate="tanh"))


class Dit(nn.Module):
    def __init__(self, size=32, patch=2, width=384, depth=12, heads=6, channels=3):
        super().__init__()
        self.patch, self.width, self.out_channels = patch, width, 2 * channels
        self.patch_embed = nn.Conv2d(channels, width, patch, patch)
        self.time_embed = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.positions = nn.Parameter(torch.randn(1, (size // patch) ** 2, width) * 0.02)
        self.blocks = nn.ModuleList(DitBlock(width, heads) for _ in range(depth))
        self.modulation = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, patch * patch * self.out_channels)

    def forward(self, images, t):
        x = self.patch_embed(images).flatten(2).transpose(1, 2) + self.positions
        c = self.time_embed(sinusoid(t, 256))
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.modulation(F.silu(c))[:, None].chunk(2, -1)
        x = self.head(F.layer_norm(x, (self.width,)) * (1 + scale) + shift)
        return unpatch(x, images.shape[2] // self.patch, self.patch, self.out_channels)


# ---- GEMM FLOPs of one image's forward pass (2 per multiply-add); training counts three times ----

def dis_gemm_flops(width=384, depth=24, tokens=257, patches=256, patch=2, channels=3, out_channels=6, states=16):
    inner, rank = 2 * width, math.ceil(width / 16)
    block = 2 * width * inner + 2 * inner * (2 * rank + 2 * states) + inner * width
    skip, ends = 2 * width * width, patch * patch * (channels + out_channels) * width
    return 2 * (tokens * ((depth + 1) * block + depth // 2 * skip) + patches * ends)


def dit_gemm_flops(width=384, depth=12, tokens=256, patch=2, channels=3, out_channels=6):
    block = tokens * (12 * width * width + 2 * tokens * width) + 6 * width * width
    return 2 * (depth * block + tokens * patch * patch * (channels + out_channels) * width)
