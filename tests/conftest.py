"""Fixtures that all tests share."""

import gc
from collections.abc import Iterator

import pytest

from seqgen.verify import Pool


def pytest_collection_finish() -> None:
    """Leave what imports and collection made out of every later search for garbage.

    It is there to the end, and Keras, which searches whenever it clears its session, would take
    longer for that than for most tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """The workers, started once."""
    with Pool() as workers:
        yield workers
