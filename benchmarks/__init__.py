"""Benchmarks: how fast deliveries are made, side by side with what else does such work.

``python -m benchmarks`` runs them. Every side does the same work on the same machine in the same run, in turns; what is
promised are ratios. Nothing of it is in the package.
"""
