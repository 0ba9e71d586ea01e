"""What the queries of a run are asked, and what its images are seen for, in words: by the parts of its recipe."""

from __future__ import annotations

from dataclasses import dataclass

from moco.hidden import AREA
from moco.recipe import Batch, Momentum, Recipe, Stored


@dataclass(frozen=True)
class Contrasted:
    """The words that a curve's sentence is made of."""

    own: str = "its own key"
    others: str = "negatives beside it"
    """Behind their number."""
    positives: int = 1
    against: str = ""
    """What else there is to say about how often a query finds its key."""
    pair: str = "two views"
    same: str = "same image"
    different: str = "different images"

    @classmethod
    def of(cls, recipe: Recipe) -> Contrasted:
        """Those of a recipe."""
        match recipe.dictionary:
            case Batch(contrast="keys"):
                others = "keys of the other images of its batch"
            case Batch():
                others = "views of the other images of its batch"
            case _:
                others = cls.others
        against = _UNSTEADY if isinstance(recipe.dictionary, Batch) and isinstance(recipe.keys, Momentum) else ""
        if recipe.text is not None:
            pair = "an image and its caption, and of others"
            own = "what it is paired with (a caption, or an image)"
            return cls(own, others, 1, against, pair, "of a pair", "of different pairs")
        if recipe.groups is not None:
            several = recipe.positives > 1
            own = f"one of the {recipe.positives} images of its group" if several else "the other image of its group"
            return cls(own, others, recipe.positives, against, "a query and its keys", "same group", "different groups")
        return cls(others=others, against=against)


_UNSTEADY = (
    " A sudden fall that comes back after some steps is the unsteadiness that MoCo v3 describes of transformers: the "
    "end is worse for it."
)


def first_is_easy(recipe: Recipe | None) -> bool:
    """Whether the dictionary begins with random vectors, which a query is easily told apart from."""
    return recipe is None or not isinstance(recipe.dictionary, Batch)


def seen_words(recipe: Recipe) -> str:
    """What becomes of an image in an epoch, and what is learnt from it."""
    learnt = "The encoder learns that the two belong together, and so to ignore whatever differs between them."
    match recipe:
        case Recipe(keys=Stored()):
            seen = (
                "is seen once, drawn anew each time, and contrasted with what the memory bank holds of it and of others"
            )
            learnt = "The encoder learns to ignore whatever differs between its views."
        case Recipe(text=text) if text is not None:
            seen = (
                "is seen twice, drawn anew each time: one view asks for its caption, and the caption asks for the other"
            )
            learnt = "The encoder learns what captions tell of images, and so to ignore what they never tell."
        case Recipe(groups=groups) if groups is not None:
            keys = f"{groups.positives} other images of its group as keys" if groups.positives > 1 else (
                "another image of its group as its key"
            )  # fmt: skip
            seen = f"is seen as a query, and {keys} (itself, where it is alone), drawn anew each time"
            learnt = (
                "The encoder learns that they belong together, and so to ignore whatever differs between them: look "
                "here first for groups that are wrong."
            )
        case Recipe(loss=loss) if loss.symmetric:
            seen = "is seen twice, drawn anew each time: each of the two views asks once, and is the other's key once"
        case _:
            seen = "is seen twice, as a query and as its key, drawn anew each time"
    return f"In every epoch each image {seen}. {learnt}{_hidden_words(recipe)}"


def _hidden_words(recipe: Recipe) -> str:
    """What of a view its query is not shown."""
    view, words = recipe.query_view, ""
    if view.keep < 1:
        words += f" Of each view that asks, the encoder is given {view.keep:.0%} of the patches, others at every step."
    if view.erase > 0:
        low, high = AREA
        words += f" From {view.erase:.0%} of the views that ask, a rectangle of {low:.0%} to {high:.0%} is erased."
    return words + (" The pictures below are of whole views, as keys are made of." if words else "")


def own_of(recipe: Recipe | None) -> Contrasted:
    """The words of a recipe; those of MoCo v2 where it is not known."""
    return Contrasted() if recipe is None else Contrasted.of(recipe)
