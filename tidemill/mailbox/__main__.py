"""The mailbox as a program, until SIGTERM or Ctrl-C.

    python -m tidemill.mailbox --folder mails --smtp-port 1025 --port 8025

Listens on 127.0.0.1 only. The page answers only when the mail server does.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from threading import Thread

from tidemill.mailbox.folder import MOST_MAILS, MailFolder
from tidemill.mailbox.receiving import mail_server
from tidemill.mailbox.web import Site, Web

HOST = "127.0.0.1"


async def serve(folder: MailFolder, smtp_port: int, port: int) -> None:
    """Receive and show mails until a signal asks for the end.

    Args:
        folder: Where they are kept.
        smtp_port: Of the mail server; 0 for any free one.
        port: Of the page; 0 for any free one.

    Raises:
        OSError: A port is taken.
    """
    asked_to_end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_end.set)
    server = await mail_server(folder, HOST, smtp_port)
    smtp_address = f"{HOST}:{server.sockets[0].getsockname()[1]}"
    web = Web(HOST, port, Site(folder, smtp_address).answer)
    thread = Thread(target=web.serve_forever, name="page", daemon=True)
    thread.start()
    sys.stdout.write(f"Mails to {smtp_address}, shown at http://{HOST}:{web.port}\n")
    sys.stdout.flush()
    await asked_to_end.wait()
    server.close()
    web.shutdown()
    web.server_close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tidemill.mailbox", description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where mails are kept")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--port", type=int, default=8025, help="of the page")
    parser.add_argument("--keep", type=int, default=MOST_MAILS, help="the newest so many")
    parser.add_argument("marks", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)-5s %(message)s", level=logging.WARNING)
    try:
        asyncio.run(serve(MailFolder(options.folder, most_mails=options.keep), options.smtp_port, options.port))
    except OSError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
