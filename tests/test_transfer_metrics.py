"""Metrics: equal to pycocotools on the same predictions, to VOC's rule written plainly, and to counts by hand."""

import contextlib
import io
import json
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image
from transfer_data import make_coco, make_voc

from moco.errors import MocoError
from moco.transfer.layouts.annotated import Annotated, Part, Thing
from moco.transfer.layouts.cityscapes import read_cityscapes
from moco.transfer.layouts.coco import read_coco, read_keypoints, read_lvis
from moco.transfer.layouts.outlines import packed, rle
from moco.transfer.layouts.voc import read_voc
from moco.transfer.metrics.cityscapes import cityscapes_precision
from moco.transfer.metrics.coco import average_precision, found_json, sigmas, true_json
from moco.transfer.metrics.iou import confusion, mean_iou
from moco.transfer.metrics.predicted import Predicted, read_predicted
from moco.transfer.metrics.voc import voc_precision


def guesses(part, seed=0, masks=False, points=False):
    """True things moved a little, some of another class, and some where there is nothing."""
    rng = np.random.default_rng(seed)
    for i, image in enumerate(part.images):
        boxes, labels, drawn, dots = [], [], [], []
        for thing in [*image.things, *image.things]:
            box = np.clip(np.array(thing.box) + rng.normal(0, 2, 4), 0, 64)
            box[2:] = np.maximum(box[2:], box[:2] + 3)
            boxes.append(box)
            labels.append(thing.label if rng.random() < 0.8 else 1 - thing.label)
            mask = np.zeros((image.height, image.width), dtype=np.uint8)
            x0, y0, x1, y1 = box.round().astype(int)
            mask[y0:y1, x0:x1] = 1
            drawn.append(packed(mask))
            if points:
                dots.append(np.concatenate([thing.points[:, :2] + rng.normal(0, 2, (2, 2)), np.ones((2, 1))], axis=1))
        order = np.argsort(-(scores := rng.random(len(boxes)).round(3)))
        yield Predicted(
            i,
            np.array(boxes)[order],
            scores[order],
            np.array(labels)[order],
            [drawn[j] for j in order] if masks else None,
            np.array(dots)[order] if points else None,
        )


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
def test_average_precision_is_that_of_pycocotools(tmp_path, kind):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    read = read_keypoints if kind == "keypoints" else read_coco
    part, _ = read(make_coco(tmp_path / "coco", train=12), None, None)
    predicted = list(guesses(part, masks=kind == "segm", points=kind == "keypoints"))
    ours = average_precision(part, predicted)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = true_json(part)
        truth.createIndex()
        drop = {"bbox": ("segmentation", "keypoints"), "segm": ("bbox",), "keypoints": ("segmentation",)}[kind]
        found = [{k: v for k, v in one.items() if k not in drop} for one in found_json(predicted)]
        judged = COCOeval(truth, truth.loadRes(found), kind)
        if kind == "keypoints":
            judged.params.kpt_oks_sigmas = np.array(sigmas(part))
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    name = {"bbox": "AP", "segm": "mask AP", "keypoints": "keypoint AP"}[kind]
    assert [ours[name], ours[f"{name}50"], ours[f"{name}75"]] == pytest.approx(list(judged.stats[:3]), abs=1e-6)
    assert 0.05 < ours[f"{name}50"] < 1


def voc_plainly(part, predicted, least, eleven):
    """The devkit's VOCevaldet, a class at a time."""
    precisions = []
    for label in range(len(part.classes)):
        truth = [[t for t in image.things if t.label == label] for image in part.images]
        total = sum(not t.crowd for things in truth for t in things)
        rows = [
            (s, p.image, b)
            for p in predicted
            for b, s, c in zip(p.boxes, p.scores, p.labels, strict=True)
            if c == label
        ]
        used, tp, fp = set(), [], []
        for _, i, box in sorted(rows, key=lambda r: -r[0]):
            best, place = -1.0, None
            for j, thing in enumerate(truth[i]):
                t = thing.box
                w, h = min(box[2], t[2]) - max(box[0], t[0]), min(box[3], t[3]) - max(box[1], t[1])
                if w > 0 and h > 0:
                    area = (box[2] - box[0]) * (box[3] - box[1]) + (t[2] - t[0]) * (t[3] - t[1]) - w * h
                    if w * h / area > best:
                        best, place = w * h / area, j
            if best > least and truth[i][place].crowd:
                tp.append(0), fp.append(0)
            elif best > least and (i, place) not in used:
                used.add((i, place))
                tp.append(1), fp.append(0)
            else:
                tp.append(0), fp.append(1)
        recall, precision = np.cumsum(tp) / total, np.cumsum(tp) / np.maximum(np.cumsum(tp) + np.cumsum(fp), 1)
        if eleven:
            steps = np.linspace(0, 1, 11)
            precisions.append(np.mean([max(precision[recall >= t - 1e-12], default=0.0) for t in steps]))
            continue
        area, last = 0.0, 0.0
        for r in np.unique(recall):
            area += (r - last) * precision[recall >= r].max()
            last = r
        precisions.append(area)
    return float(np.mean(precisions))


@pytest.mark.parametrize("eleven", [False, True])
def test_voc_precision_is_the_devkits(tmp_path, eleven):
    part, _ = read_voc(make_voc(tmp_path / "voc", train=20), None, None)
    images = list(part.images)
    hard = images[1].things
    images[1] = Annotated(
        **{**vars(images[1]), "things": (Thing(*list(vars(hard[0]).values())[:3], crowd=True), *hard[1:])}
    )
    part = Part(**{**vars(part), "images": tuple(images), "eleven": eleven})
    predicted = list(guesses(part))
    ours = voc_precision(part, predicted)
    assert ours["AP50"] == pytest.approx(voc_plainly(part, predicted, 0.5, eleven))
    assert ours["AP75"] == pytest.approx(voc_plainly(part, predicted, 0.75, eleven))
    assert ours["AP"] == pytest.approx(
        np.mean([voc_plainly(part, predicted, 0.5 + 0.05 * i, eleven) for i in range(10)]), abs=1e-9
    )


def perfect(part):
    for i, image in enumerate(part.images):
        boxes = np.array([t.box for t in image.things]).reshape(-1, 4)
        outlines = [rle(t.outline, 64, 64) if t.outline else None for t in image.things]
        labels = np.array([t.label for t in image.things])
        yield Predicted(i, boxes, np.linspace(0.9, 0.8, len(boxes)), labels, outlines)


def test_what_is_exactly_right_scores_one_by_every_rule(tmp_path):
    part, _ = read_voc(make_voc(tmp_path / "voc"), None, None)
    assert voc_precision(part, list(perfect(part)))["AP"] == pytest.approx(1)
    part, _ = read_coco(make_coco(tmp_path / "coco"), None, None)
    for lvis in (False, True):
        assert average_precision(part, list(perfect(part)), lvis=lvis)["mask AP"] == pytest.approx(1)
    assert cityscapes_precision(part, list(perfect(part)))["mask AP"] == pytest.approx(1)


def test_nothing_found_scores_nothing(tmp_path):
    part, _ = read_coco(make_coco(tmp_path / "coco"), None, None)
    none = [Predicted(i, np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int), []) for i in range(len(part.images))]
    for scores in (average_precision(part, none), voc_precision(part, none), cityscapes_precision(part, none)):
        assert set(scores.values()) == {0.0}


def test_lvis_judges_a_category_only_where_it_is_known_to_be_or_not_to_be(tmp_path):
    """Found where nobody looked is neither right nor wrong; found where it is known to be absent is wrong."""
    part, _ = read_coco(make_coco(tmp_path / "coco"), None, None)
    right = list(perfect(part))
    other = next(i for i, image in enumerate(part.images) if {t.label for t in image.things} == {0})
    one = right[other]
    extra = Predicted(
        other,
        np.concatenate([np.array([[1.0, 1, 9, 9]]), one.boxes]),
        np.concatenate([[0.99], one.scores]),
        np.concatenate([[1], one.labels]),
        [one.masks[0], *one.masks],
    )
    right[other] = extra
    assert average_precision(part, right, lvis=True)["AP"] == pytest.approx(1)
    known = list(part.images)
    known[other] = Annotated(**{**vars(known[other]), "absent": (1,)})
    assert average_precision(Part(**{**vars(part), "images": tuple(known)}), right, lvis=True)["AP"] < 0.99
    assert average_precision(part, right)["AP"] < 0.99, "COCO counts it everywhere"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its logger
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_lvis_precision_is_that_of_the_lvis_api(tmp_path, monkeypatch, kind):
    """Categories known to be absent, those of which not all are annotated, and those nobody looked for."""
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))  # with which it only draws
    lvis = pytest.importorskip("lvis")
    monkeypatch.setattr(np, "float", float, raising=False)  # which it still uses
    part, _ = read_lvis(make_coco(tmp_path / "coco", train=16, kinds=("lvis",)), None, None)
    images = [
        Annotated(**{**vars(image), "absent": (), "incomplete": (i % 2,)})
        if len({t.label for t in image.things}) == 2 or i % 3 == 0
        else Annotated(**{**vars(image), "absent": (1 - image.things[0].label,)})
        for i, image in enumerate(part.images)
    ]
    part = Part(**{**vars(part), "images": tuple(images), "frequencies": ("f", "r")})
    predicted = list(guesses(part, masks=True))
    ours = average_precision(part, predicted, lvis=True, most=300)
    (tmp_path / "true.json").write_text(json.dumps(true_json(part), default=bytes.decode))
    known = lvis.LVIS(str(tmp_path / "true.json"))
    drop = {"bbox": "segmentation", "segm": "bbox"}[kind]
    found = [{k: v for k, v in one.items() if k != drop} for one in found_json(predicted)]
    judged = lvis.LVISEval(known, lvis.LVISResults(known, found, max_dets=300), kind)
    judged.run()
    theirs = judged.get_results()
    name = {"bbox": "AP", "segm": "mask AP"}[kind]
    words = {"AP": "", "AP50": "50", "AP75": "75", "APr": " rare", "APf": " frequent"}
    assert {k: ours[f"{name}{word}"] for k, word in words.items()} == pytest.approx(
        {k: float(theirs[k]) for k in words}, abs=1e-6
    )
    assert 0.05 < ours[f"{name}50"] < 0.95
    assert ours[name] != average_precision(part, predicted)[name], "COCO's rule is another"


def test_rare_common_and_frequent_are_what_the_file_of_lvis_says(tmp_path):
    root = make_coco(tmp_path / "coco", kinds=("lvis",))
    for name in ("lvis_train", "lvis_val"):
        file = root / "annotations" / f"{name}.json"
        content = json.loads(file.read_text())
        for category, letter in zip(content["categories"], "fr", strict=True):
            category["frequency"] = letter
        file.write_text(json.dumps(content))
    part, test = read_lvis(root, None, None)
    assert part.frequencies == test.frequencies == ("f", "r")
    right = [one for one in perfect(part) if 1 not in one.labels]
    scores = average_precision(part, right, lvis=True)
    assert (scores["AP frequent"], scores["AP rare"]) == (pytest.approx(1, abs=0.6), 0.0)
    assert "AP common" not in scores


def test_iou_leaves_void_out():
    truth, found = np.array([[0, 0, 1, 255]]), np.array([[0, 1, 1, 1]])
    counts = confusion(truth, found, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    scores = mean_iou(counts, ("a", "b", "c"))
    assert scores["mIoU"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert scores["pixels right"] == pytest.approx(2 / 3)


def test_predictions_come_back_from_disk_in_the_order_of_images(tmp_path):
    part, _ = read_keypoints(make_coco(tmp_path / "coco"), None, None)
    predicted = list(guesses(part, points=True))
    for half in range(2):
        (tmp_path / f"{half}.jsonl").write_text("".join(one.line() + "\n" for one in predicted[half::2]))
    files = [tmp_path / "1.jsonl", tmp_path / "0.jsonl"]
    back = list(read_predicted(files))
    assert [one.image for one in back] == list(range(len(part.images)))
    assert np.allclose(back[3].points, predicted[3].points, atol=1e-3)
    files[0].write_text("{")
    with pytest.raises(MocoError, match=r"1.jsonl, line 1, is damaged"):
        list(read_predicted(files))


def test_an_image_in_which_nothing_was_found_comes_back_with_no_points(tmp_path):
    none = Predicted(0, np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int), None, np.zeros((0, 17, 3)))
    (tmp_path / "0.jsonl").write_text(none.line() + "\n")
    (back,) = read_predicted([tmp_path / "0.jsonl"])
    assert len(back.points) == len(back.boxes) == 0


def test_cityscapes_precision_is_that_of_its_own_scripts(tmp_path, monkeypatch):
    """Void, groups, instances of less than 100 pixels, several matches of one instance, and misses."""
    scripts = pytest.importorskip("cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling")
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)  # which the scripts still use
    monkeypatch.setattr(scripts, "writeDict2JSON", lambda *_: None)  # which takes no numbers of numpy 2
    rng = np.random.default_rng(3)
    truths, guessed, predicted = [], [], []
    for i in range(6):
        stem = f"ulm_00000{i}_000019"
        ids = np.full((60, 120), 7, dtype=np.uint16)
        ids[:20] = 0
        ids[50:, :40] = 26
        for n in range(4):
            size = int(rng.integers(6, 22))
            x, y = int(rng.integers(0, 120 - size)), int(rng.integers(10, 58 - size))
            ids[y : y + size, x : x + size] = (26 if n < 3 else 24) * 1000 + n
        for part, folder in (("train", "leftImg8bit"), ("val", "leftImg8bit"), ("train", "gtFine"), ("val", "gtFine")):
            (tmp_path / folder / part / "ulm").mkdir(parents=True, exist_ok=True)
            name = f"{stem}_leftImg8bit.png" if folder == "leftImg8bit" else f"{stem}_gtFine_instanceIds.png"
            picture = Image.new("RGB", (120, 60)) if folder == "leftImg8bit" else Image.fromarray(ids)
            picture.save(tmp_path / folder / part / "ulm" / name)
        truths.append(str(tmp_path / "gtFine/val/ulm" / f"{stem}_gtFine_instanceIds.png"))
        masks, scores, labels, lines = [], [], [], []
        for n, value in enumerate([v for v in np.unique(ids) if v >= 24] * 2 + [0, 7]):
            mask = np.roll(ids == value, rng.integers(-3, 4, 2), axis=(0, 1))
            mask = mask if value >= 24 else mask & (rng.random((1, 120)) < 0.3)
            masks.append(packed(mask.astype(np.uint8)))
            scores.append(round(float(rng.random()), 4))
            label = 24 if value // 1000 == 24 else 26
            labels.append({24: 0, 26: 2}[label])
            Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"{stem}_{n}.png")
            lines.append(f"{stem}_{n}.png {label} {scores[-1]}\n")
        guessed.append(str(tmp_path / f"{stem}.txt"))
        (tmp_path / f"{stem}.txt").write_text("".join(lines))
        boxes = np.zeros((len(masks), 4))
        predicted.append(Predicted(i, boxes, np.array(scores), np.array(labels), masks))
    args = scripts.args
    args.predictionPath, args.gtInstancesFile = str(tmp_path), str(tmp_path / "gt.json")
    args.JSONOutput, args.quiet = False, True
    theirs = scripts.evaluateImgLists(guessed, truths, args)["averages"]
    _, part = read_cityscapes(tmp_path, None, None)
    ours = cityscapes_precision(part, predicted)
    assert ours["mask AP"] == pytest.approx(theirs["allAp"])
    assert ours["mask AP50"] == pytest.approx(theirs["allAp50%"])
    assert 0.05 < ours["mask AP50"] < 0.95
