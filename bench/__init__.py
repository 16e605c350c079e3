"""Measures how fast Kaiser is: load generator and report. Nothing here imports Kaiser, except frame_figures.py."""
