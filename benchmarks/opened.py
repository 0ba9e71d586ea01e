"""The table of docs/formats.md: which layouts are opened, and how far the features are from the model that made them.

    python benchmarks/opened.py                  all layouts, on crops of two photographs

The files are written by tests/foreign_*.py, in the layouts of the libraries.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torchvision import models
from torchvision.models.resnet import Bottleneck

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import foreign_layouts as resnets
import foreign_others
import test_foreign_families as families
import test_foreign_haiku as haiku

from moco.run.load import open_encoder

Row = tuple[str, str, float]
"""(layout, what was found in it, largest difference of a feature over the largest feature)."""


def crops(size: int) -> Tensor:
    """Eight squares of scikit-learn's two photographs, N x 3 x S x S, normalised."""
    found = []
    for image in load_sample_images().images:
        whole = torch.from_numpy(image.copy()).permute(2, 0, 1).float() / 255
        found += [whole[:, y : y + size, x : x + size] for y in (40, 200) for x in (60, 300)]
    return (torch.stack(found) - 0.45) / 0.225


def compared(name: str, path: Path, images: Tensor, expected: Tensor) -> Row:
    """A row for a file whose features are known."""
    opened = open_encoder(path)
    with torch.no_grad():
        difference = float((opened.backbone(images) - expected).abs().max() / expected.abs().max())
    return name, opened.notes[0].removeprefix("taken: "), difference


def of_resnets(folder: Path) -> Iterator[Row]:
    net, images = resnets.resnet(), crops(96)
    expected = resnets.features(net, images)
    for name in resnets.LAYOUTS:
        yield compared(name, resnets.write(folder / "x.pth.tar", name, net.state_dict()), images, expected)
    for name, layout in foreign_others.OTHERS.items():
        torch.save(layout(net.state_dict()), folder / "x.pth")
        yield compared(name, folder / "x.pth", images, expected)
    wide = resnets.resnet(channels=13)
    torch.save(wide.state_dict(), folder / "x.pth")
    bands = torch.cat([images] * 5, dim=1)[:, :13]
    yield compared("torchgeo, 13 bands", folder / "x.pth", bands, resnets.features(wide, bands))


def of_byol(folder: Path) -> Iterator[Row]:
    net, images = resnets.resnet(block=Bottleneck), crops(96)
    online, state = haiku.haiku_names(net.state_dict())
    content = {"experiment_state": (online, online, state, state, ()), "step": 9}
    (folder / "x.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with torch.no_grad():
        expected = haiku.plain_features(net, images)
    yield compared("BYOL, as published (JAX)", folder / "x.pkl", images, expected)


def of_transformers(folder: Path) -> Iterator[Row]:
    net, images = families.vit(), crops(32)
    with torch.no_grad():
        expected = net(images)
    for name, layout in families.VITS.items():
        torch.save(layout(net.state_dict()), folder / "x.pth")
        yield compared(f"{name}, ViT", folder / "x.pth", images, expected)


def of_hugging_face(folder: Path) -> Iterator[Row]:
    images = crops(32)
    for kind in ("resnet", "vit", "convnext", "dinov2"):
        torch.manual_seed(0)
        net, pooled = families.hugging_face(kind, with_head=True)
        net.eval().save_pretrained(folder / kind)
        with torch.no_grad():
            yield compared(f"Hugging Face folder, {kind}", folder / kind, images, pooled(net, images))


def of_libraries(folder: Path) -> Iterator[Row]:
    images = crops(64)
    names = ("resnext50_32x4d", "convnext_tiny", "efficientnet_b0", "mobilenet_v3_small", "regnet_y_400mf", "vit_b_32")
    for name in names:
        torch.manual_seed(0)
        net = models.get_model(name, weights=None).eval()
        torch.save(net.state_dict(), folder / "x.pth")
        last = [n for n, m in net.named_modules() if isinstance(m, nn.Linear)][-1]
        net.set_submodule(last, nn.Identity())
        some = crops(224)[:2] if name == "vit_b_32" else images
        with torch.no_grad():
            yield compared(f"torchvision, {name}", folder / "x.pth", some, net(some))
    for name in ("mobilenetv3_small_050", "convnext_atto", "regnetx_002"):
        torch.manual_seed(0)
        net = families.timm.create_model(name, num_classes=0).eval()
        torch.save({"arch": name, "state_dict": net.state_dict()}, folder / "x.pth")
        with torch.no_grad():
            yield compared(f"timm, {name}", folder / "x.pth", images, net(images))


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| layout | taken, and left aside | difference |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for part in (of_resnets, of_byol, of_transformers, of_hugging_face, of_libraries):
            for name, note, difference in part(Path(folder)):
                print(
                    f"| {name} | {note} | {difference:.0e} |" if difference else f"| {name} | {note} | 0 |", flush=True
                )


if __name__ == "__main__":
    main()
