"""Where relays send to, of the app settings that their mappings name: addresses and secrets."""

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from handlers.environment import SettingsProblems, on_trial
from handlers.settings import LOOPBACK, UNRESOLVED
from handlers.sync.mapping import Mapping as SyncMapping

TRIAL = "_TEST"  # ends the name of the setting that holds a relay's address in a trial
_PREFIX = "whsec_"
_NEW_BYTES = 32
_SECRET_BYTES = range(24, 65)  # as Standard Webhooks wants it


@dataclass(frozen=True)
class Receiver:
    """An address, and the secrets that messages to it are signed with: more than one while they are replaced."""

    name: str  # of the app setting; what logs and reasons call it
    url: str
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Receiver({self.name})"


def receivers(mappings: Mapping[str, SyncMapping], environ: Mapping[str, str]) -> dict[str, Receiver]:
    """The receiver of each mapping with a relay, by the mapping's name. Raises SettingsProblems, without values."""
    found, problems, trial = dict[str, Receiver](), list[str](), on_trial(environ)
    for mapping in mappings.values():
        if not (relay := mapping.relay):
            continue
        name = relay.url + (TRIAL if trial else "")
        why = f"address of the relay of {mapping.name}.toml{', in a trial' if trial else ''}"
        problems += _problems(name, why, url := environ.get(name, "").strip(), _address_problem)
        signed: tuple[str, ...] = ()
        if relay.auth == "signature":
            told = environ.get(relay.secret, "")
            problems += _problems(relay.secret, f"secret of the relay of {mapping.name}.toml", told, _secret_problem)
            signed = tuple(told.split())
        found[mapping.name] = Receiver(name, url, signed)
    if problems:
        raise SettingsProblems(list(dict.fromkeys(problems)))
    return found


def new_secret() -> str:
    """A secret for signatures, in the form of Standard Webhooks."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW_BYTES)).decode()


def _problems(name: str, why: str, value: str, wrong: Callable[[str], str]) -> Iterator[str]:
    if not value.strip():
        yield f"{name}: missing ({why})"
    elif value.startswith(UNRESOLVED):
        yield f"{name}: its Key Vault reference did not resolve; does the secret exist, may the app read it?"
    elif problem := wrong(value):
        yield f"{name}: {problem} ({why})"


def _address_problem(url: str) -> str:
    wrong = "has to be one address that begins with https://"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (raises where it is none)
    except ValueError:
        return wrong
    local = parts.scheme == "http" and parts.hostname in LOOPBACK
    fine = (parts.scheme == "https" or local) and parts.hostname and not re.search(r"[\s#]|//[^/]*@", url)
    return "" if fine else wrong


def _secret_problem(told: str) -> str:
    if all(map(_is_secret, told.split())):
        return ""
    return "has to be whsec_ and 24 to 64 bytes in base64; `python -m handlers relay-secret` makes one"


def _is_secret(secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return False
    return secret.startswith(_PREFIX) and len(key) in _SECRET_BYTES
