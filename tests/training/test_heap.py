"""The heap of a process that trains."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

COUNTED = """
import resource, sys
from xr_cbottle.training.heap import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
before = faults()
for _ in range(20):
    first, second = b"1" * 2**25, b"2" * 2**25
    del first, second
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="is a matter of glibc")
def test_memory_that_is_freed_is_used_again():
    pages = 2**25 // resource.getpagesize()
    found = {}
    for how in ("kept", "as it is"):
        done = subprocess.run([sys.executable, "-c", COUNTED, how], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found[how] = int(done.stdout)
    assert found["kept"] < 5 * pages < found["as it is"]
