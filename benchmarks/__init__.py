"""Benchmarks that compare Klaxon with other software that does the same work.

``python -m benchmarks`` runs them. All sides do the same work on the same machine in the same run, in turns. The
targets are ratios. The benchmarks are not part of the package.
"""
