"""The official pipeline and step of Momentum Contrast v2, written plainly for one process, to be measured against.

Views by torchvision's transforms on PIL images in DataLoader workers, as the official code makes them; fp32, NCHW,
eager; BatchNorm over groups as the official demo splits them; the queue cloned; cross-entropy over the joined logits.
"""

from __future__ import annotations

import copy
import math
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
CIFAR_NORMALIZE = transforms.Normalize(mean=[0.4914, 0.4822, 0.4465], std=[0.2023, 0.1994, 0.2010])


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


def demo_view(size: int) -> transforms.Compose:
    """The view of the official CIFAR-10 demo."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToTensor(),
            CIFAR_NORMALIZE,
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


def encoder(arch: str, small: bool, groups: int, dim: int = 128, mlp: bool = True) -> nn.Module:
    """A torchvision ResNet with an MLP or linear head and split BatchNorm; `small` has the stem for 32-px images."""
    SplitBatchNorm.splits = groups
    net = getattr(models, arch)(num_classes=dim, norm_layer=SplitBatchNorm)
    if small:
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    if mlp:
        width = net.fc.in_features
        net.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
    return net


class OfficialStep:
    """Queries, keys, queue and optimizer of the official script, in one process."""

    def __init__(
        self, arch: str, small: bool, batch: int, queue: int, m: float, temperature: float, device: torch.device
    ) -> None:
        self.start(encoder(arch, small, max(1, batch // 32)), queue, m, temperature, device, lr=0.03, decay=1e-4)

    def start(
        self, net: nn.Module, queue: int, m: float, temperature: float, device: torch.device, lr: float, decay: float
    ) -> None:
        """Both encoders from one network, a random queue, and SGD."""
        self.encoder_q = net.to(device)
        self.encoder_k = copy.deepcopy(self.encoder_q)
        for p in self.encoder_k.parameters():
            p.requires_grad = False
        self.queue = F.normalize(torch.randn(128, queue, device=device), dim=0)
        self.pointer, self.m, self.temperature, self.device = 0, m, temperature, device
        self.optimizer = torch.optim.SGD(
            self.encoder_q.parameters(), lr=lr, momentum=0.9, weight_decay=decay, foreach=False
        )

    def __call__(self, x_q: Tensor, x_k: Tensor) -> Tensor:
        x_q, x_k = x_q.to(self.device), x_k.to(self.device)
        self.follow()
        loss, k = self.contrast(x_q, x_k)
        self.learn(loss, k)
        return loss.detach()

    @torch.no_grad()
    def follow(self) -> None:
        """The momentum update of the key encoder."""
        for p_q, p_k in zip(self.encoder_q.parameters(), self.encoder_k.parameters(), strict=True):
            p_k.data = p_k.data * self.m + p_q.data * (1.0 - self.m)

    def contrast(self, x_q: Tensor, x_k: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of the queries of x_q, and the keys of x_k."""
        n = len(x_q)
        q = F.normalize(self.encoder_q(x_q), dim=1)
        with torch.no_grad():
            order = torch.randperm(n, device=self.device)
            k = F.normalize(self.encoder_k(x_k[order]), dim=1)[torch.argsort(order)]
        positive = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
        logits = torch.cat([positive, negative], dim=1) / self.temperature
        return F.cross_entropy(logits, torch.zeros(n, dtype=torch.long, device=self.device)), k

    def learn(self, loss: Tensor, k: Tensor) -> None:
        """A step of SGD, then the keys over the oldest of the queue."""
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.queue[:, self.pointer : self.pointer + len(k)] = k.T
        self.pointer = (self.pointer + len(k)) % self.queue.shape[1]


class DemoStep(OfficialStep):
    """The step of the official CIFAR-10 demo: linear head, groups of 64 in a batch of 512, both halves if symmetric."""

    def __init__(self, arch: str, batch: int, queue: int, symmetric: bool, epochs: int, device: torch.device) -> None:
        splits = max(1, batch // 64)
        self.start(encoder(arch, True, splits, mlp=False), queue, 0.99, 0.1, device, lr=0.06, decay=5e-4)
        self.symmetric, self.epochs = symmetric, epochs

    def set_epoch(self, epoch: int) -> None:
        """The demo's cosine, for an epoch that is counted from 1."""
        for group in self.optimizer.param_groups:
            group["lr"] = 0.06 * 0.5 * (1.0 + math.cos(math.pi * epoch / self.epochs))

    def __call__(self, x_q: Tensor, x_k: Tensor) -> Tensor:
        x_q, x_k = x_q.to(self.device), x_k.to(self.device)
        self.follow()
        loss, k = self.contrast(x_q, x_k)
        if self.symmetric:
            back, k_back = self.contrast(x_k, x_q)
            loss, k = loss + back, torch.cat([k_back, k])
        self.learn(loss, k)
        return loss.detach()
