"""What the server of `moco explore` answers: a page, its scripts, the table by SQL, pictures by number, searches.

No part of an address is ever the name of a file: pictures are asked for by the number of their row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from moco.errors import MocoError
from moco.explore.atlas import widget
from moco.explore.database import Database, Refused
from moco.explore.page import POLICY, SCRIPTS
from moco.explore.search import Search, Vector, Ways
from moco.explore.tiles import Tiles
from moco.loopback import NOT_FOUND, Answer, Asked
from moco.pages.style import script

FOUND = 60
"""Images that a search finds."""

_JS = "text/javascript; charset=utf-8"
_PICTURE = re.compile(r"/(thumb|image)/([0-9]{1,9})\.jpg")


@dataclass(frozen=True)
class Routes:
    """The answers, as a function of what is asked."""

    html: str
    points: bytes
    database: Database
    tiles: Tiles
    search: Search
    ways: Ways
    told: Search | None = None
    """Through what words are compared with."""

    def __call__(self, asked: Asked) -> Answer:
        """One answer."""
        return self._get(asked.path) if asked.body is None else self._post(asked.path, asked.body)

    def _get(self, path: str) -> Answer:
        if picture := _PICTURE.fullmatch(path):
            make = self.tiles.small if picture[1] == "thumb" else self.tiles.large
            try:
                return Answer(make(int(picture[2])), "image/jpeg", keeps=True)
            except IndexError:
                return NOT_FOUND
        match path:
            case "/":
                return Answer(self.html.encode(), "text/html; charset=utf-8", policy=POLICY)
            case "/points.bin":
                return Answer(self.points, "application/octet-stream")
            case _ if path[1:] in SCRIPTS:
                return Answer(script(path[1:]), _JS)
            case "/backend.js":
                return Answer(script("explore-live.js"), _JS)
            case "/atlas.js":
                return Answer(widget().read_bytes(), _JS, keeps=True)
            case _:
                return NOT_FOUND

    def _post(self, path: str, body: bytes) -> Answer:
        match path:
            case "/query":
                try:
                    return Answer(self.database.answer(body), "application/vnd.apache.arrow.stream")
                except Refused as refused:
                    return Answer(str(refused).encode(), status=400)
            case "/search/image" if self.ways.image is not None:
                find = self.ways.image
                return self._found(lambda: find(body), self.search)
            case "/search/text" if self.ways.text is not None and self.told is not None:
                read = self.ways.text
                return self._found(lambda: read(body.decode("utf-8", "replace")), self.told)
            case _:
                return NOT_FOUND

    def _found(self, feature: Callable[[], Vector], among: Search) -> Answer:
        try:
            near = among.nearest(feature(), FOUND)
        except MocoError as error:
            return Answer(str(error).encode(), status=400)
        return Answer(json.dumps([{"row": row, "cosine": cosine} for row, cosine in near]).encode(), "application/json")
