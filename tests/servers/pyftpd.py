"""`python -m tests.servers.pyftpd PORT FOLDER LOG`: an FTP server with MLSD whose log tells every command."""

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

if __name__ == "__main__":
    port, folder, log = sys.argv[1:]
    logging.basicConfig(filename=log, level=logging.DEBUG)
    accounts = DummyAuthorizer()
    accounts.add_user("relay", "secret", folder, perm="elradfmwMT")

    class Handler(FTPHandler):
        """May write, so that a test can see that nobody did."""

        authorizer = accounts

    FTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
