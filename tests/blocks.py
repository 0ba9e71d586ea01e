"""The code blocks of a page, and the commands in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>(?:not run|theirs):.*?) -->\n)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    """A fenced block. The comment before it (`not run: why`, `theirs: whose`) says what is done with it."""

    page: str
    line: int
    language: str
    code: str
    mark: str

    @property
    def name(self):
        return f"{self.page}:{self.line}"

    @property
    def ours(self):
        return not self.mark.startswith("theirs: ")

    @property
    def runs(self):
        return self.ours and not self.mark.startswith("not run: ")


def blocks_of(page):
    text = page.read_text()
    for found in FENCE.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        name = page.relative_to(ROOT).as_posix()
        language = {"sh": "bash", "shell": "bash", "py": "python"}.get(found["language"], found["language"])
        yield Block(name, line, language, found["code"], found["mark"] or "")


def text_of(page):
    """The page without what others' programs are told."""
    return FENCE.sub(lambda m: "" if (m["mark"] or "").startswith("theirs: ") else m[0], page.read_text())


def commands_of(code):
    """The words of each command in a piece of shell, comments left out."""
    for line in code.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            while "&&" in words:
                yield words[: words.index("&&")]
                words = words[words.index("&&") + 1 :]
            yield words


def of_moco(words):
    """What `moco` is told in this command, also behind torchrun; None where it is not asked."""
    for place, word in enumerate(words):
        if word in ("moco", ".venv/bin/moco") and (place == 0 or words[place - 1] == "-m"):
            told = words[place + 1 :]
            return told[: next((i for i, w in enumerate(told) if w in (">", "|", "&")), len(told))]
    return None


def before_moco(words):
    """The words of a launcher in front of `-m moco`."""
    return words[: words.index("moco") - 1] if "moco" in words[1:] else words
