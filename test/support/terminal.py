"""Drives a command in a terminal, or receives one: what Bun cannot do (openpty with a script, SCM_RIGHTS).

drive SCRIPT COMMAND...   SCRIPT is JSON: a list of [wait for this text, "send" TEXT | "resize" [ROWS, COLUMNS] | "kill" SIGNAL].
                          Prints JSON: what came out, the exit code, and whether the terminal's settings are as before.
receive PATH SIZE FD      Listens at PATH; sends a line over the terminal that arrives and prints JSON: its name and the answer.
                          Keeps the terminal until its own standard input ends.
"""
import array, fcntl, json, os, pty, select, signal, socket, struct, sys, termios, time

# Seconds; what is slower than that hangs.
LIMIT = 60 * max(1, float(os.environ.get("GANTRY_TEST_SLOWNESS") or 1))


def resize(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read_until(fd, text, seen):
    end = time.time() + LIMIT
    while text is None or text not in seen[0][seen[1]:]:
        if not select.select([fd], [], [], max(0, end - time.time()))[0]:
            raise SystemExit(f"waited in vain for {text!r} in {seen[0]!r}")
        try:
            part = os.read(fd, 65536)
        except OSError:
            return
        if part == b"":
            return
        seen[0] += part.decode(errors="replace")
    seen[1] = seen[0].index(text, seen[1]) + len(text)


def drive(script, command):
    master, slave = pty.openpty()
    resize(master, 24, 80)
    before = termios.tcgetattr(slave)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for fd in range(3):
            os.dup2(slave, fd)
        os.closerange(3, 256)
        os.execvp(command[0], command)
    seen = ["", 0]
    for text, kind, value in script:
        read_until(master, text, seen)
        if kind == "send":
            os.write(master, value.encode())
        elif kind == "resize":
            resize(master, *value)
        elif kind == "kill":
            os.kill(pid, value)
    # The slave stays open here, so the end of output is the end of the process.
    end = time.time() + LIMIT
    done = 0
    while done == 0 and time.time() < end:
        if select.select([master], [], [], 0.02)[0]:
            seen[0] += os.read(master, 65536).decode(errors="replace")
        else:
            done, status = os.waitpid(pid, os.WNOHANG)
    # It may have written between the look for output and its end.
    while select.select([master], [], [], 0)[0]:
        seen[0] += os.read(master, 65536).decode(errors="replace")
    if done == 0:
        os.kill(pid, signal.SIGKILL)
        raise SystemExit(f"it did not end: {seen[0]!r}")
    print(json.dumps({"text": seen[0], "code": os.waitstatus_to_exitcode(status), "restored": termios.tcgetattr(slave) == before}))


def receive(path):
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Paths may be longer than an address: only the last part is bound.
    os.chdir(directory)
    listener.bind(os.path.basename(path))
    listener.listen()
    listener.settimeout(LIMIT)
    print("listening", flush=True)
    peer, _ = listener.accept()
    name, control, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
    master = array.array("i", control[0][2])[0]
    seen = ["", 0]
    read_until(master, "ready", seen)
    os.write(master, b"hello\n")
    read_until(master, "got hello\r\n", seen)
    print(json.dumps({"name": name.decode(), "text": seen[0]}), flush=True)
    sys.stdin.read()


if sys.argv[1] == "drive":
    drive(json.loads(sys.argv[2]), sys.argv[3:])
else:
    receive(sys.argv[2])
