"""Pages about traces: `reading` makes records of a file, `model` a run of the records, `page` one HTML file of the run.

Called by `vmloom report`. What a trace says is never trusted: what cannot be read is a `TraceError` with its place, and
text reaches the page only escaped.
"""

from __future__ import annotations

from .model import Code, Run, build
from .page import calls_script, enclosed, page
from .reading import TraceError, read_trace

__all__ = ["Code", "Run", "TraceError", "build", "calls_script", "enclosed", "page", "read_trace"]
