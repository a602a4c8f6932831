"""Listens on a unix socket, takes one message with a descriptor, and prints the pid that the descriptor is of and the message."""
import re
import socket
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(1)
listener.settimeout(3)
try:
    connection, _ = listener.accept()
except TimeoutError:
    sys.exit("nobody came")
message, descriptors, _, _ = socket.recv_fds(connection, 100, 1)
info = open(f"/proc/self/fdinfo/{descriptors[0]}").read()
print(re.search(r"^Pid:\t(-?\d+)", info, re.M).group(1), message.decode())
