"""``python -m adc`` is the ``adc`` command."""

import os
import sys

if __name__ == "__main__":
    here = os.getcwd()  # noqa: PTH109
    if sys.path[0] in ("", here) and not os.path.isdir(os.path.join(here, "adc")):  # noqa: PTH112, PTH118
        del sys.path[0]  # nothing is imported from the working directory unasked

    from adc.cli import main

    main()
