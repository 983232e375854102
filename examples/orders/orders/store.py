"""Orders in PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from .database import Database
from .order import IllegalTransition, Item, NewOrder, NotFound, Order, Status

_COLUMNS = """SELECT o.id, o.customer, o.status, o.created_at,
    (SELECT json_agg(json_build_array(i.sku, i.quantity) ORDER BY i.position) FROM order_items i WHERE i.order_id = o.id)
    FROM orders o """


class OrderStore:
    def __init__(self, database: Database):
        self._database = database

    def ping(self) -> None:
        """Raises `Unavailable` when the database does not answer."""
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    def create(self, new: NewOrder) -> Order:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO orders (customer) VALUES (%s) RETURNING id", (new.customer,))
            (order_id,) = cursor.fetchone()
            execute_values(
                cursor,
                "INSERT INTO order_items (order_id, position, sku, quantity) VALUES %s",
                [(order_id, position, item.sku, item.quantity) for position, item in enumerate(new.items)],
            )
            return _one(cursor, order_id)

    def get(self, order_id: UUID) -> Order:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            return _one(cursor, str(order_id))

    def list(self, status: Status | None, limit: int) -> list[Order]:
        """The newest `limit` orders, of one status or of all."""
        with self._database.transaction() as connection, connection.cursor() as cursor:
            where, values = ("WHERE o.status = %s ", [status.value]) if status else ("", [])
            cursor.execute(_COLUMNS + where + "ORDER BY o.created_at DESC, o.id DESC LIMIT %s", [*values, limit])
            return [_order(row) for row in cursor.fetchall()]

    def set_status(self, order_id: UUID, wanted: Status) -> Order:
        """Asking for the status the order already has changes nothing and succeeds: a request may be sent twice."""
        with self._database.transaction() as connection, connection.cursor() as cursor:
            # The row stays locked until the end: of two that ask at once, the second sees what the first did.
            cursor.execute("SELECT status FROM orders WHERE id = %s FOR UPDATE", (str(order_id),))
            row = cursor.fetchone()
            if row is None:
                raise NotFound(str(order_id))
            current = Status(row[0])
            if current is not wanted:
                if not current.may_become(wanted):
                    raise IllegalTransition(current, wanted)
                cursor.execute("UPDATE orders SET status = %s WHERE id = %s", (wanted.value, str(order_id)))
            return _one(cursor, str(order_id))


def _one(cursor: Cursor, order_id: str) -> Order:
    cursor.execute(_COLUMNS + "WHERE o.id = %s", (order_id,))
    row = cursor.fetchone()
    if row is None:
        raise NotFound(order_id)
    return _order(row)


def _order(row: tuple) -> Order:
    order_id, customer, status, created_at, items = row
    return Order(
        id=UUID(order_id),
        customer=customer,
        items=tuple(Item(sku=sku, quantity=quantity) for sku, quantity in items),
        status=Status(status),
        created_at=created_at,
    )
