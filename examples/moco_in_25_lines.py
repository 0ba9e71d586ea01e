"""Momentum Contrast as an ordinary PyTorch loop: `train` is 25 lines, and gives the losses of `moco pretrain`.

python examples/moco_in_25_lines.py        # a few steps on images that come with scikit-learn
"""

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

import moco


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


def digits() -> Tensor:
    """1,797 small images (uint8 N x 3 x 16 x 16) that come with scikit-learn."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images * (255 / 16)).round().to(torch.uint8)
    return images[:, None].repeat(1, 3, 1, 1).repeat_interleave(2, 2).repeat_interleave(2, 3)


def main() -> None:
    """A few steps, to see that it runs; to learn something takes images of yours, and longer."""
    images = digits()
    data = torch.utils.data.TensorDataset(images, torch.arange(len(images)))
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True, drop_last=True)
    for step, (_, loss) in enumerate(train(loader, 2, "resnet18w16", "documents", size=16, keys=512, m=0.99), 1):
        if step % 10 == 0:
            print(f"step {step}: loss {loss:.3f}")


if __name__ == "__main__":
    main()
