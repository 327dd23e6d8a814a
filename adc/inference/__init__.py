"""Restorers in use: prepared, tiled and streamed; images and videos of any size."""
