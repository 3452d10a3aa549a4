"""diffusers' UNet2DModel in plain PyTorch, eager, for comparison: the layers that the measured networks have.

unet.py CONFIG WEIGHTS THREADS evaluates as many pictures as each line of its input says, and answers
with the milliseconds.
"""
import json, math, sys, time
import torch, torch.nn.functional as F
from safetensors.torch import load_file

config = json.load(open(sys.argv[1]))
p = load_file(sys.argv[2])
torch.set_num_threads(int(sys.argv[3]))
groups, eps = config["norm_num_groups"], config["norm_eps"]


def norm(x, name):
    return F.group_norm(x, groups, p[name + ".weight"], p[name + ".bias"], eps)


def conv(x, name, stride=1, padding=1):
    return F.conv2d(x, p[name + ".weight"], p[name + ".bias"], stride, padding)


def linear(x, name):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def resnet(x, emb, name):
    h = conv(F.silu(norm(x, name + ".norm1")), name + ".conv1")
    h = h + linear(F.silu(emb), name + ".time_emb_proj")[:, :, None, None]
    h = conv(F.silu(norm(h, name + ".norm2")), name + ".conv2")
    if name + ".conv_shortcut.weight" in p:
        x = conv(x, name + ".conv_shortcut", padding=0)
    return x + h


def attention(x, name):
    n, c, h, w = x.shape
    rows = norm(x, name + ".group_norm").view(n, c, h * w).transpose(1, 2)
    head = config["attention_head_dim"] or c
    q, k, v = (linear(rows, f"{name}.{part}").view(n, h * w, c // head, head).transpose(1, 2)
               for part in ("to_q", "to_k", "to_v"))
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, c)
    return x + linear(y, name + ".to_out.0").transpose(1, 2).reshape(x.shape)


def unet(x, t, labels):
    channels = config["block_out_channels"]
    half = channels[0] // 2
    f = torch.exp(-math.log(10000) * torch.arange(half) / (half - config["freq_shift"]))
    angles = t[:, None] * f
    parts = [angles.cos(), angles.sin()] if config["flip_sin_to_cos"] else [angles.sin(), angles.cos()]
    emb = linear(F.silu(linear(torch.cat(parts, 1), "time_embedding.linear_1")), "time_embedding.linear_2")
    if "class_embedding.weight" in p:
        emb = emb + p["class_embedding.weight"][labels]
    x = conv(x, "conv_in")
    skips = [x]
    for i, kind in enumerate(config["down_block_types"]):
        for j in range(config["layers_per_block"]):
            x = resnet(x, emb, f"down_blocks.{i}.resnets.{j}")
            if kind.startswith("Attn"):
                x = attention(x, f"down_blocks.{i}.attentions.{j}")
            skips.append(x)
        if i < len(channels) - 1:
            if config["downsample_padding"] == 0:
                x = F.pad(x, (0, 1, 0, 1))
            x = conv(x, f"down_blocks.{i}.downsamplers.0.conv", 2, config["downsample_padding"])
            skips.append(x)
    x = resnet(x, emb, "mid_block.resnets.0")
    x = attention(x, "mid_block.attentions.0")
    x = resnet(x, emb, "mid_block.resnets.1")
    for i, kind in enumerate(config["up_block_types"]):
        for j in range(config["layers_per_block"] + 1):
            x = resnet(torch.cat([x, skips.pop()], 1), emb, f"up_blocks.{i}.resnets.{j}")
            if kind.startswith("Attn"):
                x = attention(x, f"up_blocks.{i}.attentions.{j}")
        if i < len(channels) - 1:
            x = conv(F.interpolate(x, scale_factor=2.0), f"up_blocks.{i}.upsamplers.0.conv")
    return conv(F.silu(norm(x, "conv_norm_out")), "conv_out")


size = config["sample_size"]
height, width = size if isinstance(size, list) else (size, size)
print("ready", flush=True)
with torch.no_grad():
    for line in sys.stdin:
        n = int(line)
        count = n * config["in_channels"] * height * width
        x = torch.sin(torch.arange(count)).view(n, -1, height, width)
        t, labels = torch.full((n,), 500.0), torch.zeros(n, dtype=torch.long)
        start = time.perf_counter()
        y = unet(x, t, labels)
        print(1000 * (time.perf_counter() - start), y.abs().mean().item(), flush=True)
