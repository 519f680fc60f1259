"""Progress with an estimate: bars on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars


class Progress:
    """Shows the stages of a run.

    On a terminal each stage is a bar with elapsed and remaining time. Elsewhere a stage prints a line when it ends and
    one at most every 30 s in between.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        """Print a line beside the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Callable[..., None]]:
        """A stage of the run; the block gets ``report(done, total, note="")``, its note a few words shown beside."""
        if self.console.is_terminal:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            columns += (TextColumn(unit), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
            with Bars(*columns, console=self.console) as bars:
                task = bars.add_task(name, total=None)

                def show(done: int, total: int, note: str = "") -> None:
                    described = f"{name}, {note}" if note else name
                    bars.update(task, completed=done, total=total, description=described)

                yield show
            return
        began = last = time.monotonic()
        state = [0, 0, ""]

        def report(done: int, total: int, note: str = "") -> None:
            nonlocal last
            state[:] = done, total, f", {note}" if note else ""
            now = time.monotonic()
            if now - last >= 30 and done < total:
                last = now
                left = (now - began) / max(1, done) * (total - done)
                self.say(f"{name}: {done} of {total} {unit}{state[2]}, about {left / 60:.1f} min left")

        yield report
        if state[1]:
            self.say(f"{name}: {state[0]} of {state[1]} {unit}{state[2]} in {time.monotonic() - began:.1f} s")
