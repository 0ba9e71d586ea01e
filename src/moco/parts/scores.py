"""Scores of features without labels (docs/evaluate.md), each a number, with its source in the docstring."""

from __future__ import annotations

from torch import Tensor

from moco.arguments import words
from moco.errors import MocoError
from moco.ops import scores as _scores
from moco.parts import refuse
from moco.scores import retrieval as _retrieval
from moco.scores import rotation as _rotation


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values' shares (RankMe, arXiv:2210.02885, equation 1) of N x D features.

    From 1 (a collapse: all on one line) to min(N, D). They are taken as they are, not centred. Raises MocoError.
    """
    return float(_scores.effective_rank(_known("effective_rank", "features", features)))


def lidar(views: Tensor, delta: float = 1e-4) -> float:
    """The effective rank of what tells images apart (LiDAR, arXiv:2312.04000, section 4), of N images x Q views x D.

    At most min(N - 1, D); Q is at least 2. Raises MocoError.
    """
    name = "lidar"
    refuse.tensor(name, "views", views, "N x Q x D", "floating", "the features of Q views of each of N images")
    _has_values(name, "views", views)
    if views.shape[0] < 2 or views.shape[1] < 2:
        raise MocoError(f"moco.{name}: views is {words(views)}; give at least 2 images, each in 2 views")
    refuse.positive(name, "delta", delta)
    return float(_scores.lidar(views, delta))


def alignment(a: Tensor, b: Tensor) -> float:
    """Mean squared distance of two views of the same images, unit vectors N x C (arXiv:2005.10242); 0: they agree."""
    _pair("alignment", a, b)
    return float(_scores.alignment(refuse.unit_vectors("alignment", "a", a), refuse.unit_vectors("alignment", "b", b)))


def uniformity(z: Tensor) -> float:
    """log of the mean of exp(-2 |x - y|^2) over pairs of unit vectors N x C (arXiv:2005.10242); lower: more spread out.

    From 0, all in one point, to about -3.9 in 128 dimensions. N is at least 2.
    """
    return float(_scores.uniformity(_several("uniformity", z)))


def spread(z: Tensor) -> float:
    """Mean standard deviation of the coordinates of unit vectors N x C, times sqrt(C): 0 collapsed, 1 evenly spread."""
    return float(_scores.spread(_several("spread", z)))


def retrieval_accuracy(a: Tensor, b: Tensor) -> float:
    """Share of rows of `a` (N x D) whose nearest row of `b` by cosine is their own, and the other way round."""
    _pair("retrieval_accuracy", a, b)
    return _retrieval.retrieval_accuracy(a, b)


def rotation_accuracy(features: Tensor) -> float:
    """Share of quarter turns that a linear probe finds (SelfAugment, arXiv:2009.07724); chance is 0.25.

    `features` (4N x D, N at least 2) are those of N images unturned, then of all turned by 90, 180 and 270 degrees
    (torch.rot90 over height and width). Raises MocoError where the number of rows is not four times that of images.
    """
    name = "rotation_accuracy"
    _known(name, "features", features)
    if len(features) % 4 or len(features) < 8:
        raise MocoError(
            f"moco.{name}: features is {words(features)}; give 4N x D: the features of at least 2 images, "
            "unturned and then in three quarter turns"
        )
    return _rotation.rotation_accuracy(features)


def _known(name: str, argument: str, x: Tensor) -> Tensor:
    refuse.vectors(name, argument, x)
    return _has_values(name, argument, x)


def _has_values(name: str, argument: str, x: Tensor) -> Tensor:
    if x.device.type == "meta":
        raise MocoError(f"moco.{name}: {argument} is {words(x)}, without values; put it on a device")
    if not bool(x.isfinite().all()):
        raise MocoError(f"moco.{name}: {argument} is {words(x)}, with values that are not finite")
    return x


def _several(name: str, z: Tensor) -> Tensor:
    _known(name, "z", z)
    if len(z) < 2:
        raise MocoError(f"moco.{name}: z is {words(z)}; give at least 2 rows")
    return refuse.unit_vectors(name, "z", z)


def _pair(name: str, a: Tensor, b: Tensor) -> None:
    for argument, x in (("a", a), ("b", b)):
        refuse.vectors(name, argument, x)
    refuse.together(name, {"a": a, "b": b})
    refuse.same_shape(name, "a", a, "b", b)
    for argument, x in (("a", a), ("b", b)):
        _has_values(name, argument, x)
