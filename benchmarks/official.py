"""The official pipeline and step of Momentum Contrast v2, written plainly for one process, to be measured against.

Views by torchvision's transforms on PIL images in DataLoader workers, as the official code makes them; fp32, NCHW,
eager; BatchNorm over groups as the official demo splits them; the queue cloned; cross-entropy over the joined logits.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms

NORMALIZE = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


class Blur:
    """Pillow's Gaussian blur of a random radius."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2.0)))


def official_view(size: int, blur: bool = True, scale: tuple[float, float] = (0.2, 1.0)) -> transforms.Compose:
    """The view of the official v2; without blur and with scale (0.08, 1) that of the CIFAR demo, but for its order."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=scale),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            *([transforms.RandomApply([Blur()], p=0.5)] if blur else []),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            NORMALIZE,
        ]
    )


class TwoViews(Dataset[tuple[Tensor, Tensor]]):
    """Two views of each file."""

    def __init__(self, files: Sequence[Path], view: Callable[[Image.Image], Tensor]) -> None:
        self.files, self.view = files, view

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        with self.files[i].open("rb") as file:
            image = Image.open(file).convert("RGB")
        return self.view(image), self.view(image)


def loader(files: Sequence[Path], view: transforms.Compose, batch: int, workers: int) -> DataLoader:
    """Shuffled batches of (x_q, x_k), as in the official script."""
    return DataLoader(TwoViews(files, view), batch, shuffle=True, drop_last=True, num_workers=workers)


class SplitBatchNorm(nn.BatchNorm2d):
    """BatchNorm over groups of the batch, as the official demo simulates several GPUs: `splits` groups."""

    splits = 8

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if not self.training:
            return super().forward(x)
        mean, var = self.running_mean.repeat(self.splits), self.running_var.repeat(self.splits)
        weight, bias = self.weight.repeat(self.splits), self.bias.repeat(self.splits)
        out = F.batch_norm(
            x.view(-1, c * self.splits, h, w), mean, var, weight, bias, True, self.momentum, self.eps
        ).view(n, c, h, w)
        self.running_mean.copy_(mean.view(self.splits, c).mean(0))
        self.running_var.copy_(var.view(self.splits, c).mean(0))
        return out


def encoder(arch: str, small: bool, groups: int, dim: int = 128) -> nn.Module:
    """A torchvision ResNet with an MLP head and split BatchNorm; `small` has the stem for 32-px images."""
    SplitBatchNorm.splits = groups
    net = getattr(models, arch)(num_classes=dim, norm_layer=SplitBatchNorm)
    if small:
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    width = net.fc.in_features
    net.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
    return net


class OfficialStep:
    """Queries, keys, queue and optimizer of the official script, in one process."""

    def __init__(
        self, arch: str, small: bool, batch: int, queue: int, m: float, temperature: float, device: torch.device
    ) -> None:
        self.encoder_q = encoder(arch, small, max(1, batch // 32)).to(device)
        self.encoder_k = copy.deepcopy(self.encoder_q)
        for p in self.encoder_k.parameters():
            p.requires_grad = False
        self.queue = F.normalize(torch.randn(128, queue, device=device), dim=0)
        self.pointer, self.m, self.temperature, self.device = 0, m, temperature, device
        self.optimizer = torch.optim.SGD(
            self.encoder_q.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4, foreach=False
        )

    def __call__(self, x_q: Tensor, x_k: Tensor) -> Tensor:
        x_q, x_k = x_q.to(self.device), x_k.to(self.device)
        n = len(x_q)
        q = F.normalize(self.encoder_q(x_q), dim=1)
        with torch.no_grad():
            for p_q, p_k in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
                p_k.data = p_k.data * self.m + p_q.data * (1.0 - self.m)
            order = torch.randperm(n, device=self.device)
            k = F.normalize(self.encoder_k(x_k[order]), dim=1)[torch.argsort(order)]
        positive = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
        logits = torch.cat([positive, negative], dim=1) / self.temperature
        loss = F.cross_entropy(logits, torch.zeros(n, dtype=torch.long, device=self.device))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.queue[:, self.pointer : self.pointer + n] = k.T
        self.pointer = (self.pointer + n) % self.queue.shape[1]
        return loss.detach()
