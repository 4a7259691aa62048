"""`python -m infoagent.cli`, and with it `accelerate launch --module infoagent.cli score …`."""

import sys

from infoagent.cli import main

if __name__ == "__main__":
    sys.exit(main())
