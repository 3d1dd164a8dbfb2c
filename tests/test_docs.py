"""What the README and the docs show is so."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer.main

from staytuned.cli import app, main

ROOT = Path(__file__).parents[1]
PAGES = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if path.is_file())


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "console") for line in block.splitlines()]
    return sorted({line.removeprefix("$ ") for line in lines if line.startswith("$ staytuned")})


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_examples_run(page, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__example__"}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"{page.name}, example {number}", "exec"), names)


@pytest.mark.parametrize("line", commands())
def test_commands_parse(line):
    words = shlex.split(line, comments=True)[1:]
    verbs = typer.main.get_command(app).commands
    if words and words[0] in verbs:
        verbs[words[0]].make_context(words[0], words[1:])
    else:
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_spoken_of_exist(page):
    known = {option for command in typer.main.get_command(app).commands.values() for param in command.params for option in param.opts} | {"--version", "--help"}
    known |= {"--debug"}
    spoken = set(re.findall(r"`(--[a-z-]+)", page.read_text(encoding="utf-8")))
    assert spoken <= known
