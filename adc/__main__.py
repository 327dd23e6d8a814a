"""``python -m adc`` is the ``adc`` command."""

from adc.cli import main

if __name__ == "__main__":
    main()
