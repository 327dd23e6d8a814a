"""adc: large diffusion super-resolution teachers into small, fast students."""

__version__ = "0.1.0"
