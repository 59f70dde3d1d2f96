"""Compiled templates are kept outside the package, and only ever save time."""

from pathlib import Path

import pytest

from seqgen import bytecode, render

TEMPLATE = "torch/model.py.j2"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cache, empty."""
    import platformdirs

    def folder(*_: object, **__: object) -> Path:
        return tmp_path

    monkeypatch.setattr(platformdirs, "user_cache_path", folder)
    return tmp_path


def compiled() -> object:
    """The code of a template in a fresh environment."""
    return render.environment.__wrapped__().get_template(TEMPLATE).root_render_func.__code__


def test_a_second_environment_finds_what_the_first_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled()
    assert len(list(cache.iterdir())) == 1

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr("jinja2.Environment.compile", fail)
    assert compiled() == first


def test_nothing_is_written_beside_the_templates(cache: Path) -> None:
    folder = render.templates_folder()
    before = sorted(folder.rglob("*"))
    compiled()
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("broken", [b"", b"j2", b"\x80junk" * 40], ids=["empty", "cut", "other"])
def test_broken_files_are_replaced(cache: Path, broken: bytes) -> None:
    first = compiled()
    (path,) = cache.iterdir()
    good = path.read_bytes()
    for damaged in (broken, good[: len(good) // 2], good[:-1000] + broken):
        path.write_bytes(damaged)
        assert compiled() == first
        assert path.read_bytes() == good


def test_a_folder_that_cannot_be_used_is_no_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compiled()
    blocked = cache / "file"
    blocked.touch()
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: blocked)
    assert compiled() == expected

    def fail(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr("platformdirs.user_cache_path", fail)
    assert bytecode.template_cache(Path(render.__file__)) is None
    assert compiled() == expected


def test_a_changed_maker_uses_nothing_that_was_kept(cache: Path, tmp_path: Path) -> None:
    maker = tmp_path / "maker.py"
    patterns = []
    for text in ("one", "two", "one"):
        maker.write_text(text, encoding="utf-8")
        made = bytecode.template_cache(maker)
        assert made is not None
        patterns.append(made.pattern)
    assert patterns[0] == patterns[2] != patterns[1]
