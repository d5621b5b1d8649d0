"""What hostile code tries from inside. Each attack is a Python script that prints WON when it got what it wanted.

All are bounded, and do no harm where they succeed: they run in weakened sandboxes, too, to show that they work.
The targets (`T`) are planted by the test: files, ports, processes. Sources: syscalls(2) and the man pages named there;
the lists of Docker's default seccomp profile; published container escapes.
"""

from dataclasses import dataclass

PRELUDE = """
import ctypes, errno, json, os, platform, socket, struct, subprocess, sys, time
T = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"

def won(detail=""):
    print("WON", detail, flush=True)

def lost(detail=""):
    print("lost", detail, flush=True)

def call(name, *arguments):
    "A libc function; OSError where it fails."
    ctypes.set_errno(0)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def raw(x86, arm, *arguments):
    "A system call by number; OSError where it fails."
    ctypes.set_errno(0)
    got = libc.syscall(arm if ARM else x86, *arguments)
    if got == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return got

def allowed_but_wrong(work, *fine):
    "Won where the kernel looked at the arguments at all, instead of refusing the caller."
    try:
        work()
    except OSError as error:
        return won(error) if error.errno in fine else lost(error)
    won()

def connects(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(3)
        client.connect(address)
    won(address)
"""


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: of the test.
        script: Python, after `PRELUDE`.
        limit: the limit that stops it, where an engine may be unable to; it then says so in its record.
    """

    name: str
    script: str
    limit: str = ""


NETWORK = [
    Attack("loopback of the host", "connects(socket.AF_INET, ('127.0.0.1', T['port']))"),
    Attack("address of the host on its network", "connects(socket.AF_INET, (T['address'], T['any_port']))"),
    Attack("bus of the host", "connects(socket.AF_INET, ('127.0.0.1', T['nats']))"),
    Attack("database of the host", "connects(socket.AF_INET, ('127.0.0.1', T['postgres']))"),
    Attack("abstract socket of the host", "connects(socket.AF_UNIX, '\\0' + T['abstract'])"),
    Attack("socket of the container engine", "connects(socket.AF_UNIX, T['engine_socket'])"),
    Attack("a cloud's metadata address", """
        with socket.socket() as client:
            client.settimeout(1)
            try:
                client.connect(("169.254.169.254", 80))
            except TimeoutError:
                won("packets leave")
            else:
                won()
    """),
    Attack("a name server on the internet", """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"?", ("192.0.2.53", 53))
        won("packets leave")
    """),
    Attack("raw socket", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(); won()"),
    Attack("packet socket", "socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(); won()"),
]  # fmt: skip

KERNEL = [
    Attack("mount", """
        call("mount", b"none", os.getcwd().encode(), b"tmpfs", 0, None)
        call("umount2", os.getcwd().encode(), 2)
        won()
    """),
    Attack("bind the host's root by its device", """
        device = T["root_device"]
        os.mknod("device", 0o600 | 0o060000, os.makedev(*device))
        open("device", "rb").close()
        won()
    """),
    Attack("new user namespace", "call('unshare', 0x10000000); won()"),
    Attack("new mount namespace", "call('unshare', 0x20000); won()"),
    Attack("clone into new namespaces", """
        pid = raw(56, 220, 0x10000000 | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        won()
    """),
    Attack("join the host's network", """
        with open(f"/proc/{T['victim']}/ns/net") as namespace:
            call("setns", namespace.fileno(), 0)
        if T["port"]:
            connects(socket.AF_INET, ("127.0.0.1", T["port"]))
    """),
    Attack("ptrace a process of the host", """
        call("ptrace", 16, T["victim"], 0, 0)
        os.waitpid(T["victim"], 0)
        call("ptrace", 17, T["victim"], 0, 0)
        won()
    """),
    Attack("read a stranger's memory", "open(f\"/proc/{T['victim']}/mem\", 'rb').close(); won()"),
    Attack("kernel keyring", "raw(248, 217, b'user', b'synth', b'x', 1, -3); won()"),
    Attack("load a module", "allowed_but_wrong(lambda: raw(313, 273, os.open('/dev/null', 0), b'', 0), 8, 22)"),
    Attack("bpf", "allowed_but_wrong(lambda: raw(321, 280, 5, None, 0), 22, 14, 7)"),
    Attack("perf events", "allowed_but_wrong(lambda: raw(298, 241, None, 0, -1, -1, 0), 14, 22)"),
    Attack("userfaultfd", "os.close(raw(323, 282, 1)); won()"),
    Attack("io_uring", "allowed_but_wrong(lambda: raw(425, 425, 1, None), 14, 22)"),
    Attack("open by handle", "allowed_but_wrong(lambda: raw(304, 265, -100, None, 0), 14, 9, 22)"),
    Attack("chroot", "call('chroot', b'.'); won()"),
    Attack("reboot", "allowed_but_wrong(lambda: raw(169, 142, 1, 2, 3, None), 22)"),
    Attack("swap", "allowed_but_wrong(lambda: call('swapon', b'/nowhere', 0), 2)"),
    Attack("process accounting", "allowed_but_wrong(lambda: call('acct', b'/nowhere/at/all'), 2)"),
    Attack("the host's clock", """
        time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))
        won()
    """),
    Attack("the host's name", "name = socket.gethostname().encode(); call('sethostname', name, len(name)); won()"),
    Attack("the host's entropy", """
        import fcntl
        with open("/dev/random", "wb") as random:
            fcntl.ioctl(random, 0x40085203, struct.pack("ii4s", 0, 4, b"seed"))
        won()
    """),
    Attack("a higher priority", "os.setpriority(os.PRIO_PROCESS, 0, -5); won()"),
]  # fmt: skip

FILES = [
    Attack("a secret on the host", "won(open(T['secret']).read())"),
    Attack("password hashes", "won(len(open('/etc/shadow').read()))"),
    Attack("write on the host", "open(T['canary'], 'a').write('x'); won()"),
    Attack("write to the system", "open('/usr/lib/planted', 'w').close(); os.remove('/usr/lib/planted'); won()"),
    Attack("keys of the stack", "won(open(T['key']).read())"),
    Attack("a task's hidden tests and solution", "won(len(open(T['package'], 'rb').read()))"),
    Attack("another attempt's journal", "won(len(open(T['journal']).read()))"),
    Attack("another sandbox's files", "won(os.listdir(T['neighbour']))"),
    Attack("the executor's environment", """
        if T["mark"].encode() in open(f"/proc/{T['victim']}/environ", "rb").read():
            won()
    """),
    Attack("kernel settings", """
        with open("/proc/sys/kernel/core_pattern", "r+") as file:
            file.write(file.read())
        won()
    """),
    Attack("kernel triggers", "os.close(os.open('/proc/sysrq-trigger', os.O_WRONLY)); won()"),
    Attack("kernel objects", """
        settings = ["/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled"]
        path = [setting for setting in settings if os.path.exists(setting)][0]
        os.close(os.open(path, os.O_WRONLY))
        won(path)
    """),
    Attack("its own control group", """
        import glob
        for path in glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True):
            try:
                os.close(os.open(path, os.O_WRONLY))
            except OSError:
                continue
            won(path)
            break
    """),
    Attack("kernel messages", "os.close(os.open('/dev/kmsg', os.O_RDONLY)); won()"),
    Attack("become root", """
        os.setuid(0)
        open("/proc/self/loginuid").close()
        won() if os.access("/root", os.W_OK) else lost("root of nothing")
    """),
]  # fmt: skip

PROCESSES = [
    Attack("signal a process of the host", "os.kill(T['victim'], 0); won()"),
    Attack("see the host's processes", """
        for pid in (name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as line:
                    if line.read().endswith(T["mark"].encode() + bytes(1)):
                        won(pid)
            except OSError:
                continue  # it ended meanwhile
    """),
    Attack("a daemon that outlives its command", """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for fd in range(3):
                    os.close(fd)
                time.sleep(0.7)
                open("daemon-was-here", "w").close()
                os._exit(0)
            os._exit(0)
        os.wait()
    """),
]  # fmt: skip

BOMBS = [
    Attack("processes", """
        children = []
        try:
            for _ in range(300):
                pid = os.fork()
                if pid == 0:
                    time.sleep(20)
                    os._exit(0)
                children.append(pid)
        except OSError as error:
            lost(f"{len(children)}: {error}")
        else:
            won(len(children))
        for pid in children:
            os.kill(pid, 9)
    """, "pids"),
    Attack("memory", "block = bytearray(400 << 20); won(len(block))", "memory_mb"),
    Attack("one big file", """
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with open("big", "wb") as file:
            for _ in range(96):
                file.write(bytes(1 << 20))
        won(os.path.getsize("big"))
        os.remove("big")
    """, "one file"),
    Attack("many files", """
        for number in range(40):
            with open(f"part-{number}", "wb") as file:
                file.write(os.urandom(1 << 20) * 8)
            time.sleep(0.1)
        won()
    """, "disk_mb"),
    Attack("empty files", """
        for part in range(80):
            for number in range(500):
                open(f"empty-{part}-{number}", "w").close()
            time.sleep(0.1)
        won()
    """, "disk_mb"),
    Attack("descriptors", """
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, max(hard, 4096)))
        except (OSError, ValueError):
            pass
        opened = [os.dup(1) for _ in range(2000)]
        won(len(opened))
    """, "files"),
    Attack("processor time", """
        code = "import time; end = time.time() + 2\\nwhile time.time() < end: pass"
        began = os.times()
        for process in [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(6)]:
            process.wait()
        ended = os.times()
        spent = ended.children_user + ended.children_system
        cores = spent / (ended.elapsed - began.elapsed)
        won(cores) if cores > 0.7 else lost(cores)
    """, "cpus"),
]  # fmt: skip

ALL = [*NETWORK, *KERNEL, *FILES, *PROCESSES, *BOMBS]
