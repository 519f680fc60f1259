"""Benchmarks run once, untimed, in a plain ``pytest``; ``pytest --benchmark-only`` times them."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Leave timing off unless it was asked for."""
    option = config.option
    if hasattr(option, "benchmark_disable") and not (option.benchmark_only or option.benchmark_enable):
        option.benchmark_disable = True
