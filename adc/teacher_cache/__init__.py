"""Outputs of a teacher on disk, computed once and used instead of the teacher."""
