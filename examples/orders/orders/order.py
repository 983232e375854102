"""What an order is and what may happen to it. Nothing here does input or output."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

MAX_CUSTOMER = 200
MAX_ITEMS = 100
MAX_QUANTITY = 10_000
# JSON can spell these, PostgreSQL cannot store them.
NOT_TEXT = re.compile("[\0\ud800-\udfff]")
SKU = re.compile(r"[A-Z0-9][A-Z0-9-]{0,39}")


class Status(enum.Enum):
    PLACED = "placed"
    PAID = "paid"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"

    def may_become(self, next_status: Status) -> bool:
        return next_status in _NEXT[self]


_NEXT = {
    Status.PLACED: {Status.PAID, Status.CANCELLED},
    Status.PAID: {Status.SHIPPED, Status.CANCELLED},
    Status.SHIPPED: set(),
    Status.CANCELLED: set(),
}


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True)
class NewOrder:
    customer: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Order:
    id: UUID
    customer: str
    items: tuple[Item, ...]
    status: Status
    created_at: datetime

    def to_json(self) -> dict:
        return {
            "id": str(self.id),
            "customer": self.customer,
            "items": [{"sku": item.sku, "quantity": item.quantity} for item in self.items],
            "status": self.status.value,
            "created_at": self.created_at.isoformat(),
        }


class Invalid(Exception):
    """A document that is not what it should be. `problems` names each field once, in words for its author."""

    def __init__(self, problems: dict[str, str]):
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in problems.items()))
        self.problems = problems


class IllegalTransition(Exception):
    """The order exists, but its status does not allow the one asked for."""

    def __init__(self, current: Status, wanted: Status):
        allowed = sorted(status.value for status in _NEXT[current])
        rest = f"it can become: {', '.join(allowed)}" if allowed else "it cannot change any more"
        super().__init__(f"an order that is {current.value} cannot become {wanted.value}; {rest}")


class NotFound(Exception):
    """There is no such order."""


class Unavailable(Exception):
    """Where the orders are kept cannot be reached, went away, or is too busy."""


def parse_new_order(document: object) -> NewOrder:
    """Checks the body of a request to place an order."""
    fields = _fields(document, {"customer", "items"})
    problems: dict[str, str] = {}

    customer = fields.get("customer")
    if not isinstance(customer, str) or not 0 < len(customer.strip()) <= MAX_CUSTOMER or NOT_TEXT.search(customer):
        problems["customer"] = f"expected a text of 1 to {MAX_CUSTOMER} characters"

    items = fields.get("items")
    parsed: list[Item] = []
    if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
        problems["items"] = f"expected a list of 1 to {MAX_ITEMS} items"
    else:
        for index, item in enumerate(items):
            try:
                parsed.append(_parse_item(item))
            except Invalid as error:
                problems |= {f"items[{index}].{field}".rstrip("."): text for field, text in error.problems.items()}
        if len({item.sku for item in parsed}) != len(parsed):
            problems["items"] = "expected each sku once"

    if problems:
        raise Invalid(problems)
    return NewOrder(customer=customer.strip(), items=tuple(parsed))


def parse_status(document: object) -> Status:
    """Checks the body of a request to change an order's status."""
    fields = _fields(document, {"status"})
    try:
        return Status(fields.get("status"))
    except ValueError:
        raise Invalid({"status": f"expected one of: {', '.join(status.value for status in Status)}"}) from None


def _parse_item(document: object) -> Item:
    fields = _fields(document, {"sku", "quantity"})
    problems: dict[str, str] = {}
    sku, quantity = fields.get("sku"), fields.get("quantity")
    if not isinstance(sku, str) or not SKU.fullmatch(sku):
        problems["sku"] = "expected 1 to 40 of A-Z, 0-9 and -, not starting with -"
    # JSON's true would pass for the number 1.
    if not isinstance(quantity, int) or isinstance(quantity, bool) or not 0 < quantity <= MAX_QUANTITY:
        problems["quantity"] = f"expected a whole number from 1 to {MAX_QUANTITY}"
    if problems:
        raise Invalid(problems)
    return Item(sku=sku, quantity=quantity)


def _fields(document: object, known: set[str]) -> dict:
    if not isinstance(document, dict):
        raise Invalid({"": "expected an object"})
    unknown = sorted(set(document) - known)
    if unknown:
        raise Invalid({field: "unknown field" for field in unknown})
    return document
