"""Projects of users: recipes written for their weights, photos and machine."""

from adc.projects.new import new_project

__all__ = ["new_project"]
