"""Mamba-2 in C++ for the CPU, built on first use: the selective scan, and what stands around it in a layer.

Reference: the recurrence of Dao and Gu 2024, arXiv:2405.21060, section 2.
"""
