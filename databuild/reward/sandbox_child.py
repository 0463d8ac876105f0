"""The process that runs an answer's code: it locks itself in first, and cannot get out again.

Run as a script, by `reward.sandbox`, with nothing but the standard library. It reads one job,
gives up what it does not need, by the kernel's own means, and then runs the code:

- resource limits: CPU seconds, address space, size of a file, open files, threads, no core dump;
- Landlock (Linux 5.13): only the standard library and the system's shared libraries can be read,
  and only the job's own folder written;
- seccomp: no other process (fork, exec, kill, ptrace), no socket but `socketpair`, no mount, no
  change of owner or mode of a file, no keys, no io_uring ...: the call fails with EPERM;
- a user and network namespace of its own, without any interface, where the kernel allows one;
- there also a file system of its own in memory instead of its folder, of a fixed size.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import struct
import sys

TYPE_CHECKING = False  # `typing`, `json` and `re` take longer to import than a test to run
if TYPE_CHECKING:
    from typing import Any

# name: number on x86_64, number on aarch64 (None: there is none).
DENIED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "bind": (49, 200), "listen": (50, 201), "fork": (57, None), "vfork": (58, None),
    "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129), "tkill": (200, 130),
    "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "setpgid": (109, 154), "setsid": (112, 157), "prctl": (157, 167),
    "setrlimit": (160, 164), "prlimit64": (302, 261), "setpriority": (141, 140),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "acct": (163, 89),
    "settimeofday": (164, 170), "adjtimex": (159, 171), "clock_settime": (227, 112),
    "clock_adjtime": (305, 266), "quotactl": (179, 60), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "seccomp": (317, 277), "bpf": (321, 280),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "syslog": (103, 116), "personality": (135, 92),
    "mknod": (133, None), "mknodat": (259, 33), "fanotify_init": (300, 262), "chmod": (90, None),
    "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None),
    "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5),
    "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "truncate": (76, 45),
}  # fmt: skip
# machine: column of DENIED, AUDIT_ARCH, clone, clone3
MACHINES = {"x86_64": (0, 0xC000003E, 56, 435), "aarch64": (1, 0xC00000B7, 220, 435)}
CLONE_THREAD, CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000, 0x10000000, 0x40000000, 0x8000000
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MOST_FILES = 4096
EPERM, ENOSYS, SIGKILL = 1, 38, 9
PDEATHSIG, NO_NEW_PRIVS, SECCOMP = 1, 38, 22
READ, READ_WRITE_FILE, EXECUTE = 0b1100, 0b0110, 0b0001
MAKE_DEVICES = (1 << 6) | (1 << 9) | (1 << 10) | (1 << 11)  # character, socket, pipe, block
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
libc = ctypes.CDLL(None, use_errno=True)


def _must(result: int, what: str) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return result


def limit(job: dict[str, Any], *, in_namespace: bool) -> None:
    """Set the resource limits; what is left of them cannot be raised again."""
    bounds = {
        resource.RLIMIT_AS: job["memory_bytes"],
        resource.RLIMIT_FSIZE: job["file_bytes"],
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if in_namespace:  # elsewhere it counts every process of the user
        bounds[resource.RLIMIT_NPROC] = job["threads"]
    for kind, most in bounds.items():
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu_s"], job["cpu_s"] + 1))


def take_namespace() -> bool:
    """Leave the network; False where the kernel or a container does not allow it."""
    failed: int = libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC)
    return not failed


def take_disk(folder: str, n_bytes: int, user: int, group: int) -> bool:
    """Mount a file system of a fixed size over the folder; False where that is not allowed.

    It is seen by this process alone, lies in memory, and is gone when the process is.

    Args:
        folder: The job's folder, which is the current one.
        n_bytes: How much it holds.
        user: Who we were before the namespace was taken; without a mapping no file has an owner.
        group: The same.
    """
    told = {"setgroups": "deny", "uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
    try:
        for name, text in told.items():
            with open(f"/proc/self/{name}", "w") as to:  # noqa: PTH123 -- pathlib takes long to import
                to.write(text)
    except OSError:
        return False
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        return False
    size = f"size={n_bytes},nr_inodes={MOST_FILES},mode=0700".encode()
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, size):
        return False
    os.chdir(folder)
    return True


def restrict_files(folder: str, packages: list[str]) -> None:
    """Landlock: read the libraries, write the folder, and nothing else."""
    version = _must(libc.syscall(444, None, 0, 1), "Landlock")
    handled = (1 << (13 + (version >= 2) + (version >= 3))) - 1
    handled |= (1 << 15) if version >= 5 else 0
    rules = struct.pack("QQQ", handled, 0b11, 0b11)[
        : 24 if version >= 6 else 16 if version >= 4 else 8
    ]
    ruleset = _must(libc.syscall(444, rules, len(rules), 0), "Landlock")

    def allow(path: str, rights: int) -> None:
        try:
            at = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        if not os.path.isdir(path):  # noqa: PTH112 -- pathlib takes longer to import than a test
            rights &= EXECUTE | READ_WRITE_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights & handled, at))
        _must(libc.syscall(445, ruleset, 1, rule, 0), f"Landlock, {path}")
        os.close(at)

    stdlib = os.path.dirname(os.__file__)  # noqa: PTH120 -- as above
    for path in (*LIBRARIES, stdlib, f"{sys.base_prefix}/lib", *packages):
        allow(path, READ | EXECUTE)
    for path in DEVICES:
        allow(path, READ_WRITE_FILE)
    allow(folder, handled & ~(EXECUTE | MAKE_DEVICES))
    _must(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    _must(libc.syscall(446, ruleset, 0), "Landlock")
    os.close(ruleset)


def restrict_calls() -> None:
    """Seccomp: refuse what DENIED names, and any process but this one; threads are allowed."""
    if os.uname().machine not in MACHINES:
        raise OSError(f"there is no seccomp filter for {os.uname().machine}")
    column, arch, clone, clone3 = MACHINES[os.uname().machine]

    def op(code: int, yes: int, no: int, value: int) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    load, equal, at_least, any_bit, end = 0x20, 0x15, 0x35, 0x45, 0x06
    kill, allow = 0x80000000, 0x7FFF0000
    refuse, unknown = 0x00050000 | EPERM, 0x00050000 | ENOSYS
    code = [op(load, 0, 0, 4), op(equal, 1, 0, arch), op(end, 0, 0, kill), op(load, 0, 0, 0)]
    code += [op(at_least, 0, 1, 0x40000000), op(end, 0, 0, kill)]  # x32
    code += [op(equal, 0, 1, clone3), op(end, 0, 0, unknown)]  # the C library then takes clone
    for numbers in DENIED.values():
        if numbers[column] is not None:
            code += [op(equal, 0, 1, numbers[column] or 0), op(end, 0, 0, refuse)]
    code += [op(equal, 0, 3, clone), op(load, 0, 0, 16), op(any_bit, 1, 0, CLONE_THREAD)]
    code += [op(end, 0, 0, refuse), op(end, 0, 0, allow)]
    program = ctypes.create_string_buffer(b"".join(code))
    header = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program))
    _must(libc.prctl(SECCOMP, 2, header, 0, 0), "seccomp")


def lock_in(job: dict[str, Any]) -> str:
    """Give up everything; say what the network is kept out by."""
    _must(libc.prctl(PDEATHSIG, SIGKILL, 0, 0, 0), "death signal")
    if os.getppid() != job["parent"]:  # it died before
        os._exit(1)
    user, group = os.getuid(), os.getgid()
    is_apart = take_namespace()
    if is_apart:
        take_disk(job["folder"], job["disk_bytes"], user, group)
    for path in job["packages"]:
        sys.path.append(path)
    limit(job, in_namespace=is_apart)
    restrict_files(job["folder"], job["packages"])
    restrict_calls()
    return "seccomp and an empty network namespace" if is_apart else "seccomp"


def attempt(source: str, name: str, held: dict[str, Any]) -> str | None:
    """Run a piece of code; None, or what it raised."""
    try:
        exec(compile(source, name, "exec"), held)  # noqa: S102 -- what this process is for
    except BaseException as error:  # noqa: BLE001 -- SystemExit and all
        try:
            said = str(error)[:200]
        except BaseException:  # noqa: BLE001 -- its text may raise as well
            said = ""
        return f"{type(error).__name__}: {said}" if said else type(error).__name__
    return None


def main() -> None:
    """Read the job, lock in, run the code and then each test; report a line for each."""
    job = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 -- from the process that started it
    to = job["report"]

    def report(what: str, value: str | None) -> None:
        os.write(to, f"{job['token']} {(what, value)!a}\n".encode())

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        network = lock_in(job)
    except OSError as error:
        report("refused", str(error))
        os._exit(1)
    os.environ.clear()
    report("network", network)
    held: dict[str, Any] = {"__name__": "answer"}
    trouble = attempt(job["code"], "<answer>", held)
    report("code", trouble)
    if trouble is None:
        for test in job["tests"]:
            report("test", attempt(test, "<test>", held))
    try:  # noqa: SIM105 -- contextlib takes longer to import
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001, S110 -- the code may have put anything there
        pass
    report("done", None)
    os._exit(0)


if __name__ == "__main__":
    main()
