"""Sandboxing on Linux: what keeps a program under test away from the machine. Namespaces, a file system of its own, a
filter of system calls, and limits. Part of the other side of infoagent.grading.sandbox: a bare interpreter imports it, so
it imports nothing of the package.

Every function raises OSError, with the step that failed, where the machine refuses."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Iterator

FILE_BYTES = 2**20
OPEN_FILES = 64
ALL_FILES_MIB = 16
"""Of everything that a program may leave in /tmp and /dev/shm, which are one."""

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_RELATIME = 1 << 10, 1 << 11, 1 << 21
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
AT_FDCWD, AT_RECURSIVE, MOUNT_SETATTR = -100, 0x8000, 442
CAPABILITY_VERSION = 0x20080522
"""Of <linux/sched.h>, <sys/mount.h>, <linux/prctl.h>, <linux/mount.h> and <linux/capability.h>."""

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
READ_ONLY = (*LIBRARIES, "/etc/ld.so.cache", "/usr/share/zoneinfo")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
"""Machine → its number in <linux/audit.h>. The system calls of the latter two have the same numbers."""
NEWEST_CALL = 449
"""Later system calls do not exist for a program: nobody has looked at what they allow."""
# name, number on x86_64, number elsewhere
DENIED = (
    # a second process or thread, another program
    ("fork", 57, None), ("vfork", 58, None), ("clone", 56, 220), ("execve", 59, 221), ("execveat", 322, 281),
    # other processes
    ("ptrace", 101, 117), ("process_vm_readv", 310, 270), ("process_vm_writev", 311, 271),
    ("process_madvise", 440, 440), ("process_mrelease", 448, 448), ("kcmp", 312, 272), ("pidfd_open", 434, 434),
    ("pidfd_getfd", 438, 438), ("pidfd_send_signal", 424, 424), ("tkill", 200, 130), ("rt_sigqueueinfo", 129, 138),
    ("rt_tgsigqueueinfo", 297, 240), ("setpriority", 141, 140), ("ioprio_set", 251, 30),
    ("sched_setscheduler", 144, 119), ("sched_setparam", 142, 118), ("sched_setattr", 314, 274),
    ("sched_setaffinity", 203, 122), ("migrate_pages", 256, 238), ("move_pages", 279, 239),
    # the network and other sockets
    ("socket", 41, 198), ("connect", 42, 203), ("bind", 49, 200), ("listen", 50, 201), ("accept", 43, 202),
    ("accept4", 288, 242),
    # memory that belongs to no process
    ("shmget", 29, 194), ("shmat", 30, 196), ("shmctl", 31, 195), ("shmdt", 67, 197), ("semget", 64, 190),
    ("semop", 65, 193), ("semtimedop", 220, 192), ("semctl", 66, 191), ("msgget", 68, 186), ("msgsnd", 69, 189),
    ("msgrcv", 70, 188), ("msgctl", 71, 187), ("mq_open", 240, 180), ("mq_unlink", 241, 181),
    ("mq_timedsend", 242, 182), ("mq_timedreceive", 243, 183), ("mq_notify", 244, 184), ("mq_getsetattr", 245, 185),
    ("memfd_create", 319, 279), ("memfd_secret", 447, 447), ("keyctl", 250, 219), ("add_key", 248, 217),
    ("request_key", 249, 218),
    # namespaces and file systems
    ("unshare", 272, 97), ("setns", 308, 268), ("mount", 165, 40), ("umount2", 166, 39), ("pivot_root", 155, 41),
    ("chroot", 161, 51), ("move_mount", 429, 429), ("open_tree", 428, 428), ("fsopen", 430, 430),
    ("fsconfig", 431, 431), ("fsmount", 432, 432), ("fspick", 433, 433), ("mount_setattr", 442, 442),
    ("name_to_handle_at", 303, 264), ("open_by_handle_at", 304, 265), ("fanotify_init", 300, 262),
    ("fanotify_mark", 301, 263), ("quotactl", 179, 60), ("quotactl_fd", 443, 443), ("acct", 163, 89),
    ("swapon", 167, 224), ("swapoff", 168, 225),
    # the kernel itself, and what all its users share
    ("io_setup", 206, 0),
    ("bpf", 321, 280), ("perf_event_open", 298, 241), ("userfaultfd", 323, 282), ("io_uring_setup", 425, 425),
    ("io_uring_enter", 426, 426), ("io_uring_register", 427, 427), ("personality", 135, 92), ("modify_ldt", 154, None),
    ("iopl", 172, None), ("ioperm", 173, None), ("syslog", 103, 116), ("reboot", 169, 142), ("kexec_load", 246, 104),
    ("kexec_file_load", 320, 294), ("init_module", 175, 105), ("finit_module", 313, 273), ("delete_module", 176, 106),
    ("settimeofday", 164, 170), ("clock_settime", 227, 112), ("adjtimex", 159, 171), ("clock_adjtime", 305, 266),
    ("sethostname", 170, 161), ("setdomainname", 171, 162), ("vhangup", 153, 58), ("lookup_dcookie", 212, 18),
    ("remap_file_pages", 216, 234), ("nfsservctl", 180, 42), ("uselib", 134, None),
)  # fmt: skip
CLONE3 = (435, 435)
ONLY_ITSELF = (("kill", 62, 129), ("tgkill", 234, 131), ("prlimit64", 302, 261))
"""Whose first argument may be the caller alone."""
SOCKETPAIR = (53, 199)
"""Of connected streams only (asyncio has one): a datagram names its receiver."""


def _call(what: str, *arguments: object) -> None:
    """One function of the C library, which says -1 where it fails."""
    libc = ctypes.CDLL(None, use_errno=True)
    name = what.split()[0]
    if getattr(libc, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def prctl(option: int, value: int) -> None:
    _call(f"prctl {option}", option, ctypes.c_ulong(value), 0, 0, 0)


def enter_namespaces() -> None:
    """The children of this process are in namespaces of their own, where they are root over nothing."""
    user, group = os.geteuid(), os.getegid()
    flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
    _call("unshare of namespaces", flags)
    for name, line in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(line)


def build_root(at: str) -> None:
    """The whole file system is a small one in memory, put together on the directory `at`, with the standard library and the
    C libraries to read, a /tmp that has room for ALL_FILES_MIB, and four devices. There is no /proc, no /sys, no /home and
    no socket. The working directory is /tmp."""
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", at, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for path in _wanted():
        _bind(path, at + path)
    for path in _foreign_packages():
        _mount("tmpfs", at + path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=755,size=4k")
    for path in DEVICES:
        _bind(path, at + path, MS_RDONLY | MS_NOSUID)
    os.makedirs(f"{at}/tmp", exist_ok=True)
    _mount("tmpfs", f"{at}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={ALL_FILES_MIB}m,nr_inodes=4096")
    os.symlink("/tmp", f"{at}/dev/shm")
    _mount(None, at, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)
    os.chdir(at)
    pivot_root = {"x86_64": 155}.get(os.uname().machine, 41)
    _call("syscall of pivot_root", pivot_root, b".", b".")  # the old root lies over the new one
    _call("umount2 of the old root", b".", MNT_DETACH)
    os.chdir("/tmp")


def _wanted() -> Iterator[str]:
    """What the interpreter reads: the C libraries, the standard library, and what is mapped from elsewhere."""
    yield from filter(os.path.exists, READ_ONLY)
    bound = [*LIBRARIES]
    for path in sys.path:  # with -I and -S the standard library alone
        home = os.path.dirname(path) if os.path.basename(path).startswith("python") else path
        if os.path.isdir(path) and not _below(home, bound):
            bound.append(home)
            yield home
    with open("/proc/self/maps") as maps:
        mapped = {line.split(maxsplit=5)[5].rstrip("\n") for line in maps if line.count("/")}
    for path in sorted(mapped):
        if path.startswith("/") and os.path.isfile(path) and ".so" in path and not _below(path, bound):
            yield path


def _foreign_packages() -> Iterator[str]:
    """Directories of installed packages within what is bound: no business of a program."""
    for path in sys.path:
        for name in ("site-packages", "dist-packages"):
            if os.path.isdir(f"{path}/{name}"):
                yield f"{path}/{name}"


def _below(path: str, homes: list[str]) -> bool:
    return any(path == home or path.startswith(home + "/") for home in homes)


def _bind(source: str, target: str, flags: int = MS_RDONLY | MS_NOSUID | MS_NODEV) -> None:
    """Devices can be written to all the same, but for their mode and owner, which root's program could change."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source) and source in LIBRARIES:
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_RDONLY, 0o644))
    _mount(source, target, None, MS_BIND | MS_REC)
    _restrict(target, flags)


def _restrict(target: str, flags: int) -> None:
    """The mount and those below it; before Linux 5.12 the mount alone, which must keep the flags that it has."""
    wanted = struct.pack("QQQQ", flags, 0, 0, 0)  # the same bits as MOUNT_ATTR_…
    try:
        where = (AT_FDCWD, os.fsencode(target), AT_RECURSIVE)
        _call("syscall of mount_setattr", MOUNT_SETATTR, *where, wanted, ctypes.c_size_t(32))
    except OSError:
        has = os.statvfs(target).f_flag
        kept = has & (MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME)
        kept |= MS_RELATIME if has & 4096 else 0
        _mount(None, target, None, MS_REMOUNT | MS_BIND | flags | kept)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    source_b, target_b, kind_b = (None if part is None else os.fsencode(part) for part in (source, target, kind))
    _call(f"mount of {target}", source_b, target_b, kind_b, ctypes.c_ulong(flags), options.encode())


def drop_privileges() -> None:
    """No capability is left, not even over the own namespaces, and none can be gained."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    header, none = struct.pack("Ii", CAPABILITY_VERSION, 0), bytes(24)
    _call("capset", header, none)


def filter_calls() -> None:
    """From now on this process can make no other process or thread, run no other program, reach no other process, open no
    socket, leave nothing in shared memory, and change no namespace. Raises OSError where the kernel or the processor has
    no such filter."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES or sys.maxsize < 2**32:
        raise OSError(f"no filter of system calls for a processor {machine}")
    column = 1 if machine == "x86_64" else 2
    code = b"".join(struct.pack("HBBI", *line) for line in _filter(ARCHITECTURES[machine], column, os.getpid()))
    held = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(held))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    pointer = ctypes.create_string_buffer(program)
    _call("prctl of the filter", PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), pointer, 0, 0)


def _filter(architecture: int, column: int, own: int) -> list[tuple[int, int, int, int]]:
    """Lines of classic BPF, (code, jump if true, jump if false, value), for <linux/seccomp.h>."""
    load, equal, greater, at_least, mask, answer = 0x20, 0x15, 0x25, 0x35, 0x54, 0x06
    kill, allow, forbidden, unknown = 0x80000000, 0x7FFF0000, 0x50000 | 1, 0x50000 | 38  # EPERM, ENOSYS
    lines = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    if column == 1:  # the calls of the x32 interface
        lines += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, kill)]
    lines += [(greater, 0, 1, NEWEST_CALL), (answer, 0, 0, unknown)]
    lines += [(equal, 0, 1, CLONE3[column - 1]), (answer, 0, 0, unknown)]
    for row in DENIED:
        if row[column] is not None:
            lines += [(equal, 0, 1, int(row[column] or 0)), (answer, 0, 0, forbidden)]
    for row in ONLY_ITSELF:  # 0 is the caller for prlimit64, and its group for kill, which is its own
        lines += [
            (equal, 0, 5, int(row[column])),
            (load, 0, 0, 16),
            (equal, 2, 0, own),
            (equal, 1, 0, 0 if row[0] == "prlimit64" else own),
            (answer, 0, 0, forbidden),
            (answer, 0, 0, allow),
        ]
    lines += [
        (equal, 0, 5, SOCKETPAIR[column - 1]),
        (load, 0, 0, 24),
        (mask, 0, 0, 0xF),
        (equal, 1, 0, 1),
        (answer, 0, 0, forbidden),
        (answer, 0, 0, allow),
        (answer, 0, 0, allow),
    ]
    return lines


def limit(cpu_seconds: int, memory_bytes: int) -> None:
    limits = {
        resource.RLIMIT_CPU: (cpu_seconds, cpu_seconds + 1),  # the second one kills what sits in C code
        resource.RLIMIT_AS: (memory_bytes, memory_bytes),
        resource.RLIMIT_FSIZE: (FILE_BYTES, FILE_BYTES),
        resource.RLIMIT_NOFILE: (OPEN_FILES, OPEN_FILES),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_NPROC: (0, 0),  # no children; the kernel does not hold root to it
    }
    for name, pair in limits.items():
        most = resource.getrlimit(name)[1]  # what this user may not go beyond
        soft, hard = pair if most == resource.RLIM_INFINITY else (min(part, most) for part in pair)
        resource.setrlimit(name, (soft, hard))
