"""stable-pretraining's MoCo v2 on one process: its method, its transforms; to be measured against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from official import encoder
from PIL import Image
from torch import Tensor, nn


def stable_step(arch: str, small: bool, batch: int, queue: int, device: torch.device) -> Callable[[Any], object]:
    """Its query, keys, queue and loss with the network of the others, SGD, and its update of the key encoder."""
    from stable_pretraining.methods.mocov2 import MoCov2

    net = encoder(arch, small, max(1, batch // 32))
    width = net.fc[0].in_features
    net.fc = nn.Identity()
    method = MoCov2(net.eval(), (width, 128), queue, temperature=0.2).to(device).train()
    optimizer = torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad], lr=0.03, momentum=0.9, weight_decay=1e-4
    )

    def step(batch: Any) -> object:
        loss = method(*(x.to(device) for x in batch)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.backbone.update_teacher()
        method.projector.update_teacher()
        return loss.detach()

    return step


def stable_view(size: int) -> Callable[[Image.Image], Tensor]:
    """The view of MoCo v2 by its transforms."""
    from stable_pretraining.data import transforms as t

    chain = t.Compose(
        t.RandomResizedCrop(size, scale=(0.2, 1.0)),
        t.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        t.RandomGrayscale(p=0.2),
        t.PILGaussianBlur(p=0.5),
        t.RandomHorizontalFlip(),
        t.ToImage(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
    )
    return lambda image: chain({"image": image})["image"]
