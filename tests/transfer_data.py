"""Tiny annotated data sets in true layouts: bright squares and dark discs on noise, drawn from a seed."""

import json

import numpy as np
from PIL import Image

CLASSES = ("square", "disc")
POINTS = ("left_end", "right_end")
SIDE = 64


def scene(seed):
    """(pixels, [(class, box, mask)]): one or two things in an image of 64 x 64."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(90, 140, (SIDE, SIDE, 3)).astype(np.uint8)
    things = []
    for place in range(1 + seed % 2):
        label = int(rng.integers(2))
        size = int(rng.integers(16, 26))
        x, y = int(rng.integers(1, 30 - size // 2)) + 32 * place * (size < 28), int(rng.integers(1, SIDE - size))
        x = min(x, SIDE - size - 1)
        rows, columns = np.mgrid[:SIDE, :SIDE]
        if label == 0:
            mask = (columns >= x) & (columns < x + size) & (rows >= y) & (rows < y + size)
        else:
            centre = x + (size - 1) / 2, y + (size - 1) / 2
            mask = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 <= (size / 2) ** 2
        pixels[mask] = (240, 240, 40) if label == 0 else (20, 20, 60)
        things.append((label, (x, y, x + size, y + size), mask))
    return pixels, things


def make_voc(root, train=8, test=4):
    """root/JPEGImages, Annotations, SegmentationClass, ImageSets."""
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"{i:06d}" for i in range(train + test)]
    for i, name in enumerate(names):
        pixels, things = scene(i)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.png")
        labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
        objects = ""
        for label, (x0, y0, x1, y1), mask in things:
            labels[mask] = label + 1
            objects += f"""
  <object>
    <name>{CLASSES[label]}</name>
    <difficult>0</difficult>
    <bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>
  </object>"""
        Image.fromarray(labels).save(root / "SegmentationClass" / f"{name}.png")
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation>\n  <size><width>{SIDE}</width><height>{SIDE}</height></size>{objects}\n</annotation>\n"
        )
    for kind in ("Main", "Segmentation"):
        (root / "ImageSets" / kind / "train.txt").write_text("\n".join(names[:train]))
        (root / "ImageSets" / kind / "val.txt").write_text("\n".join(names[train:]))
    return root


def make_coco(root, train=8, test=4, kinds=("instances", "person_keypoints")):
    """root/train, root/val, annotations/*_{train,val}.json with polygons, and the ends of each thing as keypoints."""
    (root / "annotations").mkdir(parents=True)
    for part, first, count in (("train", 0, train), ("val", train, test)):
        (root / part).mkdir()
        images, annotations = [], []
        for i in range(first, first + count):
            pixels, things = scene(i)
            Image.fromarray(pixels).save(root / part / f"{i}.png")
            images.append({"id": 100 + i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
            for label, (x0, y0, x1, y1), mask in things:
                middle = (y0 + y1) / 2
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": 100 + i,
                        "category_id": 10 * (label + 1),
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": float(mask.sum()),
                        "iscrowd": 0,
                        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
                        "num_keypoints": 2,
                        "keypoints": [x0 + 1, middle, 2, x1 - 1, middle, 2],
                    }
                )
        categories = [
            {"id": 10 * (i + 1), "name": name, "keypoints": list(POINTS), "skeleton": [[1, 2]]}
            for i, name in enumerate(CLASSES)
        ]
        content = {"images": images, "annotations": annotations, "categories": categories}
        for kind in kinds:
            (root / "annotations" / f"{kind}_{part}.json").write_text(json.dumps(content))
    return root


def make_masks(root, train=8, test=4):
    """root/images and root/masks, each with train and val: 0 background, 1 square, 2 disc, a void frame."""
    for part, first, count in (("train", 0, train), ("val", train, test)):
        for kind in ("images", "masks"):
            (root / kind / part).mkdir(parents=True)
        for i in range(first, first + count):
            pixels, things = scene(i)
            labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
            for label, _, mask in things:
                labels[mask] = label + 1
            labels[0] = 255
            Image.fromarray(pixels).save(root / "images" / part / f"{i}.png")
            Image.fromarray(labels).save(root / "masks" / part / f"{i}.png")
    return root


def make_cityscapes(root, train=8, test=4):
    """root/leftImg8bit and root/gtFine: squares are cars, discs persons, all else a building."""
    for part, first, count in (("train", 0, train), ("val", train, test)):
        for folder in ("leftImg8bit", "gtFine"):
            (root / folder / part / "ulm").mkdir(parents=True)
        for i in range(first, first + count):
            pixels, things = scene(i)
            ids = np.full((SIDE, SIDE), 11, dtype=np.uint16)
            for number, (label, _, mask) in enumerate(things):
                ids[mask] = (26, 24)[label] * 1000 + number
            labels = np.where(ids >= 1000, ids // 1000, ids).astype(np.uint8)
            stem = f"ulm_{i:06d}_000019"
            Image.fromarray(pixels).save(root / "leftImg8bit" / part / "ulm" / f"{stem}_leftImg8bit.png")
            Image.fromarray(ids).save(root / "gtFine" / part / "ulm" / f"{stem}_gtFine_instanceIds.png")
            Image.fromarray(labels).save(root / "gtFine" / part / "ulm" / f"{stem}_gtFine_labelIds.png")
    return root
