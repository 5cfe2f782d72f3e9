"""The process in which a program of a model runs: limits first, then the program. Started by `code_execution`.

Run as `python -I -S limited_process.py` with one JSON object on standard input: `program`, `proof` (what to print when
the program has run to its end), `cpu_seconds`, `memory_bytes`, `file_bytes`. Nothing but the standard library.

Under Linux, seccomp leaves the process only those system calls that computing and reading files need: it can start no
process, open no socket, and neither write, remove nor rename a file, whoever runs it. Elsewhere only the limits hold.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import sys

# linux/seccomp.h, linux/filter.h, linux/audit.h, linux/prctl.h, linux/sched.h
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NUMBER, _ARCHITECTURE, _THIRD_ARGUMENT = 0, 4, 32  # offsets in struct seccomp_data
UNCONFINED = "root without seccomp"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Machine → its number in the kernel's audit.h, the number of openat, and of the other calls that are allowed: read,
# write, memory, signals of one's own, time, random numbers, looking at files and directories, leaving.
_CALLS = {
    "x86_64": (
        0xC000003E,
        257,
        "0 1 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 19 20 21 23 24 25 28 32 33 35 36 38 39 60 63 72 78 79 89 96 97 98 "
        "99 100 102 104 107 108 110 131 158 186 201 202 204 217 218 228 229 230 231 262 267 269 270 271 273 292 318 "
        "332 334 439",
    ),
    "aarch64": (
        0xC00000B7,
        56,
        "17 23 24 25 29 48 57 61 62 63 64 65 66 67 72 73 78 79 80 93 94 96 98 99 101 102 103 113 114 115 123 124 132 "
        "134 135 139 153 160 165 169 172 173 174 175 176 177 178 179 214 215 216 222 226 233 278 291 293 439",
    ),
}


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def set_limits(cpu_seconds: int, memory_bytes: int, file_bytes: int) -> None:
    """Bound what the process may use: seconds of processor, bytes of memory and of each file, files, processes."""
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_NPROC: 0,  # root is exempt from it
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (bound, bound))
        except (ValueError, OSError):
            continue  # macOS refuses some of them


def confine() -> bool:
    """Leave the network and all system calls but harmless ones; say whether the system has what that takes."""
    if sys.platform != "linux" or platform.machine() not in _CALLS:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)  # many systems refuse it; sockets are refused below in any case
    architecture, open_call, calls = _CALLS[platform.machine()]
    rules = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    for call in map(int, calls.split()):
        rules += [(_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ALLOW)]
    rules += [(_EQUAL, 1, 0, open_call), (_RETURN, 0, 0, _REFUSE), (_LOAD, 0, 0, _THIRD_ARGUMENT)]
    rules += [(_ANY_BIT, 0, 1, _WRITING), (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    made = (_Instruction * len(rules))(*(_Instruction(*rule) for rule in rules))
    program = _Filter(len(rules), made)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0


def main() -> None:
    """Run the program and print the proof when it has come to its end, or the name of what stopped it."""
    order = json.load(sys.stdin)
    sys.stdin.close()
    sys.dont_write_bytecode = True
    answer = sys.__stdout__
    assert answer is not None
    set_limits(order["cpu_seconds"], order["memory_bytes"], order["file_bytes"])
    confined = confine()
    sys.stdout = sys.stderr  # what the program prints is nobody's
    try:
        if not confined and os.geteuid() == 0:
            raise PermissionError(UNCONFINED)  # the limits do not bind root, who could start processes without end
        exec(compile(order["program"], "program", "exec"), {"__name__": "__main__"})
        said = order["proof"]
    except BaseException as error:  # SystemExit too: a program that leaves before its tests has passed none
        said = str(error) if str(error) == UNCONFINED else type(error).__name__
    answer.write(json.dumps({"said": said, "confined": confined}))
    answer.flush()
    os._exit(0)  # whatever the program left to be done at the end is not done


if __name__ == "__main__":
    main()
