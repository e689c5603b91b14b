"""RabbitMQ's management API, as far as the tests need it."""

import base64
import json
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen


class Management:
    """The API at a URL with user and password in it.

    Every method raises `urllib.error.HTTPError` where the broker refuses.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.user = unquote(parts.username or "guest")
        self._base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        credentials = f"{self.user}:{unquote(parts.password or 'guest')}"
        self._authorization = f"Basic {base64.b64encode(credentials.encode()).decode()}"

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; None if there is none."""
        request = Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=30) as response:
            content = response.read()
        return json.loads(content) if content else None

    def create_vhost(self, name: str) -> None:
        """Make a virtual host in which this user may do everything."""
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.request("PUT", f"/api/vhosts/{quote(name, safe='')}")
        self.request(
            "PUT", f"/api/permissions/{quote(name, safe='')}/{quote(self.user, safe='')}", everything
        )

    def delete_vhost(self, name: str) -> None:
        """Remove it with all that is in it; its connections are closed."""
        self.request("DELETE", f"/api/vhosts/{quote(name, safe='')}")
