"""Takes the steps of random.ts, as JSON on standard input, in the directory that is the only argument."""

import errno
import json
import os
import shutil
import socket
import stat
import sys

root = os.fsencode(sys.argv[1])


def place(path):
    return b"/".join([root, *(name.encode("latin1") for name in path)])


def find(path):
    try:
        return os.lstat(path)
    except OSError as error:
        # The last two by way of a symbolic link.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP):
            return None
        raise


def remove(path):
    found = find(path)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def make_parents(path):
    for depth in range(1, len(path)):
        found = find(place(path[:depth]))
        if found is None:
            os.mkdir(place(path[:depth]))
        elif not stat.S_ISDIR(found.st_mode):
            return False
    return True


def create(path, step):
    kind, content = step["kind"], step["content"].encode("latin1")
    if kind == "directory":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink(content[:3000].replace(b"\0", b"-") or b"nowhere", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind in ("char", "block"):
        os.mknod(path, (stat.S_IFCHR if kind == "char" else stat.S_IFBLK) | 0o600, os.makedev(1, 3))
    elif kind == "socket":
        os.chdir(os.path.dirname(path))
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(b"./.socket")
        os.rename(b"./.socket", path)
        listener.close()
    else:
        with open(path, "xb") as file:
            file.truncate(step["hole"])
            file.seek(step["hole"])
            file.write(content)


def put(path, step):
    found = find(path)
    if step["kind"] != "directory" or found is None or not stat.S_ISDIR(found.st_mode):
        remove(path)
        create(path, step)
    os.lchown(path, step["uid"], step["uid"])
    if step["kind"] != "symlink":
        os.chmod(path, step["mode"])
    for name, value in step["xattrs"]:
        if name.startswith("trusted.") or step["kind"] in ("file", "directory"):
            os.setxattr(path, name.encode("latin1"), value.encode("latin1"), follow_symlinks=False)
    os.utime(path, ns=(0, step["nanos"]), follow_symlinks=False)


for step in json.load(sys.stdin):
    path = place(step["path"])
    if not make_parents(step["path"]):
        continue
    if step["kind"] == "remove":
        remove(path)
    elif step["kind"] == "link":
        target = place(step["target"])
        found = find(target)
        if found is not None and not stat.S_ISDIR(found.st_mode) and path != target and not path.startswith(target + b"/"):
            remove(path)
            os.link(target, path, follow_symlinks=False)
    else:
        put(path, step)
