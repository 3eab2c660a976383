#!/usr/bin/python3
"""Answers with a secret that only its own user can read, and counts the visits in a file."""

import os
import signal
import socket
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = socket.create_server(("0.0.0.0", 8000))
visits = 0
while True:
    client, _ = server.accept()
    with client:
        client.recv(4096)
        visits += 1
        with open("state/visits", "w") as file:
            file.write(str(visits))
        with open("secret.txt") as file:
            body = f"{os.getuid()} {file.read()}"
        client.sendall(f"HTTP/1.0 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
