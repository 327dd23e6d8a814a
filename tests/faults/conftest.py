"""Faults in two sizes: the short one of every test run, and the long one of ``make faults``."""

import os

import pytest


@pytest.fixture(scope="session")
def long():
    """Whether the long form was asked for, by ADC_FAULTS=long."""
    return os.environ.get("ADC_FAULTS") == "long"
