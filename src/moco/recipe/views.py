"""Sets of views by name: which changes to an image leave what it shows the same (`--views NAME`).

A view must remove what does not matter and keep what does: a nuisance that the views keep becomes the feature,
and a difference that the views remove is never learnt.
"""

from __future__ import annotations

from dataclasses import replace

from moco.errors import MocoError
from moco.recipe.drawn import Bands, Blur, Jitter, Noise, View

V1 = View(
    jitter=Jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, p=1.0),
    blur=Blur(p=0.0),
    order=("gray", "jitter", "blur", "solarize"),
)
"""MoCo v1, as released: gray before jitter, jitter always, no blur (facts of the code, not of the paper's text)."""

V2 = View()
"""MoCo v2, "aug+": jitter with probability 0.8 and hue 0.1, then gray, then blur with probability 0.5."""

CIFAR = View(scale=(0.08, 1.0), blur=Blur(p=0.0))
"""The official CIFAR-10 demo."""

SIMCLR = View(scale=(0.08, 1.0), jitter=Jitter(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2))
"""SimCLR (arXiv:2002.05709, appendix A), strength 1."""

V3_FIRST = View(
    scale=(0.08, 1.0), jitter=Jitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1), blur=Blur(p=1.0)
)
"""MoCo v3's first view, as released: always blurred. Its ResNet takes crops from 20 %."""

V3_SECOND = replace(V3_FIRST, blur=Blur(p=0.1), solarize=0.2)
"""MoCo v3's second view: seldom blurred, now and then solarized (after BYOL)."""

DOCUMENTS = View(
    scale=(0.4, 1.0),
    flip=0.0,
    jitter=Jitter(saturation=0.0, hue=0.0),
    gray=0.0,
    blur=Blur(p=0.0),
)
"""Writing, digits, forms: never mirrored, colour carries nothing; place, size and ink vary."""

MICROSCOPY = View(
    flip_vertical=0.5,
    turn=0.75,
    jitter=Jitter(brightness=0.3, contrast=0.3, saturation=0.2, hue=0.05),
    gray=0.1,
    blur=Blur(sigma=(0.1, 1.0), p=0.3),
)
"""Slides and cells: no up or down, stain varies a little between slides, sharpness means something."""

SATELLITE = View(
    flip_vertical=0.5,
    turn=0.75,
    jitter=Jitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.05),
    gray=0.1,
    blur=Blur(sigma=(0.1, 1.0), p=0.3),
)
"""Seen from above: no up or down, light and haze vary, hue tells land cover apart."""

MULTISPECTRAL = View(
    flip_vertical=0.5,
    turn=0.75,
    jitter=Jitter(brightness=0.3, contrast=0.3, saturation=0.0, hue=0.0),
    gray=0.0,
    blur=Blur(sigma=(0.1, 1.0), p=0.3),
    bands=Bands(gain=0.1, offset=0.02, drop=0.1),
)
"""Many bands seen from above: light and haze vary, calibration a little; the ratios of bands, which tell what grows
there, are kept; no single band may be relied on."""

RADAR = View(
    flip_vertical=0.5,
    jitter=Jitter(brightness=0.2, contrast=0.2, saturation=0.0, hue=0.0),
    gray=0.0,
    blur=Blur(p=0.0),
    noise=Noise(speckle=0.3, p=0.8),
)
"""Backscatter: another draw of speckle is the same ground; what shines and its texture are kept. Shadows fall along
one axis, so images are mirrored but not turned by a quarter."""

FLUORESCENCE = View(
    flip_vertical=0.5,
    turn=0.75,
    jitter=Jitter(brightness=0.4, contrast=0.4, p=0.8, saturation=0.0, hue=0.0),
    gray=0.0,
    blur=Blur(sigma=(0.1, 1.0), p=0.3),
    bands=Bands(gain=0.2, offset=0.02),
    noise=Noise(gaussian=0.05, p=0.5),
)
"""Stains under a microscope: how bright each stain is, the background and the camera's noise vary; where each stain is,
and beside which other, is kept."""

XRAY = View(
    scale=(0.3, 1.0),
    flip=0.0,
    jitter=Jitter(brightness=0.3, contrast=0.3, saturation=0.0, hue=0.0),
    gray=0.0,
    blur=Blur(sigma=(0.1, 1.0), p=0.3),
    noise=Noise(gaussian=0.03, p=0.5),
)
"""X-rays and slices of bodies: exposure and window vary; left and right, up and down are kept (the heart lies left)."""
NEAR = replace(DOCUMENTS, scale=(0.7, 1.0))
"""`documents` with crops of 70 % and more: for images in which place tells much, or runs of a few hundred steps."""

STILL = Jitter(brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, p=0.0)

CROPS = View(scale=(0.4, 1.0), flip=0.0, jitter=STILL, gray=0.0, blur=Blur(p=0.0))
"""Place and size vary, and nothing else: colour and brightness tell the images apart."""

COLOURS = View(scale=(0.9, 1.0), flip=0.0, blur=Blur(p=0.0))
"""Light and colour vary, the place hardly: for images that are aligned with each other."""

GENTLE = View(
    scale=(0.4, 1.0),
    jitter=Jitter(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05),
    gray=0.1,
    blur=Blur(p=0.0),
)
"""Photographs at half strength, for runs that are too short for all of it."""

WHOLE = View(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=STILL, gray=0.0, blur=Blur(p=0.0))
"""The image itself, as far as a square takes it in: no view to learn from, one to look at."""

VIEWS: dict[str, View] = {
    "photos": V2,
    "gentle": GENTLE,
    "documents": DOCUMENTS,
    "near": NEAR,
    "crops": CROPS,
    "colours": COLOURS,
    "microscopy": MICROSCOPY,
    "satellite": SATELLITE,
    "multispectral": MULTISPECTRAL,
    "radar": RADAR,
    "fluorescence": FLUORESCENCE,
    "xray": XRAY,
}

CANDIDATES = ("near", "crops", "colours", "documents", "gentle", "photos")
"""The sets that `auto` chooses from, the most different first; runs too short to try any take `near`."""

UNTURNED = "microscopy"
"""The set that `auto` takes for images without up and down, which no probe of turns can choose for."""

REFERENCES: dict[str, View] = {"documents": DOCUMENTS, "gentle": GENTLE, "photos": V2}
"""Views under which encoders that learnt from different ones are compared."""


def named_views(name: str) -> View:
    """The set of views called `name`; raises MocoError with the names there are."""
    if name not in VIEWS:
        raise MocoError(f"--views {name}: there is no such set; choose from {', '.join(VIEWS)}")
    return VIEWS[name]
