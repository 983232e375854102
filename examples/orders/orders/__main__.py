"""Starts the service: settings from the environment, migrations, then HTTP until SIGTERM."""

import logging
import os
import signal
import sys
import threading

from .api import Server
from .database import Database
from .migrations import Changed, migrate
from .order import Unavailable
from .store import OrderStore

log = logging.getLogger("orders")


def main() -> int:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    url = os.environ.get("DATABASE_URL")
    if not url:
        log.error("DATABASE_URL is not set; expected postgresql://USER:PASSWORD@HOST:PORT/NAME")
        return 2
    port = os.environ.get("PORT", "8080")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        log.error("PORT is %r; expected a number from 1 to 65535", port)
        return 2

    database = Database(url)
    try:
        for name in migrate(database):
            log.info("migration %s applied", name)
    except Unavailable as error:
        log.error("the database cannot be reached: %s", error)
        return 1
    except Changed as error:
        log.error("the database cannot be migrated: %s", error)
        return 1

    version = os.environ.get("ORDERS_VERSION", "dev")
    server = Server(("0.0.0.0", int(port)), OrderStore(database), version)

    def stop(signum: int, _frame: object) -> None:
        log.info("%s: finishing open requests", signal.Signals(signum).name)
        # shutdown() waits for serve_forever(), which runs in this very thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log.info("version %s listens on port %s", version, port)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    database.close()
    log.info("stopped")
    return 0


sys.exit(main())
