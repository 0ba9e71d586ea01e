"""Momentum Contrast with Hugging Face's accelerate, on any number of GPUs: pip install 'momentum-contrast[examples]'.

accelerate launch examples/moco_accelerate.py
"""

import copy
from collections.abc import Iterator

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch import Tensor

import moco


def train(
    loader: torch.utils.data.DataLoader[tuple[Tensor, ...]], epochs: int, backbone: str = "resnet18", *, size: int = 32,
    keys: int = 4096, group: int = 32, m: float = 0.999, temperature: float = 0.2, lr: float = 0.03, cpu: bool = False,
) -> Iterator[tuple[Accelerator, torch.nn.Module, Tensor]]:  # fmt: skip
    """MoCo v2 on batches of (images uint8 N x 3 x H x W, which images they are), each shared by the processes."""
    accelerator = Accelerator(cpu=cpu, dataloader_config=DataLoaderConfiguration(split_batches=True))
    torch.manual_seed(0)
    encoder = moco.group_batch_norm(moco.build_encoder(backbone, stem="small"), group)
    f_k = copy.deepcopy(encoder).requires_grad_(False).to(accelerator.device)
    queue = moco.Queue(keys, dim=128).to(accelerator.device)
    views = moco.views("photos", size=size)
    optimizer = torch.optim.SGD(encoder.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    f_q, optimizer, loader = accelerator.prepare(encoder, optimizer, loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer.optimizer, epochs)
    step = 0
    for epoch in range(epochs):
        for images, index in loader:
            x_q, x_k = views(images, index.cpu(), epoch)
            with accelerator.autocast():
                q, k = f_q(x_q), moco.shuffled_keys(f_k, x_k, step=step)
            loss = moco.info_nce(q, *queue.look_up(k), temperature=temperature).loss
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            moco.momentum_update_(f_k, accelerator.unwrap_model(f_q), m)
            queue.update(k)
            step += 1
            yield accelerator, accelerator.unwrap_model(f_q), loss.detach()
        schedule.step()


def main() -> None:
    """A few steps, to see that it runs; moco_in_25_lines.py learns something."""
    from moco_in_25_lines import drawings

    images, _ = drawings("validation")
    data = torch.utils.data.TensorDataset(images, torch.arange(len(images)))
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True, drop_last=True)
    for step, (accelerator, _, loss) in enumerate(train(loader, 2, "resnet18w16", size=16, keys=512, m=0.99), 1):
        if step % 10 == 0:
            accelerator.print(f"step {step}: loss {loss:.3f}")


if __name__ == "__main__":
    main()
