"""What the images of a data set are made of: found by looking at some of them, said, and overridable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from moco.data.measure import measure
from moco.data.names import number_of
from moco.data.native import open_native
from moco.data.plain import MOST_SIDE
from moco.data.ranged import FULL, as_told, ranged
from moco.data.said import said
from moco.data.seen import as_shown, chosen, refuse_other_bands
from moco.data.source import Source, Unreadable, native, read_in_any_order
from moco.data.survey import Survey
from moco.data.values import Facts, Native, Values
from moco.errors import MocoError
from moco.recipe import Normalize, Recipe
from moco.recipe.pixels import Pixels, Type, check_pixels

SAMPLE = 64
"""Images that are decoded where headers do not say enough."""


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line; None is found out."""

    bands: str | None = None
    """`gray`, `rgb`, or numbers: `0,1,2,7`."""
    range: str | None = None
    """`0,4095`, `percentile`, `image`, `window`, `shown`."""
    no_data: float | None = None
    pages: str | None = None
    """`all`, `first`, `middle`, `max`."""
    tiles: int = 0
    overlap: int = 0
    skip: float = 0.02

    def __bool__(self) -> bool:
        return self != Asked()


@dataclass(frozen=True)
class Decided:
    """What images are made of, how they are normalised, and what there is to say about it."""

    pixels: Pixels | None
    normalize: Normalize | None = None
    """None: the recipe's."""
    lines: tuple[str, ...] = ()
    views: str | None = None
    """The set of views that fits, where it is another than that of photographs."""

    def into(self, recipe: Recipe, keep_normalize: bool = False) -> Recipe:
        """The recipe for these images; `keep_normalize` where the user set it."""
        normalize = recipe.normalize if self.normalize is None or keep_normalize else self.normalize
        return replace(recipe, pixels=self.pixels, normalize=normalize)

    def seen(self, facts: Survey, images: int) -> Survey:
        """The survey of so many images as they are learnt from: with what a pixel takes in memory, and of tiles."""
        if (p := self.pixels) is None:
            return facts
        side = p.tiles or facts.longest_side
        return replace(
            facts,
            images=images,
            short_side=min(side, facts.short_side),
            longest_side=min(side, facts.longest_side),
            mean_area=min(facts.mean_area, float(side**2)),
            pixel_bytes=p.bytes,
        )


def decide(source: Source, facts: Survey, asked: Asked | None = None) -> Decided:
    """Decide for this data set from its survey; raises MocoError where what is asked for cannot be."""
    asked = asked or Asked()
    if not facts.looks:
        return Decided(None)
    looks = [one for _, one in facts.looks]
    colour, bands, of = _channels(asked.bands, looks)
    pages, of_pages = _pages(asked.pages, facts, source)
    fit = {of} if colour == "bands" and of > 1 else {1, 3, of}
    odd = _odd(fit, looks)
    alike = [one for one in looks if one.bands in fit] or looks
    photographs = colour == "rgb" and of in (1, 3) and not asked.range and asked.no_data is None
    if photographs and all(one.type == "uint8" for one in alike):
        if asked.bands is None and _all_gray(source, facts):
            colour, bands, of = "bands", (0,), 1
        elif pages == "first" and not asked.tiles:
            return Decided(None, lines=(*odd, *of_pages))
    shown = as_told(asked.range, alike)
    kind: Type = "float32" if shown else _type(alike)
    no_data = asked.no_data if asked.no_data is not None else _told(alike)
    count = {"rgb": 3, "gray": 1}.get(colour, len(bands))
    rough = Pixels(
        colour=colour,  # type: ignore[arg-type]
        bands=bands,
        of=of,
        kind=kind,
        black=(FULL[kind][0],) * count,
        white=(FULL[kind][1],) * count,
        shown=shown,
        no_data=no_data,
        pages=pages,
        tiles=asked.tiles,
        overlap=asked.overlap if asked.tiles else 0,
        skip=asked.skip if asked.tiles else 0.0,
    )
    check_pixels(rough)
    images = _decoded(source, facts, rough, kind)
    found = measure(images, no_data)
    pixels, why = ranged(rough, found, asked.range, alike)
    mean, std = found.moments(*pixels.scale)
    photographs = pixels.colour == "rgb" and pixels.kind == "uint8"
    return Decided(
        pixels,
        None if photographs else Normalize(mean=tuple(mean), std=tuple(std)),
        (*said(pixels, why, found, looks), *odd, *of_pages),
        _fitting_views(pixels, looks),
    )


def _channels(asked: str | None, looks: Sequence[Facts]) -> tuple[str, tuple[int, ...], int]:
    """(colour, bands, of): what is asked for, or else what most files have."""
    (of, _), *_ = Counter(one.bands for one in looks).most_common()
    if asked in ("gray", "rgb"):
        return asked, _seen_bands(asked, of, looks), of
    if asked is not None:
        try:
            bands = tuple(int(word) for word in asked.split(","))
        except ValueError:
            raise MocoError(f"--bands {asked}: numbers from 0 such as 0,1,2,7; or gray; or rgb") from None
        if min(bands) < 0 or max(bands) >= of:
            raise MocoError(f"--bands {asked}: the files have {of} band{'s' * (of > 1)}, numbered 0 to {of - 1}")
        return "bands", bands, of
    seen = [one for one in looks if one.bands in (1, 3)]  # one odd file among photographs does not make them bands
    if of in (1, 3) and all(one.colour for one in seen):
        return ("rgb", (0,), 3) if any(one.bands == 3 for one in seen) else ("bands", (0,), 1)
    return "bands", tuple(range(of)), of


def _seen_bands(asked: str, of: int, looks: Sequence[Facts]) -> tuple[int, ...]:
    """Of files with more bands than a person sees, those that gray is the mean of; raises MocoError for no colours."""
    if of in (1, 3):
        return (0,)
    own = [one.rgb_first for one in looks if one.bands == of]
    coloured = 2 * sum(own) > len(own)
    if asked == "rgb" and not coloured:
        some = "0,1,2" if of > 3 else "0,1"
        raise MocoError(
            f"--bands rgb: the files have {of} bands, and do not say that the first are red, green and blue; numbers "
            f"from 0 to {of - 1} choose bands, such as --bands {some}"
        )
    return (0, 1, 2) if coloured else tuple(range(of))


def _odd(fit: set[int], looks: Sequence[Facts]) -> list[str]:
    """What there is to say of files that have other numbers of bands than fit the data set."""
    odd = sum(one.bands not in fit for one in looks)
    verb = "has" if odd == 1 else "have"
    said = f"{odd} of {number_of(len(looks), 'file')} looked at {verb} other bands: such files are left out and listed"
    return [said] if odd else []


def _pages(
    asked: str | None, facts: Survey, source: Source
) -> tuple[Literal["first", "all", "middle", "max"], list[str]]:
    """Which pages, and what there is to say: those asked for; all, where files looked at have several."""
    match asked:
        case None if facts.paged and not read_in_any_order(source):
            have = "has" if facts.paged == 1 else "have"
            return "first", [
                f"{facts.paged} of {len(facts.looks)} files looked at {have} several pages, of which the first is "
                "learnt from: these shards are read from front to end; moco pack makes a copy whose files are looked "
                "into"
            ]
        case None:
            return "all" if facts.paged else "first", []
        case "first" if facts.paged:
            several = "has several pages" if facts.paged == 1 else "have several pages each"
            of = number_of(len(facts.looks), "file")
            return asked, [
                f"{facts.paged} of {of} looked at {several}: the first is learnt from, --pages all takes all"
            ]
        case "first" | "all" | "middle" | "max":
            return asked, []
    raise MocoError(f"--pages {asked}: all, first, middle or max")


def _all_gray(source: Source, facts: Survey) -> bool:
    """Whether files in colour show none: each of a sample is gray in fact. Arrays are taken at their word."""
    for i in _spread([i for i, _ in facts.looks]):
        raw = native(source, i)
        if not isinstance(raw, bytes):
            return False
        try:
            values = open_native(raw).values()
        except Unreadable:
            continue
        if values.shape[2] == 3 and not (values == values[..., :1]).all():
            return False
    return True


def _type(looks: Sequence[Facts]) -> Type:
    """The type that holds all of these: the deepest of unsigned ones; else that of most, real numbers before whole."""
    kinds = Counter(one.type for one in looks)
    if kinds.keys() <= {"uint8", "uint16"}:
        return "uint16" if "uint16" in kinds else "uint8"
    return "float32" if kinds["float32"] >= kinds["int16"] else "int16"


def _told(looks: Sequence[Facts]) -> float | None:
    """The value for nothing that most of the files tell, if they do."""
    told = Counter(one.no_data for one in looks).most_common(1)
    return told[0][0] if told else None


def _spread(positions: Sequence[int]) -> list[int]:
    return list(positions[:: max(1, -(-len(positions) // SAMPLE))])


def _decoded(source: Source, facts: Survey, rough: Pixels, kind: Type) -> list[Values]:
    """Up to SAMPLE images in their channels, of those that are of the type; raises MocoError where there are none."""
    own = [i for i, one in facts.looks if one.type == kind] or [i for i, _ in facts.looks]
    images, reason = [], ""
    for i in _spread(own):
        try:
            image = as_shown(open_native(native(source, i)), rough)
            refuse_other_bands(image.facts, rough)
            images.append(chosen(_some(image), image.facts, rough))
        except Unreadable as error:
            reason = f"{source.name(i)}: {error}"
    if not images:
        raise MocoError(f"none of the images of {source.description} can be read ({reason})")
    return images


def _some(image: Native) -> Values:
    """The middle page, or of what is too large a square in its middle."""
    page, facts = image.pages // 2, image.facts
    window: Any = getattr(image, "window", None)
    if window is None or max(facts.width, facts.height) <= MOST_SIDE:
        return image.values(page)
    side = min(2048, facts.width, facts.height)
    middle: Values = window(page, ((facts.height - side) // 2, (facts.width - side) // 2, side, side))
    return middle


def _fitting_views(pixels: Pixels, looks: Sequence[Facts]) -> str | None:
    """The set of views for images of this kind, by what wrote them and how many bands they have."""
    wrote = Counter(one.container for one in looks).most_common(1)[0][0]
    if pixels.colour != "bands":
        return None
    if wrote == "DICOM":
        return "xray"
    if wrote in ("OME-TIFF", "ImageJ"):
        return "fluorescence"
    if wrote == "GeoTIFF" and pixels.channels <= 2 and pixels.kind == "float32":
        return "radar"
    return "multispectral" if wrote == "GeoTIFF" or pixels.channels > 3 else None
