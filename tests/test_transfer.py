"""The example of transfer learning: both programs train the new head alike, and leave the base."""

import re
import subprocess
import sys

import pytest

from tests.renew import EXAMPLES

pytest.importorskip("sklearn")


def test_both_programs_train_the_head_and_leave_the_base() -> None:
    command = [sys.executable, str(EXAMPLES / "transfer_digits.py"), "--epochs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    right = re.findall(r"([\d.]+)% of 180 right", done.stdout)
    assert len(right) == 2
    assert right[0] == right[1]
    far, moved = (float(number) for number in re.findall(r"by (?:at most )?(\S+)\n", done.stdout))
    assert far < 1e-12
    assert moved == 0
