"""C++ for the CPU, built on first use: Mamba-2's scan, what stands around it in a layer, and MiniRocket's features.

Reference of the scan: the recurrence of Dao and Gu 2024, arXiv:2405.21060, section 2.
"""
