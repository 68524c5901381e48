"""``python -m cloudkit.cli``"""

import sys

from cloudkit.cli import main

sys.exit(main())
