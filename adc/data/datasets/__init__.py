"""Datasets of training and validation clips."""
