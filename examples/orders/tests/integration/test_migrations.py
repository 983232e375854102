"""The way from one schema to the next, in a database of its own."""

import os
import tempfile
import threading
import unittest
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import errors

from orders.database import Database
from orders.migrations import Changed, migrate


def execute(url: str, sql: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
    finally:
        connection.close()


class MigrationsTest(unittest.TestCase):
    def setUp(self):
        server = os.environ["DATABASE_URL"]
        execute(server, "DROP DATABASE IF EXISTS migrations_test")
        execute(server, "CREATE DATABASE migrations_test")
        self.addCleanup(execute, server, "DROP DATABASE migrations_test")
        self.database = Database(urlsplit(server)._replace(path="/migrations_test").geturl())
        self.addCleanup(self.database.close)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.files = Path(directory.name)
        (self.files / "001_a.sql").write_text("CREATE TABLE a (x int)")

    def test_each_file_is_applied_once(self):
        self.assertEqual(migrate(self.database, self.files), ["001_a.sql"])
        (self.files / "002_b.sql").write_text("CREATE TABLE b (y int)")
        self.assertEqual(migrate(self.database, self.files), ["002_b.sql"])
        self.assertEqual(migrate(self.database, self.files), [])

    def test_instances_that_start_together_do_not_disturb_each_other(self):
        applied: list[list[str]] = []
        threads = [threading.Thread(target=lambda: applied.append(migrate(self.database, self.files))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(applied), [[], [], [], ["001_a.sql"]])

    def test_a_changed_file_is_refused(self):
        migrate(self.database, self.files)
        (self.files / "001_a.sql").write_text("CREATE TABLE a (x bigint)")
        with self.assertRaisesRegex(Changed, "001_a.sql was changed"):
            migrate(self.database, self.files)

    def test_a_failing_file_leaves_nothing(self):
        (self.files / "002_bad.sql").write_text("CREATE TABLE b (y int); SELECT nonsense")
        with self.assertRaises(errors.UndefinedColumn):
            migrate(self.database, self.files)
        with self.database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('a'), to_regclass('b')")
            self.assertEqual(cursor.fetchone(), (None, None))
