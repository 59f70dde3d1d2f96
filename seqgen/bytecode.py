"""Compiled templates, kept in the user's cache between runs: to compile them takes longer than to
render them."""

import hashlib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket


class TemplateCache(jinja2.FileSystemBytecodeCache):
    """A cache of bytecode that only ever saves time: a folder that cannot be used is no error."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill a bucket with what is kept for its template, if anything is."""
        try:
            super().load_bytecode(bucket)
        except Exception:
            # What unpickling raises for a broken file is anything.
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a bucket."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


def template_cache(maker: Path) -> jinja2.FileSystemBytecodeCache | None:
    """The cache for the templates of an environment, None if there is no place for it.

    Args:
        maker: The module that makes the environment; when it changes, or Jinja does, nothing
            that was kept is used any more. The templates' own texts are watched by Jinja.
    """
    import platformdirs

    digest = hashlib.sha256(metadata.version("jinja2").encode() + maker.read_bytes())
    try:
        folder = platformdirs.user_cache_path("seqgen", appauthor=False, ensure_exists=True)
    except (OSError, RuntimeError):
        return None
    return TemplateCache(str(folder), f"{digest.hexdigest()[:16]}_%s.jinja")
