"""`python -m mailworker.demo`."""

import sys

from mailworker.demo.runner import main

sys.exit(main())
