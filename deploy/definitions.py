"""RabbitMQ's definitions: users and their permissions, and the services' exchanges, queues and policies."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from deploy.rights import EVENT_KEYS, RIGHTS, TAGS, Rights
from taskgen.amqp.policies import policies
from taskgen.amqp.topology import DEFAULT_SINKS, EVENTS, Binding, Exchange, Queue, all_queues, exchanges

_VHOST: Final = "/"
_SALT_BYTES: Final = 4


def definitions(passwords: Mapping[str, str], sinks: Iterable[str] = DEFAULT_SINKS) -> dict[str, Any]:
    """The content for RabbitMQ's setting `load_definitions`.

    Args:
        passwords: by user, for each of `RIGHTS`.
        sinks: the kinds that get a queue.
    """
    queues = all_queues(sinks)
    return {
        "vhosts": [{"name": _VHOST}],
        "users": [_user(name, passwords[name]) for name in RIGHTS],
        "permissions": [_permission(name, rights) for name, rights in RIGHTS.items()],
        "topic_permissions": [_topic_permission(name, keys) for name, keys in EVENT_KEYS.items()],
        "exchanges": [_exchange(exchange) for exchange in exchanges(queues)],
        "queues": [declared for queue in queues for declared in _with_parking_queue(queue)],
        "bindings": [_binding(binding) for queue in queues for binding in queue.bindings],
        "policies": [{"vhost": _VHOST, **policy} for policy in policies(queues)],
    }


def password_hash(password: str, salt: bytes) -> str:
    """As RabbitMQ stores it: base64 of the salt (4 bytes) and the SHA-256 of salt and password.

    Source: https://www.rabbitmq.com/docs/passwords
    """
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def _user(name: str, password: str) -> dict[str, Any]:
    return {
        "name": name,
        "password_hash": password_hash(password, secrets.token_bytes(_SALT_BYTES)),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": TAGS.get(name, []),
    }


def _permission(user: str, rights: Rights) -> dict[str, str]:
    return {
        "user": user,
        "vhost": _VHOST,
        "configure": rights.configure,
        "write": rights.write,
        "read": rights.read,
    }


def _topic_permission(user: str, keys: str) -> dict[str, str]:
    return {"user": user, "vhost": _VHOST, "exchange": EVENTS, "write": keys, "read": ".*"}


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "vhost": _VHOST,
        "type": exchange.kind,
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _with_parking_queue(queue: Queue) -> list[dict[str, Any]]:
    return [_queue(queue.dead_letters, {"x-queue-type": "quorum"}), _queue(queue.name, queue.arguments)]


def _queue(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "vhost": _VHOST,
        "durable": True,
        "auto_delete": False,
        "arguments": dict(arguments),
    }


def _binding(binding: Binding) -> dict[str, Any]:
    return {
        "source": binding.exchange,
        "vhost": _VHOST,
        "destination": binding.queue,
        "destination_type": "queue",
        "routing_key": binding.key,
        "arguments": dict(binding.arguments),
    }
