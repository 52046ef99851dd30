"""What README and docs tell people to type: command lines that the program takes, and that need nothing else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from leansplat.batch.commands import trial_words
from leansplat.cli import parse
from leansplat.commands import COMMANDS
from leansplat.commands.batch import understood

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks/results/paper/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


def blocks(text: str) -> Iterator[str]:
    """Blocks of code that are not Python: fenced, or indented by four spaces or, in a list, more."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
    yield from (found[2] for found in fenced.finditer(text) if found[1] in ("", "bash", "console", "sh"))
    indented = re.findall(r"(?:^ {4,}\S.*\n)+", fenced.sub("", text), re.MULTILINE)
    yield from (re.sub(r"^ +", "", block, flags=re.MULTILINE) for block in indented)


def words_of(line: str) -> list[str]:
    """Words of a command line, without its comment; of what stands in brackets all is given, and of a|b|c the first."""
    usage = re.sub(r" \[(-[^]]*)\]", r" \1", line.removeprefix("$ "))
    return [re.sub(r"^(\w+)(\|\w+)+$", r"\1", word) for word in shlex.split(usage, comments=True)]


def lines(text: str, program: str) -> Iterator[list[str]]:
    """Words of the command lines of a program in blocks of code."""
    for block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            if line.removeprefix("$ ").startswith(f"{program} "):
                yield words_of(line)


def inline(text: str) -> Iterator[list[str]]:
    """Words of command lines in a sentence or a table, as far as they have arguments."""
    for code in re.findall(r"`(leansplat [^`]+)`", text):
        words = words_of(" ".join(code.split()))
        if words[1] in COMMANDS and len(words) > 3:
            yield words


def command_lines(page: Path) -> Iterator[list[str]]:
    text = page.read_text(encoding="utf-8")
    yield from lines(text, "leansplat")
    yield from inline(text)


def cases() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for words in command_lines(page):
            yield f"{page.relative_to(ROOT)}: {shlex.join(words)}", words[1:]


@pytest.mark.parametrize("arguments", [pytest.param(arguments, id=name) for name, arguments in cases()])
def test_every_command_line_of_the_docs_is_one_that_the_program_takes(arguments: list[str]) -> None:
    command = parse(arguments)
    if arguments[0] == "batch":
        name, *options = command.command  # type: ignore[attr-defined]
        understood(trial_words(name, options, capture=False, suffix=".sog"))


def test_most_commands_are_shown_somewhere() -> None:
    shown = {arguments[0] for _, arguments in cases()}
    assert shown | {"demo"} == set(COMMANDS)


@pytest.mark.parametrize("text", ["leansplat train photos --no-such-flag", "leansplat trian photos"])
def test_a_line_that_the_program_does_not_take_is_noticed(text: str, capsys) -> None:
    ((_, *arguments),) = lines(f"    {text}\n", "leansplat")
    with pytest.raises(SystemExit):
        parse(arguments)


@pytest.mark.parametrize("module", sorted(path.stem for path in (ROOT / "src/leansplat/commands").glob("[!_]*.py")))
def test_the_example_in_the_help_of_a_command_is_one_that_the_program_takes(module: str) -> None:
    source = (ROOT / f"src/leansplat/commands/{module}.py").read_text(encoding="utf-8")
    for example in re.findall(r"Example: leansplat (.*)", source):
        parse(shlex.split(example))


def benchmark_lines() -> Iterator[tuple[str, list[str]]]:
    texts = {page: page.read_text(encoding="utf-8") for page in (*PAGES, *SCRIPTS)}
    for page, text in texts.items():
        for words in lines(text, "python"):
            yield f"{page.relative_to(ROOT)}: {shlex.join(words)}", words[1:]


@pytest.mark.parametrize("words", [pytest.param(words, id=name) for name, words in benchmark_lines()])
def test_every_benchmark_that_is_named_exists_with_the_options_it_is_given(words: list[str]) -> None:
    script, *arguments = words
    source = (ROOT / script).read_text(encoding="utf-8")
    for option in (word for word in arguments if word.startswith("-")):
        assert f'"{option}"' in source, f"{script} has no {option}"


@pytest.mark.parametrize("path", [*PAGES, *SCRIPTS, *sorted((ROOT / "benchmarks/results").glob("*.json"))], ids=str)
def test_nothing_names_a_folder_beside_the_repository(path: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "", path.read_text(encoding="utf-8"))  # a link may point to another page
    beside = r"(?:\.\./)+(?!photos/)\w[\w./-]*"  # ../photos/0001.jpg is what a transforms file may say
    absolute = r"/(?:home|root|work)/(?!someone/)[\w./-]*"
    found = re.findall(rf"(?:^|[\s\"'=(`/])({beside}|{absolute})", text)
    assert not found, f"{path.relative_to(ROOT)} names {found}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_compared_with_what_no_reader_knows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"\bprototype\b", text)
    assert not re.search(r"(?<![\w)\]])\[\d+\](?!\()", text), "a reference by number, without a list of references"


def named_tests() -> Iterator[tuple[str, str]]:
    text = (ROOT / "docs/found-in-use.md").read_text(encoding="utf-8")
    yield from sorted(set(re.findall(r"`((?:\w+/)*test_\w+\.py)(?:::(\w+))?`", text)))


@pytest.mark.parametrize(("file", "name"), list(named_tests()))
def test_every_test_that_is_named_as_holding_a_case_exists(file: str, name: str) -> None:
    source = (ROOT / "tests" / file).read_text(encoding="utf-8")
    assert not name or f"def {name}(" in source


def test_every_test_that_a_page_names_is_there() -> None:
    """As the tables do that say what is held by which test."""
    named = {
        (page.name, file, function)
        for page in PAGES
        for file, function in re.findall(r"\b(tests/[\w/]+\.py)(?:::(\w+))?", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 20
    for page, file, function in named:
        assert (ROOT / file).is_file(), f"{page} names {file}"
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, f"{page} names {function} of {file}"
