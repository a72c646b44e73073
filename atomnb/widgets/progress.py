"""ProgressBar: how far the long computation of a page is, how long it still takes, and a button that stops it."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.widgets.jobs import Jobs


class ProgressBar(widgets.VBox):
    """Shows `jobs` while one with one of `titles` runs.

    Parameters
    ----------
    jobs : Jobs
    titles : tuple of str
        The jobs that belong to this bar.
    titled : bool
        Say which of them it is.
    """

    def __init__(self, jobs: Jobs, *, titles: tuple[str, ...], titled: bool = False) -> None:
        self.jobs, self.titles, self.titled = jobs, titles, titled
        self.bar = widgets.FloatProgress(min=0, max=1)
        self.note = widgets.HTML()
        self.cancel = widgets.Button(description="Cancel")
        self.cancel.add_class("an-cancel")
        line = widgets.HBox([self.note, self.cancel])
        line.add_class("an-line")
        super().__init__([self.bar, line])
        self.add_class("an-progress")
        self.cancel.on_click(lambda _: jobs.cancel())
        jobs.observe(lambda _: self._show(), ["fraction", "message", "seconds_left", "busy", "title"])
        self._show()

    def _show(self) -> None:
        jobs = self.jobs
        self.layout.display = None if jobs.busy and jobs.title in self.titles else "none"
        self.bar.value = jobs.fraction
        left = "" if jobs.seconds_left is None else f" · {time_text(jobs.seconds_left)} left"
        title = f"{escape(jobs.title)}: " if self.titled else ""
        self.note.value = f"{title}{escape(jobs.message or 'starting')}{left}"


def time_text(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
