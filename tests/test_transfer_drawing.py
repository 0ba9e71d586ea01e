"""What is drawn on images: known keypoints and the lines between them, and no others."""

from pathlib import Path

import numpy as np

from moco.transfer.drawing import draw_found, true_things
from moco.transfer.layouts.annotated import Annotated, Part, Thing


def drawn(points, box):
    thing = Thing(box, 0, 1000.0, points=np.array(points, dtype=np.float32))
    words = Part((), ("person",), points=("head", "foot", "hand"), skeleton=((0, 1), (1, 2)))
    image = np.full((60, 80, 3), 128, dtype=np.uint8)
    picture = draw_found(image, true_things(Annotated("a", Path("a.png"), 0, 80, 60, (thing,))), words, scores=False)
    return np.asarray(picture).astype(int) != 128


def test_keypoints_that_nobody_saw_are_not_drawn_and_joined():
    changed = drawn([[40, 30, 2], [60, 50, 1], [0, 0, 0]], (35.0, 25.0, 70.0, 55.0)).any(axis=2)
    assert changed[29:32, 39:42].any()
    assert changed[40, 50], "the line between the two that were seen"
    assert not changed[:20].any()
    assert not changed[:, :30].any()
