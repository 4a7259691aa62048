"""What a run writes down of itself."""

import shlex
import subprocess
import sys
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent import store


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Someone's repository with one commit; and git as a command in it."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    who = ("-c", "user.name=x", "-c", "user.email=x@x", "-c", "commit.gpgsign=false")

    def git(*arguments):
        return subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git("add", ".")
    git("commit", "-qm", "mine")
    return tmp_path, git


def test_the_commit_is_that_of_the_package_and_not_of_whose_folder_it_is_installed_in(checkout, monkeypatch):
    folder, git = checkout
    package = folder / ".venv" / "lib" / "infoagent"
    package.mkdir(parents=True)
    (package / "store.py").write_text("")
    monkeypatch.setattr(store, "__file__", str(package / "store.py"))
    assert store.provenance()["commit"] == "not a git checkout"
    git("add", "-f", str(package / "store.py"))
    git("commit", "-qm", "its own")
    assert store.provenance()["commit"] == git("rev-parse", "HEAD")
    (package / "store.py").write_text("# changed\n")
    assert store.provenance()["commit"] == git("rev-parse", "HEAD") + "+changes"


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_a_recorded_command_can_be_pasted_into_a_shell(arguments):
    with mock.patch.object(sys, "argv", ["eval/frozen.py", *arguments]), mock.patch.object(store, "_commit", return_value="c"):
        assert shlex.split(store.provenance()["command"]) == ["eval/frozen.py", *arguments]
