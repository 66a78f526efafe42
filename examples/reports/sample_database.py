"""The sample database of the report `sales`: two years of a coffee shop's orders, made up, the same for the same last
day.

python -m examples.reports.sample_database shop.db
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from datetime import date, timedelta
from math import cos, pi
from pathlib import Path
from random import Random

DAYS = 730
_SEED = 20
_REGIONS = (
    ("North", 0.30, 0.06),
    ("South", 0.24, 0.22),
    ("East", 0.14, 0.45),
    ("West", 0.22, -0.04),
    ("Export", 0.10, 0.30),
)
"""Name, share of the orders, and how much it grows in a year."""
_PRODUCTS = (
    ("House espresso, 1 kg", "Coffee", 2190, 0.20),
    ("House espresso, 250 g", "Coffee", 690, 0.16),
    ("Ethiopia Sidamo, 500 g", "Coffee", 1590, 0.11),
    ("Colombia Huila, 500 g", "Coffee", 1490, 0.10),
    ("Decaf Mexico, 500 g", "Coffee", 1540, 0.05),
    ("Filter blend, 1 kg", "Coffee", 1890, 0.09),
    ("Darjeeling first flush, 100 g", "Tea", 1290, 0.05),
    ("Sencha, 100 g", "Tea", 990, 0.05),
    ("Earl Grey, 250 g", "Tea", 1150, 0.04),
    ("Hand grinder", "Equipment", 8900, 0.05),
    ("Dripper and 100 filters", "Equipment", 2450, 0.06),
    ("Espresso machine, one group", "Equipment", 64900, 0.012),
    ("Kettle with thermometer", "Equipment", 7900, 0.028),
)
"""Name, category, price in cents, share of the orders."""


def make_database(path: Path, last_day: date) -> int:
    """Make the database; one that is there is replaced.

    Args:
        path: Its file.
        last_day: The last day that has orders; the first is two years before.

    Returns:
        How many orders it has.
    """
    path.unlink(missing_ok=True)
    orders = _orders(last_day)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(
            """
            CREATE TABLE products (
                id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL, price_cents INTEGER NOT NULL
            );
            CREATE TABLE orders (
                id INTEGER PRIMARY KEY, ordered_on TEXT NOT NULL, region TEXT NOT NULL,
                product_id INTEGER NOT NULL REFERENCES products, quantity INTEGER NOT NULL,
                amount_cents INTEGER NOT NULL
            );
            CREATE INDEX orders_by_day ON orders (ordered_on);
            """
        )
        connection.executemany(
            "INSERT INTO products VALUES (?, ?, ?, ?)",
            [(number, *product[:3]) for number, product in enumerate(_PRODUCTS, 1)],
        )
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", orders)
    return len(orders)


def _orders(last_day: date) -> list[tuple[int, str, str, int, int, int]]:
    random = Random(_SEED)
    first_day = last_day - timedelta(days=DAYS - 1)
    orders: list[tuple[int, str, str, int, int, int]] = []
    for number in range(DAYS):
        day = first_day + timedelta(days=number)
        years = number / 365
        # Winter and weekdays are for coffee; the weeks before Christmas most of all.
        season = 1 + 0.16 * cos(2 * pi * (day.timetuple().tm_yday - 15) / 365)
        season *= 1.5 if day.month == 12 and day.day < 22 else 1.0
        season *= 0.55 if day.weekday() >= 5 else 1.0
        for name, share, growth in _REGIONS:
            expected = 22 * share * season * (1 + growth * years)
            for _ in range(int(expected + random.random() * 1.6)):
                product = _chosen(random.random())
                price = _PRODUCTS[product][2]
                quantity = 1 + int(random.random() ** 3 * (12 if price < 5000 else 2))
                orders.append((len(orders) + 1, day.isoformat(), name, product + 1, quantity, price * quantity))
    return orders


def _chosen(place: float) -> int:
    """The product at a place between 0 and 1, by their shares."""
    for number, product in enumerate(_PRODUCTS):
        place -= product[3]
        if place < 0:
            return number
    return 0


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "shop.db")
    until = date.fromisoformat(sys.argv[2]) if len(sys.argv) > 2 else date.today() - timedelta(days=1)
    sys.stdout.write(f"{make_database(target, until):,} orders until {until} in {target}\n")
