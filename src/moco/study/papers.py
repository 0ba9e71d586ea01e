"""The ablations of MoCo v1 (arXiv:1911.05722) and v2 (arXiv:2003.04297), each a function that returns data."""

from __future__ import annotations

from dataclasses import replace

from moco.errors import MocoError
from moco.recipe import Bank, Batch, Cosine, EndToEnd, InfoNCE, Momentum, Queue, Recipe, Steps, Stored, View
from moco.recipe.parts import SGD
from moco.recipe.views import V1, V2
from moco.study.papers_v3 import momentum_v3, patches, predictor
from moco.study.parts import FAILS, Cell, Fit, Make, Measure, Study

PAPER_K = (256, 512, 1024, 4096, 16384, 65536)
END_TO_END = (54.9, 56.3, 57.3)
MEMORY_BANK = (50.0, 52.0, 54.1, 56.5, 57.8, 58.0)
MOCO = (54.7, 56.4, 57.5, 59.0, 60.4, 60.6)
"""Figure 3 of v1: linear top-1 on ImageNet for each K of PAPER_K."""

_FIGURE_3 = "MoCo v1, figure 3: linear top-1 on ImageNet, ResNet-50, %"
_BY_PLACE = "our smallest K stands beside the paper's smallest, our next beside its next, and so on"


def mechanisms(fit: Fit, images: int) -> Study:
    """Figure 3 of v1: end-to-end, memory bank and MoCo against the size of the dictionary."""
    base, sizes = _sizes(fit, images)
    lr = base.optim.lr
    group = base.encoder.norm_group
    cells = []
    for size, theirs, paper in zip(sizes, PAPER_K, END_TO_END, strict=False):
        changes = {
            "keys": EndToEnd(),
            "dictionary": Batch(),
            "batch": size,
            "optim.lr": lr * size / sizes[0],
            "encoder.norm_group": group,
        }
        cells.append(Cell(f"end-to-end K {size}", changes, str(size), "end-to-end", {"knn": paper}, str(theirs)))
    same = {"batch": sizes[0], "optim.lr": lr, "encoder.norm_group": group}
    for size, theirs, paper in zip(sizes, PAPER_K, MEMORY_BANK, strict=False):
        changes = {"keys": Stored(), "dictionary": Bank(size=size), **same}
        cells.append(Cell(f"memory bank K {size}", changes, str(size), "memory bank", {"knn": paper}, str(theirs)))
    keys = base.keys if isinstance(base.keys, Momentum) else Momentum()
    for size, theirs, paper in zip(sizes, PAPER_K, MOCO, strict=False):
        changes = {"keys": keys, "dictionary": Queue(size=size), **same}
        cells.append(Cell(f"MoCo K {size}", changes, str(size), "MoCo", {"knn": paper}, str(theirs)))
    scaled = (
        f"K from {sizes[0]} to {sizes[-1]} for {images:,} images (the paper: 256 to 65,536 for 1.28 million); the "
        f"batch is {sizes[0]}, and that of end-to-end is its K, with the rate in proportion; {_BY_PLACE}"
    )
    title = "Three mechanisms against the size of the dictionary"
    return Study("mechanisms", title, tuple(cells), "K", _FIGURE_3, scaled=scaled, follows=("batch",))


def momentum(fit: Fit, images: int) -> Study:
    """Section 4.1 of v1: the momentum m of the key encoder."""
    base = fit({})
    paper = {0.0: FAILS, 0.9: 55.2, 0.99: 57.8, 0.999: 59.0, 0.9999: 58.9}
    cells = tuple(Cell(f"m {m:g}", {"keys.m": m}, f"{m:g}", "MoCo", {"knn": v}) for m, v in paper.items())
    steps = images // base.batch * _epochs(base)
    short = [f"{m:g}" for m in paper if 1 / (1 - m) > steps]
    scaled = f"runs have {steps:,} steps (the paper: about a million)"
    if short:
        scaled += f"; m of {' and '.join(short)} averages over more steps than that, so its keys stay near the start"
    source = "MoCo v1, section 4.1: linear top-1 on ImageNet, K 4096, %"
    return Study("momentum", "The momentum of the key encoder", cells, "m", source, scaled=scaled)


def temperature(fit: Fit, images: int) -> Study:
    """Section 3 of v2: the temperature, with a linear head and with an MLP."""
    taus = (0.07, 0.1, 0.2, 0.3, 0.4, 0.5)
    linear = (60.6, 60.7, 59.0, 58.2, 57.2, 56.4)
    mlp = (62.9, 64.9, 66.2, 65.7, 65.0, 64.3)
    cells = tuple(
        Cell(
            f"{group} t {tau:g}",
            {"loss.temperature": tau, "encoder.head_layers": layers},
            f"{tau:g}",
            group,
            {"knn": value},
        )
        for group, layers, values in (("linear head", 1, linear), ("MLP head", 2, mlp))
        for tau, value in zip(taus, values, strict=True)
    )
    source = "MoCo v2, section 3: linear top-1 on ImageNet, 200 epochs, %"
    return Study("temperature", "The temperature, with and without an MLP head", cells, "temperature", source)


def v2_ladder(fit: Fit, images: int) -> Study:
    """Table 1 of v2: what each of its changes adds to v1."""
    base = fit({})
    plain, strong = _views(base)
    steps = Steps(at=(max(1, round(0.6 * _epochs(base))), max(1, round(0.8 * _epochs(base)))))

    def rung(label: str, paper: float, layers: int, view: View, cosine: bool = False, longer: int = 1) -> Cell:
        changes = {
            "encoder.head_layers": layers,
            "loss": InfoNCE(temperature=0.2 if layers == 2 else 0.07),
            "query_view": view,
            "key_view": None,
            "schedule": Cosine() if cosine else steps,
            "epochs": _epochs(base) * longer,
        }
        return Cell(label, changes, label.replace(" ", "\n").replace("4x\n", "4x "), "", {"knn": paper})

    cells = (
        rung("v1", 60.6, 1, plain),
        rung("MLP", 66.2, 2, plain),
        rung("aug+", 63.4, 1, strong),
        rung("MLP aug+", 67.3, 2, strong),
        rung("MLP aug+ cos", 67.5, 2, strong, True),
        rung("MLP aug+ cos 4x epochs", 71.1, 2, strong, True, 4),
    )
    scaled = (
        f"{_epochs(base)} epochs stand for the paper's 200, and {4 * _epochs(base)} for its 800; temperature 0.07 with "
        "a linear head and 0.2 with an MLP, steps at 60 % and 80 %; aug+ adds blur (and, to photos, v2's jitter)"
    )
    source = "MoCo v2, table 1: linear top-1 on ImageNet, %"
    return Study("v2-ladder", "From v1 to v2, change by change", cells, "change", source, scaled=scaled)


def shuffle_bn(fit: Fit, images: int) -> Study:
    """Figure A.1 of v1: contrast accuracy and kNN over the epochs, with and without shuffling BatchNorm."""
    epochs = (1.0, 3.0, 5.0, 10.0, 14.0, 20.0, 30.0, 40.0, 60.0, 80.0)
    won = (6.5, 71.0, 88.7, 95.1, 96.1, 96.5, 96.8, 96.6, 96.5, 96.6)
    knn = (0.6, 8.3, 16.8, 28.4, 32.5, 35.6, 38.1, 39.8, 41.5, 41.9)
    won_without = (7.2, 76.1, 91.2, 97.0, 98.5, 99.4, 99.8, 99.9, 99.9, 100.0)
    knn_without = (0.7, 9.1, 17.8, 25.9, 28.5, 27.3, 26.3, 26.3, 23.7, 22.7)

    def points(values: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
        return tuple(zip(epochs, values, strict=True))

    group = fit({}).encoder.norm_group
    return Study(
        "shuffle-bn",
        "Shuffling BatchNorm",
        (
            Cell("with shuffling", {"keys.shuffle": True}, "with", "", {"knn": 41.9, "accuracy": 96.6}),
            Cell("without", {"keys.shuffle": False}, "without", "", {"knn": 22.7, "accuracy": 100.0}),
        ),
        "shuffling",
        "MoCo v1, figure A.1: ImageNet, first 80 epochs, read off the curves, %",
        measures=("knn", "accuracy"),
        scaled=f"BatchNorm over groups of {group} images (the paper: 32, one group a GPU)",
        curves={
            "with shuffling": {"knn": points(knn), "accuracy": points(won)},
            "without": {"knn": points(knn_without), "accuracy": points(won_without)},
        },
    )


def cost(fit: Fit, images: int) -> Study:
    """Table 3 of v2: memory and time of MoCo and end-to-end against the batch."""
    base = fit({})
    group = base.encoder.norm_group or 2
    most = max(group, min(4096, images // group * group))
    batches = [b for b in (base.batch, 4 * base.batch, 16 * base.batch) if b <= most] or [most]
    keys = base.keys if isinstance(base.keys, Momentum) else Momentum()
    size = max(base.dictionary.size if isinstance(base.dictionary, Queue) else 0, base.batch)
    cells = [
        Cell(
            f"MoCo batch {batches[0]}",
            {"keys": keys, "dictionary": Queue(size=size), "batch": batches[0], "epochs": 1, "schedule": Cosine()},
            str(batches[0]),
            "MoCo",
            {"memory": 5.0, "seconds": 53 * 3600 / (200 * 1281.167)},
            "256",
        )
    ]
    for place, batch in enumerate(batches):
        changes = {"keys": EndToEnd(), "dictionary": Batch(), "batch": batch, "epochs": 1, "schedule": Cosine()}
        if isinstance(base.optim, SGD):
            changes["optim.lr"] = base.optim.lr
        paper: dict[Measure, float] = {"memory": 7.4, "seconds": 65 * 3600 / (200 * 1281.167)} if place == 0 else {}
        if place == len(batches) - 1 > 0:
            paper = {"memory": 93.0}
        theirs = "256" if place == 0 else "4096" if paper else ""
        cells.append(Cell(f"end-to-end batch {batch}", changes, str(batch), "end-to-end", paper, theirs))
    scaled = (
        f"one epoch each, batches of {', '.join(map(str, batches))} in place of 256 and 4,096, on one device; memory "
        "is what the process takes above what it took before training;"
        " the paper's 93 GB are its own estimate"
    )
    source = "MoCo v2, table 3: GB a GPU, and the 200 epochs on 8 V100 as seconds for 1,000 images"
    return Study(
        "cost",
        "Memory and time against the batch",
        tuple(cells),
        "batch",
        source,
        measures=("memory", "seconds"),
        scaled=scaled,
        tells=0.01,
        follows=("batch", "dictionary"),
        own_process=True,
    )


def dictionary(fit: Fit, images: int) -> Study:
    """The MoCo curve of figure 3 of v1, with the age of the oldest key."""
    base, sizes = _sizes(fit, images)
    same = {"batch": sizes[0], "optim.lr": base.optim.lr, "encoder.norm_group": base.encoder.norm_group}
    cells = tuple(
        Cell(
            f"K {k}, {k // sizes[0]} steps old",
            {"dictionary": Queue(size=k), **same},
            f"{k}\n{k // sizes[0]}",
            "MoCo",
            {"knn": paper},
            f"{theirs}\n{theirs // 256}",
        )
        for k, theirs, paper in zip(sizes, PAPER_K, MOCO, strict=False)
    )  # fmt: skip
    scaled = f"K from {sizes[0]} to {sizes[-1]} for {images:,} images, batch {sizes[0]}; {_BY_PLACE}"
    axis = "K, and below it the age of the oldest key in steps"
    title = "The size of the dictionary and the age of its keys"
    return Study("dictionary", title, cells, axis, _FIGURE_3, scaled=scaled, follows=("batch",))


def _sizes(fit: Fit, images: int) -> tuple[Recipe, tuple[int, ...]]:
    """The base recipe, and up to six values of K from its batch on, each twice the last, up to a tenth of the images.

    The batch is what the user says, or else a power of two of at least 8 from which six fit.
    """
    most = max(16, min(65536, int(images * 0.1)))
    base = fit({"batch": max(8, (1 << most.bit_length() - 1) >> 5)})
    if base.batch > most:
        raise MocoError(
            f"--batch {base.batch}: the batch is the smallest K here, and a tenth of the images, {most:,}, the "
            "largest; lower --batch"
        )
    if most == PAPER_K[-1]:
        base = fit({"batch": PAPER_K[0]})
        if base.batch == PAPER_K[0]:
            return base, PAPER_K
    return base, tuple(base.batch << i for i in range(6) if base.batch << i <= most)


def _views(base: Recipe) -> tuple[View, View]:
    """Views without and with v2's stronger augmentation, for the images that the base recipe is for."""
    if base.query_view in (V1, V2):
        return V1, V2
    view = base.query_view
    return replace(view, blur=replace(view.blur, p=0.0)), replace(view, blur=replace(view.blur, p=0.5))


STUDIES: dict[str, Make] = {
    "mechanisms": mechanisms,
    "momentum": momentum,
    "temperature": temperature,
    "v2-ladder": v2_ladder,
    "shuffle-bn": shuffle_bn,
    "cost": cost,
    "dictionary": dictionary,
    "v3-momentum": momentum_v3,
    "v3-predictor": predictor,
    "v3-patches": patches,
}
"""Studies by name."""


def _epochs(recipe: Recipe) -> int:
    if recipe.epochs is None:
        raise MocoError("a study counts in epochs, and this recipe in steps; give --epochs")
    return recipe.epochs
