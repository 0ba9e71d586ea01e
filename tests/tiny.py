"""A recipe that trains on digits in a second, on one thread."""

from moco.machine import Machine

CPU = Machine(device="cpu", precision="fp32", threads=1, workers=0)
TINY = {
    "encoder.backbone": "resnet10w8",
    "encoder.stem": "small",
    "encoder.norm_group": 8,
    "image_size": 16,
    "batch": 16,
    "epochs": 1,
    "dictionary.size": 16,
}
