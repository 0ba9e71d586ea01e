"""Momentum Contrast as an ordinary PyTorch loop: `train` is 25 lines, and gives the losses of `moco pretrain`.

python examples/moco_in_25_lines.py        # three minutes of one core, with drawings that come with the package
"""

import argparse
import copy
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

import moco
from moco.data.demo import Demo


def train(
    loader: Iterable[tuple[Tensor, Tensor]], epochs: int, backbone: str = "resnet18", view: str = "photos", *,
    size: int = 32, keys: int = 4096, group: int = 32, m: float = 0.999, temperature: float = 0.2, lr: float = 0.03,
    machine: moco.Machine | None = None,
) -> Iterator[tuple[moco.Encoder, Tensor]]:  # fmt: skip
    """MoCo v2 on batches of (images uint8 N x 3 x H x W, which images they are); the encoder and each step's loss."""
    place = moco.place(machine)
    torch.manual_seed(0)
    f_q = moco.group_batch_norm(moco.build_encoder(backbone, stem="small"), group)
    f_q, f_k = place.put(f_q), place.put(copy.deepcopy(f_q).requires_grad_(False))
    queue = moco.Queue(keys, dim=128).to(place.device)
    views = moco.views(view, size=size)
    optimizer = torch.optim.SGD(f_q.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    step = 0
    for epoch in range(epochs):
        for images, index in loader:
            x_q, x_k = views(images.to(place.device), index, epoch, memory_format=place.memory_format)
            with place.autocast():
                q = f_q(x_q)
                k = moco.shuffled_keys(f_k, x_k, step=step)
            loss = moco.info_nce(q, *queue.look_up(k), temperature=temperature).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            moco.momentum_update_(f_k, f_q, m)
            queue.update(k)  # last: no key is ever its own negative
            step += 1
            yield f_q, loss.detach()
        schedule.step()


def drawings(part: str = "") -> tuple[Tensor, Tensor]:
    """The digits that come with the package, each drawn eight times: N x 3 x 32 x 32 (uint8), and which digit (N)."""
    demo = Demo(part)
    images = torch.from_numpy(np.stack([demo.raw(i) for i in range(len(demo))])).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor([int(demo.label(i)) for i in range(len(demo))])


@torch.no_grad()
def features(encoder: moco.Encoder, images: Tensor) -> Tensor:
    """Of the backbone (N x D), from pixels normalised as views are."""
    device, normal = next(encoder.parameters()).device, moco.Normalize()
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (normal.mean, normal.std))
    encoder.eval()
    found = [encoder.backbone((part.to(device) / 255 - mean) / std).cpu() for part in images.split(512)]
    encoder.train()
    return torch.cat(found)


def main(arguments: list[str] | None = None) -> None:
    """Learn from drawings of digits, without labels, and judge the features on digits held back, before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--images", type=int, help="learn from the first so many; all otherwise")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--backbone", default="resnet10w16")
    asked = parser.parse_args(arguments)
    images, labels = (x[: asked.images] for x in drawings())
    held, digits = drawings("test")

    def judged(encoder: moco.Encoder) -> str:
        share = moco.knn(features(encoder, images), labels, features(encoder, held), digits)
        return f"kNN names {share:.1%} of the digits held back"

    torch.manual_seed(0)
    print(f"untrained: {judged(moco.build_encoder(asked.backbone, stem='small'))}", flush=True)
    data = torch.utils.data.TensorDataset(images, torch.arange(len(images)))
    loader = torch.utils.data.DataLoader(data, batch_size=asked.batch, shuffle=True, drop_last=True)
    # What `auto` fits to so short a run: a dictionary and a key encoder that are quicker than the papers'.
    quick = {"keys": 512, "m": 0.977, "temperature": 0.1, "lr": 0.06}
    steps = train(loader, asked.epochs, asked.backbone, "documents", size=32, **quick)
    for epoch in range(1, asked.epochs + 1):
        *_, (encoder, loss) = itertools.islice(steps, len(loader))
        print(f"epoch {epoch} of {asked.epochs}: loss {loss:.3f}", flush=True)
    print(f"trained: {judged(encoder)}")


if __name__ == "__main__":
    main()
