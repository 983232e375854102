"""Brings the schema up to date: the SQL files beside this one, in order of their number, each exactly once."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..database import Database

# Instances that start together must not migrate together. The number only has to be the same everywhere.
LOCK = 0x6F7264657273

FILE_NAME = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")


class Changed(Exception):
    """A file was edited after it had been applied: the schema can no longer be known from the files."""


def migrate(database: Database, directory: Path = Path(__file__).parent) -> list[str]:
    """Applies what is missing and returns the names. All of it happens, or nothing."""
    applied: list[str] = []
    with database.transaction() as connection, connection.cursor() as cursor:
        # Filling a large table may take as long as it takes.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(
            """CREATE TABLE IF NOT EXISTS schema_migrations (
                   name text PRIMARY KEY,
                   sha256 text NOT NULL,
                   applied_at timestamptz NOT NULL DEFAULT now())"""
        )
        cursor.execute("SELECT name, sha256 FROM schema_migrations")
        known = dict(cursor.fetchall())
        for path in sorted(path for path in directory.iterdir() if FILE_NAME.fullmatch(path.name)):
            sql = path.read_text(encoding="utf-8")
            digest = hashlib.sha256(sql.encode()).hexdigest()
            if path.name in known:
                if known[path.name] != digest:
                    raise Changed(f"{path.name} was changed after it had been applied; write a new migration instead")
                continue
            cursor.execute(sql)
            cursor.execute("INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)", (path.name, digest))
            applied.append(path.name)
    return applied
