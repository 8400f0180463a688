"""Volumes for a process: a mount namespace of its own, with folders bound where it wants them.

Whoever may not mount gets the right to inside a user namespace, in which he keeps his own user id.
The root becomes a small tmpfs with everything of the real root bound into it. Where a mount point
does not exist, the nearest folder that does is replaced by a read-only view of itself that has
the mount point too: nothing is ever created on the machine's own file systems.
Sources: mount(2), mount_namespaces(7), user_namespaces(7), pivot_root(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from nodrop.keeper.failure import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Mount = tuple[str, str, bool]  # source on this machine, target, read only

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _SLAVE = 1, 2, 4, 32, 4096, 16384, 1 << 19
_DETACH = 2
_NR_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
#: statvfs flag → mount flag: what a remount must keep of the file system that is bound.
_KEPT = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))
_OLD = "/.nodrop-old-root"

REFUSED = (
    "this machine does not let its user have mounts of his own ({why}), which volumeMounts need; "
    "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0), run the engine as root, or let the program "
    "use a path of this machine and leave volumeMounts out"
)


def enter(mounts: Sequence[Mount]) -> None:
    """In a child before exec: see only what ``mounts`` say. Raises Failed with one sentence."""
    try:
        _own_namespace()
        _new_root()
    except OSError as error:
        raise Failed(_name(error), REFUSED.format(why=os.strerror(error.errno or 0))) from error
    view = _View()
    for source, target, read_only in sorted(mounts, key=lambda mount: mount[1].count("/")):
        try:
            view.bind(source, target, read_only=read_only)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise Failed(_name(error), f"mounting {source} at {target}: {why}") from error
    view.close()


def _own_namespace() -> None:
    """With privileges a mount namespace will do; without, a user namespace around it."""
    uid, gid = os.geteuid(), os.getegid()
    if _LIBC.unshare(_NEWNS) != 0:
        _call(_LIBC.unshare(_NEWUSER | _NEWNS))
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    _mount(None, "/", _REC | _SLAVE)


def _new_root() -> None:
    """A tmpfs as root, with every entry of the old one bound into it; that stays at ``_OLD``."""
    _mount("tmpfs", "/tmp", _NOSUID | _NODEV, kind="tmpfs", data="mode=755")
    os.mkdir(f"/tmp{_OLD}", 0o700)
    number = _NR_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    _call(_LIBC.syscall(number, b"/tmp", f"/tmp{_OLD}".encode()))
    os.chdir("/")
    _copy_entries(_OLD, "/")


class _View:
    """The tree as the process will see it; knows which folders of it are ours to change."""

    def __init__(self) -> None:
        self._mirrors = ["/"]
        self._bound: list[str] = []

    def bind(self, source: str, target: str, *, read_only: bool) -> None:
        real = _OLD + source
        folder = stat.S_ISDIR(os.stat(real).st_mode)
        target = os.path.realpath(target)
        self._provide(target, folder=folder)
        _mount(real, target, _BIND | _REC)
        if read_only:
            _read_only(target)
        self._bound.append(target)

    def close(self) -> None:
        """Hide the old root; our own folders can't be written to any more."""
        _call(_LIBC.umount2(_OLD.encode(), _DETACH))
        os.rmdir(_OLD)
        for mirror in self._mirrors:
            _read_only(mirror)

    def _provide(self, target: str, *, folder: bool) -> None:
        """Make the mount point, in a mirror of the nearest folder unless that is ours."""
        if os.path.lexists(target):
            return
        nearest = os.path.dirname(target)
        while not os.path.isdir(nearest):
            nearest = os.path.dirname(nearest)
        if not self._is_ours(nearest):
            self._mirror(nearest)
        os.makedirs(target if folder else os.path.dirname(target), exist_ok=True)
        if not folder:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))

    def _is_ours(self, folder: str) -> bool:
        """Whether it is a mirror (what is bound into one is another file system), or a volume."""
        same = os.stat(folder).st_dev
        if any(os.stat(mirror).st_dev == same for mirror in self._mirrors):
            return True
        return any(f"{folder}/".startswith(f"{bound}/") for bound in self._bound)

    def _mirror(self, folder: str) -> None:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mode = stat.S_IMODE(os.fstat(held).st_mode)
        _mount("tmpfs", folder, _NOSUID | _NODEV, kind="tmpfs", data=f"mode={mode | 0o700:o}")
        self._mirrors.append(folder)
        _copy_entries(f"/proc/self/fd/{held}", folder)
        os.close(held)


def _copy_entries(source: str, target: str) -> None:
    """Bind everything in one folder into another; links are made anew."""
    for name in os.listdir(source):
        there, here = f"{source}/{name}", f"{target.rstrip('/')}/{name}"
        kind = os.lstat(there).st_mode
        if stat.S_ISLNK(kind):
            os.symlink(os.readlink(there), here)
            continue
        if stat.S_ISDIR(kind):
            os.mkdir(here)
        else:
            os.close(os.open(here, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        _mount(there, here, _BIND | _REC)


def _read_only(path: str) -> None:
    held = os.statvfs(path).f_flag
    kept = sum(flag for bit, flag in _KEPT if held & bit)
    _mount(None, path, _REMOUNT | _BIND | _RDONLY | kept)


def _mount(
    source: str | None, target: str, flags: int, *, kind: str | None = None, data: str | None = None
) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    _call(_LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]))


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "EIO")
