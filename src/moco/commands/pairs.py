"""Positives from what a person knows: `--pairs` read for a run, kept with it, and found again."""

from __future__ import annotations

from dataclasses import dataclass, replace

from moco import distributed
from moco.auto.budget import duration
from moco.commands.tell import Teller
from moco.data.groups import Groups
from moco.data.pairs import PARENT, Known, read_pairs
from moco.data.source import Sharded, Source
from moco.errors import MocoError
from moco.recipe import Grouped, Recipe
from moco.run.directory import PAIRS, RunDirectory


@dataclass(frozen=True)
class AskedPairs:
    """What was asked for; None of all where nothing was."""

    pairs: str | None = None
    """A table, FILE:COLUMN, or `parent`."""
    window: str | None = None
    """Time between two images of a group, as in 30s or 2h."""
    positives: int | None = None


@dataclass(frozen=True)
class Paired:
    """What is known of the images of a run."""

    part: Grouped | None = None
    known: Known | None = None
    asked: str = ""

    @property
    def groups(self) -> Groups | None:
        """The groups, where there are any."""
        return None if self.known is None else self.known.groups

    def into(self, recipe: Recipe) -> Recipe:
        """The recipe with what is known as a part of it."""
        return recipe if self.part is None else replace(recipe, groups=self.part)

    def say(self, tell: Teller) -> None:
        """What was read, a line each."""
        if self.known is not None and self.part is not None:
            for line in said(self.known, self.part):
                tell.note(line)

    def keep(self, run: RunDirectory) -> None:
        """Write down where the groups come from and what they are.

        Raises MocoError where a run that goes on began with others.
        """
        if self.known is None:
            return
        record = {"pairs": self.asked, "images": len(self.known.groups.of), "groups": len(self.known.groups)}
        record["identity"] = self.known.groups.identity()
        before = run.read(PAIRS) if run.checkpoint.exists() else {}
        if before and before.get("identity") != record["identity"]:
            raise MocoError(
                f"{run.path} began with other groups ({before.get('groups'):,}, by {before.get('pairs')}) than "
                f"{self.asked} makes now ({record['groups']:,}); put the table back as it was, or name another --out"
            )
        run.write(PAIRS, record)


def paired(asked: AskedPairs, recipe: Recipe | None, source: Source) -> Paired:
    """The groups that were asked for, or that the recipe is about, of these images.

    Raises MocoError where they cannot be read or make no pairs, or where nothing says what is asked for.
    """
    held = recipe.groups if recipe is not None else None
    if asked.pairs is None:
        for flag, value in (("--positives", asked.positives), ("--pair-window", asked.window)):
            if value is not None and held is None:
                raise MocoError(
                    f"{flag} {value} is about groups of images; name them with --pairs (a table, or parent)"
                )
        if held is None:
            return Paired()
        if held.by == "table":
            raise MocoError("this recipe takes positives from a table of groups; name it with --pairs")
    if isinstance(source, Sharded) and not source.any_order:
        raise MocoError(
            "--pairs: partners lie anywhere, and these shards can only be read in their own order; give them indices "
            "on a local disk (moco pack writes them), or a folder"
        )
    named = asked.pairs or PARENT
    window = held.window if held is not None else None
    window = window if asked.window is None else duration("--pair-window", asked.window)
    positives = asked.positives or (held.positives if held is not None else 1)
    part = Grouped(by="parent" if named == PARENT else "table", window=window, positives=positives)
    known = distributed.on_each(lambda: read_pairs(named, window, source))
    distributed.refuse_difference({"the groups of images it reads": known.groups.identity()})
    return Paired(part, known, named)


def said(known: Known, part: Grouped) -> list[str]:
    """What there is to say about the groups, a line each."""
    few = int(known.groups.sizes[(known.groups.sizes > 1) & (known.groups.sizes <= part.positives)].sum())
    more = f"{few:,} images have fewer than {part.positives} others in their group, which they meet several times"
    return [*known.lines, *([more] if few else [])]


def groups_of(run: RunDirectory, source: Source) -> Groups | None:
    """The groups of a run that is there, read again; None where it has none. Raises MocoError where they changed."""
    known = known_of(run, source)
    return None if known is None else known.groups


def known_of(run: RunDirectory, source: Source) -> Known | None:
    """The same, with the names of the groups."""
    recipe, record = run.recipe(), run.read(PAIRS)
    if recipe.groups is None or not record:
        return None
    known = read_pairs(str(record["pairs"]), recipe.groups.window, source)
    if known.groups.identity() != record.get("identity"):
        raise MocoError(f"{record['pairs']} no longer makes the groups that this run was trained with")
    return known
