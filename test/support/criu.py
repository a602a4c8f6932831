#!/usr/bin/env python3
"""Stands in for criu where that cannot work: speaks its protocol ("swrk FD"), and does what the file "plan" in the image says.

Lines of the plan, in order; of each notification the answer is waited for and kept in the file "heard" beside it, after the request:
    make SCRIPT        starts /bin/sh with SCRIPT beside this process, as criu restores: its pid is told from then on
    notify NAME        a notification
    terminal           the notification "orphan-pts-master", with the master of a new terminal, which prints "made by criu"
    result             the result of the request, with success
    fail ERRNO         the result, without success
    bytes HEX          a message of these bytes
    die                ends without a word
"""
import array, ctypes, os, pty, signal, socket, sys

CLONE_PARENT, SYS_CLONE = 0x8000, {"x86_64": 56, "aarch64": 220}[os.uname().machine]
channel = socket.socket(fileno=int(sys.argv[2]))


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def make(script):
    pid = ctypes.CDLL(None).syscall(SYS_CLONE, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.setsid()
        os.execv("/bin/sh", ["sh", "-c", script])
    return pid


def notify(name, pid, fd=None):
    body = text(1, name.encode()) + (number(2, pid) if pid else b"")
    message = number(1, 6) + number(2, 1) + text(5, body)
    control = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
    channel.sendmsg([message], control)
    answer = channel.recv(65536)
    if answer == b"":
        sys.exit(1)
    return answer


request = channel.recv(65536)
# The directories are descriptors 4 and 5.
heard = open("/proc/self/fd/5/heard", "wb")
heard.write(request + b"\n")
pid = 0
for line in open("/proc/self/fd/4/plan").read().splitlines():
    word, _, rest = line.partition(" ")
    if word == "make":
        pid = make(rest)
    elif word == "notify":
        heard.write(rest.encode() + b" " + notify(rest, pid).hex().encode() + b"\n")
    elif word == "terminal":
        master, slave = pty.openpty()
        os.write(slave, b"made by criu\n")
        notify("orphan-pts-master", pid, master)
    elif word in ("result", "fail"):
        kind = request[1]
        error = number(7, int(rest)) if word == "fail" else b""
        channel.send(number(1, kind) + number(2, 1 if word == "result" else 0) + (text(4, number(1, pid)) if pid else b"") + error)
    elif word == "bytes":
        channel.send(bytes.fromhex(rest))
    elif word == "die":
        sys.exit(1)
    heard.flush()
# criu ends when nobody is there any more.
while channel.recv(65536) != b"":
    pass
heard.write(b"left alone\n")
