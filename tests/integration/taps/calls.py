"""Run inside a namespace: listens on ports, or calls places and tells which of them answered.

`calls.py listen PORT…` listens until it is ended. `calls.py call PLACES` takes JSON, a list of (source, target, port),
calls all at once by TCP, sends each a UDP datagram too, and prints those that answered.
"""

import contextlib
import json
import selectors
import signal
import socket
import sys
import time

_PATIENCE_S = 2.0


def listen(ports):
    kept = [socket.create_server(("0.0.0.0", port)) for port in ports]
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.pause()
    return kept


def call(places):
    waiting, answered = selectors.DefaultSelector(), []
    for source, target, port in places:
        with socket.socket(type=socket.SOCK_DGRAM) as datagram, contextlib.suppress(OSError):
            datagram.bind((source, 0))
            datagram.sendto(b"anybody?", (target, port))
        line = socket.socket()
        line.setblocking(False)
        line.bind((source, 0))
        if line.connect_ex((target, port)) == 115:  # EINPROGRESS; all else was refused here and now
            waiting.register(line, selectors.EVENT_WRITE, (source, target, port))
    until = time.monotonic() + _PATIENCE_S
    while waiting.get_map() and (left := until - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            waiting.unregister(key.fileobj)
            if not key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                answered.append(key.data)
    return answered


if __name__ == "__main__":
    if sys.argv[1] == "listen":
        listen([int(port) for port in sys.argv[2:]])
    else:
        sys.stdout.write(json.dumps(call(json.loads(sys.argv[2]))))
