"""How a huggingface folder prepares images: settings that transformers knows, and lines that follow them exactly.

transformers' own processors begin the central square a pixel before torchvision's `CenterCrop` (and so before ours)
wherever 3 pixels more than a multiple of 4 are left around it: 33.5 is 33 to them, 34 to torchvision.
"""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image

from moco.handover.parcel import Parcel
from moco.run.atomic import write_text

SETTINGS = "preprocessor_config.json"
CODE = "image_processing_encoder.py"


def write_image_processor(folder: Path, parcel: Parcel) -> None:
    """Both files: with `trust_remote_code=True` AutoImageProcessor takes the lines, without it the nearest it has."""
    settings = {
        "image_processor_type": "BitImageProcessor",
        "auto_map": {"AutoImageProcessor": f"{Path(CODE).stem}.EncoderImageProcessor"},
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": parcel.opened.preprocess.short_side},
        "resample": int(PIL.Image.Resampling.BILINEAR),
        "do_center_crop": True,
        "crop_size": {"height": parcel.size, "width": parcel.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(parcel.mean),
        "image_std": list(parcel.std),
    }
    write_text(folder / SETTINGS, json.dumps(settings, indent=2) + "\n")
    write_text(folder / CODE, _CODE)


_CODE = '''"""Images of any size, of 8 bits, to `pixel_values`, N x 3 x S x S, as the encoder saw them."""

import numpy as np
import PIL.Image
import torch
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.image_transforms import to_pil_image
from transformers.image_utils import make_flat_list_of_images


class EncoderImageProcessor(BaseImageProcessor):
    """The shorter side resized by PIL, the square cut out where torchvision cuts it, normalised.

    What is transparent becomes white.
    """

    model_input_names = ["pixel_values"]

    def __init__(self, size, crop_size, image_mean, image_std, **kwargs):
        super().__init__(**kwargs)
        self.size, self.crop_size = size, crop_size
        self.image_mean, self.image_std = image_mean, image_std

    def preprocess(self, images, return_tensors="pt", **kwargs):
        if other := [name for name, value in kwargs.items() if value is not None]:
            raise ValueError(f"{', '.join(other)}: no option changes how this encoder's images are prepared")
        square = torch.stack([self.central(to_pil_image(image)) for image in make_flat_list_of_images(images)])
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.image_mean, self.image_std))
        return BatchFeature({"pixel_values": (square.float() / 255 - mean) / std}, tensor_type=return_tensors)

    def central(self, image):
        if image.mode[0] in "IF":
            raise ValueError(f"nothing tells the range of an image of mode {image.mode}; give one of 8 bits")
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB")
        side, short = self.crop_size["height"], self.size["shortest_edge"]
        resized = [max(side, short * length // min(image.size)) for length in image.size]
        image = image.resize(resized, PIL.Image.Resampling.BILINEAR)
        left, top = (round((length - side) / 2) for length in resized)
        return torch.from_numpy(np.array(image.crop((left, top, left + side, top + side)))).permute(2, 0, 1)
'''
