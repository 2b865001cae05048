"""The steps by which the shape of a database came about, and how an older one is brought up to date (Alembic).

Alembic takes as long to load as the rest of the process, so it is loaded only where a step has to be taken: which
steps there are the names of their files say, and which a database has taken is one value in it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from firedoor.errors import SetupError


class Steps:
    """The steps in `folder`, beside this module. A database remembers in `version_table` which of them it has taken.

    Each is a file ``versions/WHAT_NNNN.py``; NNNN is its Alembic revision, and the next one follows it.
    """

    def __init__(self, folder: str, version_table: str) -> None:
        self._folder = Path(__file__).with_name(folder)
        self._version_table = version_table

    def all(self) -> list[str]:
        """Oldest first."""
        return sorted(file.stem.rpartition("_")[2] for file in (self._folder / "versions").glob("*_[0-9]*.py"))

    def found(self, connection: sa.Connection, schema: str | None = None) -> str | None:
        """The last step that the database, or a schema in it, has taken, None for none.

        Raises `SetupError` for one that this release does not know.
        """
        if not sa.inspect(connection).has_table(self._version_table, schema=schema):
            return None
        table = sa.table(self._version_table, sa.column("version_num", sa.String), schema=schema)
        found: str | None = connection.scalar(sa.select(table.c.version_num))
        if found is not None and found not in self.all():
            raise SetupError(
                f"The state database was made by a newer release (step {found}).", remedy="Install that release again."
            )
        return found

    def latest(self, connection: sa.Connection, schema: str | None = None) -> bool:
        """Whether all of them were taken. Raises as `found`."""
        return self.found(connection, schema) == self.all()[-1]

    def take(self, connection: sa.Connection, target: str = "head") -> None:
        """Bring the database up to `target`, in the caller's transaction."""
        from alembic import command  # noqa: PLC0415  see above
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(self._folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        config.attributes["version_table"] = self._version_table
        command.upgrade(config, target)
