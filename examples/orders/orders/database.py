"""Connections to PostgreSQL: a bounded number, kept for the next use, and one transaction per use."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator

import psycopg2
from psycopg2.extensions import connection as Connection

from .order import Unavailable

# PostgreSQL allows 100 connections by default; several instances of the service share them.
MAX_CONNECTIONS = 8
# A request waits this long for a free connection before it is told that the database is busy.
WAIT_SECONDS = 5.0


class Database:
    def __init__(self, url: str):
        self._url = url
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._idle: deque[Connection] = deque()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction: committed at the end, rolled back when an exception leaves."""
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise Unavailable(f"no free connection within {WAIT_SECONDS:g} s")
        try:
            connection = self._take()
            try:
                with connection:
                    yield connection
            finally:
                self._put_back(connection)
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise Unavailable(str(error).strip()) from error
        finally:
            self._slots.release()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return psycopg2.connect(
                self._url, connect_timeout=3, application_name="orders", options="-c statement_timeout=5000"
            )

    def _put_back(self, connection: Connection) -> None:
        if connection.closed:
            # The server went away, and the idle connections with it: let nobody stumble over them.
            self.close()
        else:
            self._idle.append(connection)
