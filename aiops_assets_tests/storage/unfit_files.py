"""What may lie where a file is expected, and would hold up or fill whoever reads it."""

import os
import socket
from pathlib import Path

UNFIT = ("fifo", "device", "socket", "folder", "endless", "link to a device", "link out", "link inside")


def put_unfit(path: Path, kind: str, most: int = 2**30) -> str:
    """Put it in a place that is free, and the code of the error that reading it is; ``most``: larger is too large."""
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero
    elif kind == "socket":
        # Bound by a short name: a socket's path has at most 107 characters.
        here = Path.cwd()
        os.chdir(path.parent)
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)
    elif kind == "folder":
        path.mkdir()
    elif kind == "endless":
        with path.open("wb") as file:
            file.truncate(most + 1)  # a hole: it takes no room
        return "too_large"
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
        return "outside"
    else:
        inside = path.with_name("another")
        inside.write_bytes(b"{}")
        path.symlink_to("/etc/passwd" if kind == "link out" else inside)
        return "outside"
    return "not_a_file"
