"""Annotations of any layout become the same values; what makes no sense is left out, named by file and line or id."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transfer_data import CLASSES, make_coco, make_masks, make_voc

from moco.errors import MocoError
from moco.transfer.layouts.annotated import Part, refuse_complaints, summary
from moco.transfer.layouts.cityscapes import read_cityscapes, read_cityscapes_masks
from moco.transfer.layouts.coco import read_coco, read_keypoints
from moco.transfer.layouts.masks import read_masks
from moco.transfer.layouts.open import open_parts
from moco.transfer.layouts.outlines import packed, pixels, trouble
from moco.transfer.layouts.voc import read_voc, read_voc_masks

DATA = Path(os.environ.get("MOCO_TEST_DATA", "/nonexistent"))


def complaints(part):
    return [(Path(c.where.split(",")[0]).name + "".join(c.where.partition(",")[1:]), c.why) for c in part.complaints]


def test_voc_boxes_count_from_one_in_files_and_from_zero_here(tmp_path):
    train, test = read_voc(make_voc(tmp_path / "voc"), None, None)
    assert (len(train.images), len(test.images)) == (8, 4)
    assert set(train.classes) == set(CLASSES)
    from transfer_data import scene

    for i, image in enumerate(train.images):
        boxes = [(train.classes[thing.label], thing.box) for thing in image.things]
        assert boxes == [(CLASSES[label], tuple(map(float, box))) for label, box, _ in scene(i)[1]]


def test_voc_years_are_joined_and_the_first_with_a_test_list_is_judged(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        root = make_voc(tmp_path / year)
        (root / "ImageSets/Main/train.txt").rename(root / "ImageSets/Main/trainval.txt")
    (tmp_path / "VOC2007/ImageSets/Main/val.txt").rename(tmp_path / "VOC2007/ImageSets/Main/test.txt")
    train, test = read_voc(tmp_path, None, None)
    assert (len(train.images), len(test.images)) == (16, 4)
    assert test.eleven
    assert not train.eleven
    one, _ = read_voc(tmp_path, "VOC2012/trainval", "VOC2007/test")
    assert len(one.images) == 8
    with pytest.raises(MocoError, match=r"--train VOC2012/test: no such list .*VOC2007/test"):
        read_voc(tmp_path, "VOC2012/test", None)


def test_bad_voc_annotations_are_named_by_file_and_line(tmp_path):
    root = make_voc(tmp_path / "voc")
    size = "<size><width>64</width><height>64</height></size>"
    boxes = {"no area": (5, 5, 5, 9), "reaches outside": (5, 5, 80, 20), "missing": (1, 2, 3, "x")}
    objects = "".join(
        f"<object><name>disc</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>\n"
        for a, b, c, d in boxes.values()
    )
    (root / "Annotations/000001.xml").write_text(f"<annotation>{size}\n{objects}</annotation>")
    (root / "Annotations/000002.xml").write_text("<annotation>\n<size>")
    (root / "Annotations/000003.xml").unlink()
    (root / "JPEGImages/000004.png").unlink()
    text = (root / "Annotations/000008.xml").read_text()
    (root / "Annotations/000008.xml").write_text(text.replace("square", "cube").replace("disc", "cube"))
    train, test = read_voc(root, None, None)
    found = complaints(train)
    assert [where for where, why in found if any(word in why for word in boxes) and "000001" in where] == [
        "000001.xml, line 4",
        "000001.xml, line 2",
        "000001.xml, line 3",
    ]
    assert any(where == "000002.xml, line 2" and "damaged XML" in why for where, why in found)
    assert any(where == "000003.xml" and "no such file" in why for where, why in found)
    assert any("000004" in why for _, why in found)
    assert any("'cube' is none of those learnt" in why for _, why in complaints(test))


def test_too_much_nonsense_stops_with_the_first_of_it(tmp_path):
    root = make_voc(tmp_path / "voc")
    (root / "Annotations/000003.xml").unlink()
    train, _ = read_voc(root, None, None)
    refuse_complaints(train, 0.5, "list.txt")
    with pytest.raises(MocoError, match=r"1 of \d+ annotations and .*000003.xml: there is no such file; all are"):
        refuse_complaints(train, 0.01, "list.txt")


def test_coco_categories_of_any_number_are_counted_from_zero(tmp_path):
    train, test = read_coco(make_coco(tmp_path / "coco"), None, None)
    assert train.classes == CLASSES
    assert train.categories == (10, 20)
    assert {thing.label for image in train.images for thing in image.things} == {0, 1}
    assert len(test.images) == 4
    assert "8 images with" in summary(train)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"bbox": [5, 5, 0, 9]}, "has no area"),
        ({"bbox": [50, 50, 40, 40]}, "reaches outside its image of 64 x 64"),
        ({"bbox": [5, 5]}, "not four numbers"),
        ({"segmentation": []}, "the mask is empty"),
        ({"segmentation": [[1, 2, 3, 4]]}, "fewer than three points"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "the mask is of 9 x 9 pixels"),
        ({"segmentation": {"size": [64, 64], "counts": [100]}}, "cover 100 pixels, its image has 4,096"),
        ({"segmentation": {"size": [64, 64], "counts": "me;4"}}, "run lengths"),
        ({"category_id": 77}, "category 77 is none"),
        ({"image_id": 4}, "image 4 is none"),
        ({"id": 2}, "the same id"),
    ],
)
def test_a_bad_coco_annotation_is_named_by_its_id_and_left_out(tmp_path, change, why):
    root = make_coco(tmp_path / "coco")
    file = root / "annotations/instances_train.json"
    content = json.loads(file.read_text())
    content["annotations"][0] |= change
    file.write_text(json.dumps(content))
    whole = len(content["annotations"])
    train, _ = read_coco(root, None, None)
    assert len(train.complaints) == 1
    where, said = complaints(train)[0]
    assert why in said
    assert where == f"instances_train.json, annotation {change.get('id', 1)}"
    assert sum(len(image.things) for image in train.images) == whole - 1


def test_json_of_another_kind_and_missing_images_are_sentences(tmp_path):
    root = make_coco(tmp_path / "coco")
    (root / "train/3.png").unlink()
    train, _ = read_coco(root, None, None)
    assert ("instances_train.json, image 103", f"there is no {root / 'train/3.png'}") in complaints(train)
    (root / "annotations/instances_val.json").write_text('{"shapes": []}')
    with pytest.raises(MocoError, match="JSON of another kind: it holds shapes"):
        read_coco(root, None, None)
    (root / "annotations/instances_val.json").write_text("[1")
    with pytest.raises(MocoError, match="is not JSON"):
        read_coco(root, None, None)
    with pytest.raises(MocoError, match=r"--test other\.json: no such file"):
        read_coco(root, None, "other.json")


def test_keypoints_of_any_skeleton_and_their_mirror(tmp_path):
    train, _ = read_keypoints(make_coco(tmp_path / "coco"), None, None)
    assert train.points == ("left_end", "right_end")
    assert train.skeleton == ((0, 1),)
    assert train.mirrored == (1, 0)
    sides = Part((), (), points=("nose", "eyeL", "eyeR", "l_hip", "r_hip", "forelegR1", "forelegL1", "tail"))
    assert sides.mirrored == (0, 2, 1, 4, 3, 6, 5, 7)


def test_masks_of_another_size_or_kind_are_left_out(tmp_path):
    root = make_masks(tmp_path / "masks")
    Image.new("L", (9, 9)).save(root / "masks/train/1.png")
    Image.new("RGB", (64, 64)).save(root / "masks/train/2.png")
    (root / "masks/train/3.png").unlink()
    train, test = read_masks(root, None, None)
    assert (len(train.images), len(test.images)) == (5, 4)
    assert [why for _, why in complaints(train)] == [
        "the mask is of 9 x 9 pixels, its image of 64 x 64",
        "a mask has one number for each pixel, this is of RGB",
        f"it has no mask {root / 'masks/train/3'}.png",
    ]
    assert len(train.classes) == 3
    (root / "classes.txt").write_text("nothing\nsquare\n")
    with pytest.raises(MocoError, match="names 2 classes, but a mask holds the number 2"):
        read_masks(root, None, None)


def test_voc_masks_take_the_lists_of_segmentation(tmp_path):
    train, test = read_voc_masks(make_voc(tmp_path / "voc"), None, None)
    assert (len(train.images), len(test.images), len(train.classes)) == (8, 4, 21)


def test_cityscapes_instances_are_the_same_from_polygons_and_from_label_images(tmp_path):
    for part in ("train", "val"):
        for kind in ("leftImg8bit", "gtFine"):
            (tmp_path / kind / part / "ulm").mkdir(parents=True)
        stem = "ulm_000001_000019"
        Image.new("RGB", (64, 32)).save(tmp_path / "leftImg8bit" / part / "ulm" / f"{stem}_leftImg8bit.png")
        square = [[4, 4], [12, 4], [12, 20], [4, 20]]
        objects = [{"label": "sky", "polygon": square}, {"label": "car", "polygon": square}]
        objects.append({"label": "persongroup", "polygon": [[30, 4], [40, 4], [40, 12]]})
        fine = tmp_path / "gtFine" / part / "ulm"
        (fine / f"{stem}_gtFine_polygons.json").write_text(json.dumps({"objects": objects}))
    drawn, _ = read_cityscapes(tmp_path, None, None)
    car, group = sorted(drawn.images[0].things, key=lambda thing: thing.crowd)
    assert (drawn.classes[car.label], car.crowd, drawn.classes[group.label], group.crowd) == (
        "car",
        False,
        "person",
        True,
    )
    ids = np.zeros((32, 64), dtype=np.uint16)
    ids[pixels([car.outline], 64, 32)[0] > 0] = 26000
    ids[pixels([group.outline], 64, 32)[0] > 0] = 24
    for part in ("train", "val"):
        fine = tmp_path / "gtFine" / part / "ulm"
        (fine / f"{stem}_gtFine_polygons.json").unlink()
        Image.fromarray(ids).save(fine / f"{stem}_gtFine_instanceIds.png")
        Image.fromarray((ids // 1000).astype(np.uint8)).save(fine / f"{stem}_gtFine_labelIds.png")
    from_ids, _ = read_cityscapes(tmp_path, None, None)
    assert (pixels([from_ids.images[0].void], 64, 32)[0] == ~np.isin(ids, (24, 26000))).all()
    assert sorted(map(repr, from_ids.images[0].things)) == sorted(map(repr, drawn.images[0].things))
    assert len(read_cityscapes_masks(tmp_path, None, None)[0].classes) == 19


def test_packed_masks_come_back_and_their_run_lengths_are_right():
    mask = np.zeros((5, 7), dtype=np.uint8)
    mask[1:4, 2:6] = 1
    outline = packed(mask)
    assert trouble(outline, 7, 5) is None
    assert (pixels([outline], 7, 5)[0] == mask).all()


def test_a_folder_that_is_none_or_of_another_layout_is_said(tmp_path):
    with pytest.raises(MocoError, match="there is no such folder"):
        open_parts("voc", tmp_path / "nothing", None, None)
    for layout, word in (
        ("voc", "JPEGImages"),
        ("coco", "instances"),
        ("folder-masks", "masks"),
        ("cityscapes", "left"),
    ):
        with pytest.raises(MocoError, match=word):
            open_parts(layout, tmp_path, None, None)


@pytest.mark.skipif(not (DATA / "bccd_voc").is_dir(), reason="MOCO_TEST_DATA names no folder with bccd_voc unpacked")
def test_bccd_has_two_boxes_without_area():
    train, test = read_voc(DATA / "bccd_voc", None, None)
    assert (len(train.images), len(test.images)) == (292, 72)
    assert [where for where, _ in complaints(train)] == [
        "BloodImage_00338.xml, line 158",
        "BloodImage_00343.xml, line 50",
    ]


@pytest.mark.skipif(not (DATA / "coco_tiny").is_dir(), reason="MOCO_TEST_DATA names no folder with coco_tiny unpacked")
def test_every_annotation_of_the_small_coco_can_be_used():
    for read in (read_coco, read_keypoints):
        for part in read(DATA / "coco_tiny", None, None):
            assert part.complaints == ()
