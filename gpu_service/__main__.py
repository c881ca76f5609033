"""`python -m gpu_service`."""

import sys

from gpu_service.cli import main

sys.exit(main(sys.argv[1:]))
