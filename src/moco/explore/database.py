"""The table in DuckDB, for the SQL of the page: it can read nothing but this table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from moco.errors import MocoError

TABLE = "images"

MOST_BYTES = 256 << 20
"""Of an answer."""


class Refused(Exception):  # noqa: N818
    """A question that the database does not answer; the words say why."""


class Database:
    """Questions may come from several threads."""

    def __init__(self, table: Path) -> None:
        import duckdb

        self._error = duckdb.Error
        limits = {"memory_limit": "1GB", "temp_directory": "", "threads": "2"}  # nothing is put beside the user's files
        self._base = duckdb.connect(":memory:", config=limits)
        try:
            self._base.execute(f"CREATE TABLE {TABLE} AS SELECT * FROM read_parquet(?)", [str(table)])
        except duckdb.Error as error:
            raise MocoError(f"{table} is damaged ({str(error).splitlines()[0]}); delete it to make it again") from None
        self._base.execute("SET enable_external_access = false")
        self._base.execute("SET lock_configuration = true")

    def table(self, sql: str) -> Any:
        """The answer as a table of pyarrow; raises Refused."""
        with self._base.cursor() as cursor:
            try:
                found = cursor.sql(sql)
                if found is None:
                    raise Refused("this question has no rows for an answer")
                return _collected(found.to_arrow_reader())
            except self._error as error:
                raise Refused(str(error)) from None

    def arrow(self, sql: str) -> bytes:
        """The answer as an Arrow stream; raises Refused."""
        import pyarrow as pa

        table = self.table(sql)
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, table.schema) as writer:
            writer.write_table(table)
        return bytes(stream.getvalue())

    def rows(self, sql: str, values: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """The answer as tuples; raises Refused."""
        with self._base.cursor() as cursor:
            try:
                found: list[tuple[Any, ...]] = cursor.execute(sql, values).fetchall()
            except self._error as error:
                raise Refused(str(error)) from None
        return found

    def columns(self, sql: str) -> dict[str, Any]:
        """The answer as arrays, masked where a value is missing; raises Refused. Loads no pandas, as pyarrow does."""
        with self._base.cursor() as cursor:
            try:
                found: dict[str, Any] = cursor.execute(sql).fetchnumpy()
            except self._error as error:
                raise Refused(str(error)) from None
        return found

    def answer(self, question: bytes) -> bytes:
        """What the page asks by {type, sql}: an Arrow stream, or JSON; raises Refused."""
        try:
            asked = json.loads(question)
            kind, sql = str(asked["type"]), str(asked["sql"])
        except (ValueError, KeyError, TypeError):
            raise Refused("a question is {type, sql}") from None
        match kind:
            case "arrow":
                return self.arrow(sql)
            case "exec":
                with self._base.cursor() as cursor:
                    try:
                        cursor.execute(sql)
                    except self._error as error:
                        raise Refused(str(error)) from None
                return b"{}"
            case _:
                raise Refused(f"there are no answers of type {kind}")


def _collected(reader: Any) -> Any:
    """All of an answer as it comes, unless it is larger than a page could use."""
    import pyarrow as pa

    parts, size = [], 0
    for part in reader:
        parts.append(part)
        size += part.nbytes
        if size > MOST_BYTES:
            raise Refused(f"the answer takes more than {MOST_BYTES >> 20} MiB; ask for less")
    return pa.Table.from_batches(parts, reader.schema)
