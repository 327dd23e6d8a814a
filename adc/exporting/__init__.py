"""Students in the formats of other programs."""
