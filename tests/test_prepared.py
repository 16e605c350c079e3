"""Each new stack of a run gets a state folder of its own, copied from one that was initialised once."""

import os
from pathlib import Path

import prepared
import pytest

DATABASE = "postgres/elsewhere/data" if os.geteuid() == 0 else "postgres/data"


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv(prepared.SHARED, str(folder))
    return folder


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="elsewhere nothing is prepared")
def test_two_stacks_have_the_same_beginning_and_share_no_file(shared: Path, tmp_path: Path):
    made: list[Path] = []

    def make(state_dir: Path) -> None:
        made.append(state_dir)
        prepared.keep_database_in_reach(state_dir)
        for folder in ("nats", "run", "log", "postgres"):
            (state_dir / folder).mkdir(parents=True, exist_ok=True)
        (prepared._link(state_dir) if os.geteuid() == 0 else state_dir / "postgres").joinpath("data").write_text(
            "empty"
        )
        (state_dir / "nats" / "store").write_text("declared")
        (state_dir / "log" / "nats.log").write_text("of another")

    first, second = tmp_path / "closed" / "first", tmp_path / "second"
    for state_dir in (first, second):
        prepared.fill(state_dir, make)
    assert len(made) == 1
    for name in ("nats/store", DATABASE):
        (first / name).write_text("changed")
    assert [(second / name).read_text() for name in ("nats/store", DATABASE)] == ["declared", "empty"]
    assert not (second / "log").exists()
    prepared.remove(first)
    assert (second / DATABASE).read_text() == "empty"
    assert not any((first / name).exists() for name in ("nats", "postgres"))
    if os.geteuid() == 0:
        assert len(list(shared.glob("postgres-*"))) == 2, "that of the template, and the second's"


def test_a_beginning_that_was_killed_is_made_again(shared: Path, tmp_path: Path):
    def killed(home: Path) -> None:
        home.mkdir()
        (home / "half").touch()
        raise KeyboardInterrupt

    def make(home: Path) -> None:
        home.mkdir()
        (home / "whole").touch()

    with pytest.raises(KeyboardInterrupt):
        prepared.database(tmp_path / "one", killed)
    prepared.database(tmp_path / "two", make)
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["whole"]
