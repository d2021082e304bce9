"""What holds for every test: no settings from outside, and no clock in judgement."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# Whoever runs the tests may have the program configured; the tests start from its defaults, subprocesses included.
for _name in [name for name in os.environ if name.startswith("ASG_")]:
    del os.environ[_name]

# What is kept outside the stores of the tests goes with the tests, not into the home of whoever runs them.
os.environ["ASG_STATE"] = tempfile.mkdtemp(prefix="asg-tests-")
atexit.register(shutil.rmtree, os.environ["ASG_STATE"], ignore_errors=True)

# No deadline: a slow machine is not a wrong result. The blob repeats a failure exactly. Where CI is set,
# Hypothesis starts from its own `ci` profile (fixed seed, no example database).
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")
