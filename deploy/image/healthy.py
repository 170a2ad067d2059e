"""Exit 0 when this container answers 200 on /health/live (or, asked for `ready`, on /health/ready)."""

import http.client
import os
import sys


def ask(kind: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["METIS_PORT"]), timeout=4)
    connection.request("GET", f"/health/{kind}")
    return connection.getresponse().status


if os.environ.get("METIS_IMAGE") != "cli":  # which serves nothing
    try:
        sys.exit(0 if ask(sys.argv[1]) == 200 else 1)
    except OSError as error:
        sys.exit(f"no answer: {error}")
