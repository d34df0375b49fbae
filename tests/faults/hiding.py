"""Programs that take disk space or memory where a look at files and processes does not find it.

Each runs contained, takes `MUCH` MiB in steps, says after each step how much it has, and stays.
"""

MUCH = 1008
"""MiB; more than five times the limit of what is taken."""
STEP = 48
"""MiB in one file, which is less than the limit of one file."""

START = """
import ctypes, mmap, os, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.shmat.restype = ctypes.c_void_p
held = []
def tell(size):
    print("has", size, flush=True)
    time.sleep(PAUSE)
def fill(fd):
    for _ in range(STEP):
        os.write(fd, bytes(1 << 20))
def removed(number):
    "An open file without a name."
    fd = os.open(f"hidden{number}", os.O_RDWR | os.O_CREAT, 0o600)
    os.unlink(f"hidden{number}")
    fill(fd)
    return fd
def memfd(number):
    fd = libc.memfd_create(b"hidden", 0)
    assert fd >= 0, "no memfd"
    fill(fd)
    return fd
def keep(fd):
    held.append(fd)
def keep_mapped(fd):
    held.append(mmap.mmap(fd, 4096))
    os.close(fd)
def map_only(fd):
    "The address of one page; Python's own mapping would keep a descriptor."
    held.append(libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0)))
    os.close(fd)
def in_flight(fd):
    ends = socket.socketpair()
    held.append(ends)
    socket.send_fds(ends[0], [b"x"], [fd])
    os.close(fd)
def undumpable():
    assert libc.prctl(4, 0, 0, 0, 0) == 0
def take(make, hold):
    for number in range(MUCH // STEP):
        hold(make(number))
        tell((number + 1) * STEP)
    time.sleep(600)
def in_thread(work, leave):
    "Run in a thread with open files of its own; the main thread may leave the process before."
    def start():
        assert libc.unshare(0x400) == 0
        work()
    threading.Thread(target=start).start()
    if leave:
        time.sleep(0.1)
        libc.syscall(60 if os.uname().machine == "x86_64" else 93, 0)
    time.sleep(600)
"""

DISK = {
    "removed files in memory maps": "take(removed, map_only)",
    "removed files in flight": "take(removed, in_flight)",
    "removed files of a process that hides itself": "undumpable(); take(removed, keep)",
    "removed files of a thread": "in_thread(lambda: take(removed, keep), False)",
    "removed files of a process without its main thread": "in_thread(lambda: take(removed, keep), True)",
    "files beside many folders": """
for number in range(20_000):
    os.makedirs(f"many/{number // 1000}/{number}")
time.sleep(PAUSE * 6)
def named(number):
    fd = os.open(f"big{number}", os.O_RDWR | os.O_CREAT, 0o600)
    fill(fd)
    return fd
take(named, os.close)
""",
    "removed folders": """
os.mkdir("deep")
take(removed, lambda fd: in_flight(fd))
""",
    "removed files of a program that nobody may read": """
if not os.path.exists("own"):
    import shutil
    shutil.copy(os.path.realpath("/proc/self/exe"), "own")
    os.chmod("own", 0o111)
    os.execv("own", ["own", "-I", "-S", "-c", PROGRAM])
take(removed, keep)
""",
}
"""Ways to hide what lies on disk."""

MEMORY = {
    "memory files": "take(memfd, keep)",
    "memory files in memory maps": "take(memfd, map_only)",
    "memory files in flight": "take(memfd, in_flight)",
    "memory files of a process that hides itself": "undumpable(); take(memfd, keep)",
    "memory files of a thread": "in_thread(lambda: take(memfd, keep), False)",
    "shared memory that is not mapped any more": """
def shared(number):
    size = STEP << 20
    at = libc.mmap(None, ctypes.c_size_t(size), 3, 0x21, -1, ctypes.c_long(0))
    ctypes.memset(at, 1, size)
    return at
take(shared, lambda at: libc.munmap(ctypes.c_void_p(at + 4096), ctypes.c_size_t((STEP << 20) - 4096)))
""",
    "memory of processes that hide themselves": """
def child(number):
    if os.fork() == 0:
        undumpable()
        keep(b"x" * (STEP << 20))
        time.sleep(600)
take(child, keep)
""",
    "memory of processes without their main threads": """
def grow():
    keep(b"x" * (STEP << 20))
    time.sleep(600)
def child(number):
    if os.fork() == 0:
        in_thread(grow, True)
take(child, keep)
""",
    "page tables": """
def tables(number):
    size = (STEP << 20) // 4096 * (2 << 20)
    at = libc.mmap(None, ctypes.c_size_t(size), 1, 0x4022, -1, ctypes.c_long(0))
    libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), 15)
    for each in range(at, at + size, 2 << 20):
        ctypes.c_char.from_address(each).value
take(tables, keep)
""",
    "socket buffers": """
def stuff():
    for _ in range(110):
        ends = socket.socketpair()
        held.append(ends)
        for end in ends:
            end.setblocking(False)
            try:
                while True:
                    end.send(bytes(32768))
            except BlockingIOError:
                pass
def child(number):
    if os.fork() == 0:
        stuff()
        time.sleep(600)
take(child, keep)
""",
}
"""Ways to hide what lies in memory, at every level below `full`."""

PRIVATE_MEMORY = {
    "System V memory that nobody has attached": """
def segment(number):
    identity = libc.shmget(0, ctypes.c_size_t(STEP << 20), 0o1600)
    assert identity >= 0, "no System V memory"
    at = libc.shmat(identity, None, 0)
    ctypes.memset(at, 1, STEP << 20)
    libc.shmdt(ctypes.c_void_p(at))
take(segment, keep)
""",
    "semaphores": """
def array(number):
    for _ in range(STEP // 2):
        assert libc.semget(0, 32000, 0o1600) >= 0, "no semaphores"
take(array, keep)
""",
    "empty files in a folder in memory": """
def files(number):
    for each in range(STEP * 1024):
        os.close(os.open(f"/tmp/{number}-{each}", os.O_CREAT | os.O_WRONLY))
take(files, keep)
""",
}
"""Ways that are only open where a sandbox has namespaces of its own; otherwise they are refused."""


def program(work: str, pause: float = 0.25) -> str:
    """The command that runs one of these, with `pause` seconds after each step."""
    text = f"PAUSE, STEP, MUCH = {pause}, {STEP}, {MUCH}\n{START}\n{work}"
    return f"cat > .hiding.py <<'END'\nPROGRAM = open('.hiding.py').read()\n{text}\nEND\nexec python3 -I -S .hiding.py"
