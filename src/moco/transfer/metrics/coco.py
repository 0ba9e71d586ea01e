"""COCO's average precision of boxes, masks and keypoints, and LVIS's, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from moco.transfer.extra import from_extra
from moco.transfer.layouts.annotated import Annotated, Part, Thing
from moco.transfer.layouts.outlines import rle
from moco.transfer.metrics.predicted import Predicted

PERSON = tuple(
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "  # noqa: SIM905
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle".split()
)
_PERSON_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""For head, arms and legs (COCO's)."""

SIGMA = 0.05
"""How far a point of another skeleton may lie off, as a share of the thing's size; COCO's are 0.025 to 0.107."""

_KINDS = {"bbox": "AP", "segm": "mask AP", "keypoints": "keypoint AP"}


def average_precision(
    part: Part, predicted: Iterable[Predicted], lvis: bool = False, most: int = 100
) -> dict[str, float]:
    """AP, AP50, AP75 of boxes, and of masks and keypoints where there are any, as shares of 1."""
    truth = true_json(part)
    found = list(found_json(predicted))
    kinds = ["bbox"]
    if any(thing.outline is not None for image in part.images for thing in image.things):
        kinds.append("segm")
    if part.points:
        kinds.append("keypoints")
    scores: dict[str, float] = {}
    for kind in kinds:
        scores |= _scores(part, truth, found, kind, lvis, most)
    return scores


def _scores(
    part: Part, truth: dict[str, Any], found: list[dict[str, Any]], kind: str, lvis: bool, most: int
) -> dict[str, float]:
    name = _KINDS[kind]
    names = [name, f"{name}50", f"{name}75"]
    if not found:
        return dict.fromkeys(names, 0.0)
    coco, evaluation = from_extra("faster_coco_eval.core.coco"), from_extra("faster_coco_eval.core.faster_eval_api")
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO(truth, use_deepcopy=True)
        judged = evaluation.COCOeval_faster(
            known,
            known.loadRes(_for(kind, found)),
            kind,
            kpt_oks_sigmas=sigmas(part) if kind == "keypoints" else None,
            lvis_style=lvis and kind != "keypoints",
        )
        if kind != "keypoints":
            judged.params.maxDets = [most] if lvis else [1, 10, most]
        judged.evaluate()
        judged.accumulate()
        precision = np.asarray(judged.eval["precision"])  # thresholds x recalls x classes x areas x most
    every = {names[0]: precision[:, :, :, 0, -1], names[1]: precision[:1, :, :, 0, -1]}
    every[names[2]] = precision[5:6, :, :, 0, -1]
    scores = {key: _mean(value) for key, value in every.items()}
    if lvis:
        letters = _frequencies(part)
        for word in ("rare", "common", "frequent"):
            own = [c for c, letter in enumerate(letters) if letter == word[0]]
            if own:
                scores[f"{name} {word}"] = _mean(precision[:, :, own, 0, -1])
    return scores


def _mean(precision: Any) -> float:
    """Over all that has a true thing; 0 where nothing has."""
    there = precision[precision > -1]
    return float(there.mean()) if there.size else 0.0


def sigmas(part: Part) -> list[float]:
    """COCO's own for its 17 points of a person, the same for each point of another skeleton."""
    return list(_PERSON_SIGMAS) if part.points == PERSON else [SIGMA] * len(part.points)


def true_json(part: Part) -> dict[str, Any]:
    """The true things as COCO's JSON; images are counted from 1, classes too."""
    things = [(i, image, thing) for i, image in enumerate(part.images, 1) for thing in image.things]
    return {
        "info": {},
        "images": [_image(i, image) for i, image in enumerate(part.images, 1)],
        "categories": [
            {"id": i, "name": name, "keypoints": list(part.points), "frequency": frequency}
            for i, (name, frequency) in enumerate(zip(part.classes, _frequencies(part), strict=True), 1)
        ],
        "annotations": [_thing(number, i, image, thing) for number, (i, image, thing) in enumerate(things, 1)],
    }


def _frequencies(part: Part) -> list[str]:
    """As the file says; else by the number of these images that have the class: up to 10, up to 100, more."""
    if part.frequencies:
        return list(part.frequencies)
    images = Counter(label for image in part.images for label in {thing.label for thing in image.things})
    return ["r" if images[c] <= 10 else "c" if images[c] <= 100 else "f" for c in range(len(part.classes))]


def _image(number: int, image: Annotated) -> dict[str, Any]:
    return {
        "id": number,
        "file_name": image.name,
        "width": image.width,
        "height": image.height,
        "neg_category_ids": [c + 1 for c in image.absent],
        "not_exhaustive_category_ids": [c + 1 for c in image.incomplete],
    }


def _thing(number: int, image_number: int, image: Annotated, thing: Thing) -> dict[str, Any]:
    x0, y0, x1, y1 = thing.box
    content: dict[str, Any] = {
        "id": number,
        "image_id": image_number,
        "category_id": thing.label + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": thing.area,
        "iscrowd": int(thing.crowd),
    }
    if thing.outline is not None:
        content["segmentation"] = rle(thing.outline, image.width, image.height)
    if thing.points is not None:
        content["keypoints"] = [float(v) for v in thing.points.ravel()]
        content["num_keypoints"] = int((thing.points[:, 2] > 0).sum())
    return content


def found_json(predicted: Iterable[Predicted]) -> Iterable[dict[str, Any]]:
    """What was found as COCO's JSON of results; images and classes are counted from 1, as in `true_json`."""
    for one in predicted:
        for i, (box, score, label) in enumerate(zip(one.boxes, one.scores, one.labels, strict=True)):
            x0, y0, x1, y1 = map(float, box)
            content: dict[str, Any] = {
                "image_id": one.image + 1,
                "category_id": int(label) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "score": float(score),
            }
            if one.masks is not None:
                content["segmentation"] = one.masks[i]
            if one.points is not None:
                content["keypoints"] = [float(v) for v in one.points[i].ravel()]
            yield content


def _for(kind: str, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Copies with what this kind is judged by."""
    own = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints"}[kind]
    kept = ("image_id", "category_id", "score", own)
    return [{key: one[key] for key in kept} for one in found if own in one]
