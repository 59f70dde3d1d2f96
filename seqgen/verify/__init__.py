"""Proof that the programs of a model compute the same."""

from seqgen.verify.bench import Settings
from seqgen.verify.pool import Pool
from seqgen.verify.report import Report, Row
from seqgen.verify.runner import verify, verify_graph

__all__ = ["Pool", "Report", "Row", "Settings", "verify", "verify_graph"]
