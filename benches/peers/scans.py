"""Selective scans: three ways to write the same recurrence.

They are channel-first, as published Mamba code is. Shapes:
u, delta, gate [B, E, L]; A [E, N] (negative); B, C [B, N, L]; D, delta_bias [E].
"""
import torch
import torch.nn.functional as F


def _gated(y, u, D, gate):
    return (y + u * D[:, None]) * F.silu(gate)


def scan_indexed(u, delta, A, B, C, D, gate, delta_bias):
    """Published style: whole [B, E, L, N] tensors, indexed at every position.

    Autograd answers every index with a full-size zero tensor, so the backward pass is O(L^2).
    """
    delta = F.softplus(delta + delta_bias[:, None])
    decay = torch.exp(delta[..., None] * A[:, None, :])
    drive = delta[..., None] * B.transpose(1, 2)[:, None] * u[..., None]
    state = torch.zeros_like(drive[:, :, 0])
    outputs = []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + drive[:, :, t]
        outputs.append((state @ C[:, :, t, None]).squeeze(-1))
    return _gated(torch.stack(outputs, 2), u, D, gate)


def scan_unbind(u, delta, A, B, C, D, gate, delta_bias):
    """The obvious repair: time-first tensors split once, so the backward pass is O(L)."""
    delta = F.softplus(delta + delta_bias[:, None])
    by_time = lambda x: x.permute(2, 0, 1)[..., None]
    decay = torch.exp(by_time(delta) * A).unbind(0)
    drive = (by_time(delta * u) * B.permute(2, 0, 1)[:, :, None]).unbind(0)
    columns = C[..., None].unbind(2)
    state = torch.zeros_like(drive[0])
    outputs = []
    for a, x, c in zip(decay, drive, columns):
        state = torch.addcmul(x, a, state)
        outputs.append((state @ c).squeeze(-1))
    return _gated(torch.stack(outputs, 2), u, D, gate)


def scan_chunked(u, delta, A, B, C, D, gate, delta_bias, chunk=16):
    """Parallel over chunks: scan inside every chunk at once, then carry from chunk to chunk."""
    batch, inner, length = u.shape
    states = A.shape[1]
    chunks = -(-length // chunk)
    pad = chunks * chunk - length
    delta = F.softplus(delta + delta_bias[:, None])
    delta_p, u_p, B_p, C_p = (F.pad(x, (0, pad)) for x in (delta, u, B, C))
    split = lambda x: x.reshape(batch, inner, states, chunks, chunk).unbind(-1)
    decay = split(torch.exp(delta_p[:, :, None] * A[..., None]))
    drive = split((delta_p * u_p)[:, :, None] * B_p[:, None])
    local, product = [drive[0]], [decay[0]]
    for a, x in zip(decay[1:], drive[1:]):
        local.append(a * local[-1] + x)
        product.append(a * product[-1])
    carry = [torch.zeros_like(local[-1][..., 0])]
    for p, h in list(zip(product[-1].unbind(-1), local[-1].unbind(-1)))[:-1]:
        carry.append(p * carry[-1] + h)
    entering = torch.stack(carry, -1)[..., None]
    h = torch.stack(local, -1) + torch.stack(product, -1) * entering
    y = (h.reshape(batch, inner, states, -1) * C_p[:, None]).sum(2)[..., :length]
    return _gated(y, u, D, gate)


PYTORCH_SCANS = {"indexed": scan_indexed, "unbind": scan_unbind, "chunked": scan_chunked}
