"""Where the messages of each relay go, whether they still do, and whether there is a token for those who want one."""

from collections.abc import Iterator

from handlers.operations.check import Check
from handlers.services import Services
from handlers.sync.errors import SyncError
from handlers.sync.relay_answers import gone


def relays(services: Services) -> Iterator[Check]:
    """One check for each mapping with a relay. Nothing is sent: a hook takes whatever comes for a message."""
    for mapping in services.mappings.values():
        if not (relay := mapping.relay):
            continue
        what, receiver = f"Relay of {mapping.name}", services.relays.receiver(mapping.name)
        if services.relays.stopped(receiver):
            problem = gone(receiver.name)
            yield Check(what, "fails", problem.reason, problem.remedy)
            continue
        secrets = len(receiver.secrets)
        how = {
            "signature": f"signed with {secrets} secret{'s' * (secrets > 1)} of {relay.secret}",
            "entra": f"with a token for {relay.audience}",
            "none": "with neither signature nor token",
        }
        yield Check(what, "ok", f"messages go to the address in {receiver.name}, {how[relay.auth]}")


def tokens(services: Services) -> Iterator[Check]:
    """One check for each audience that tokens are wanted for."""
    found = [mapping.relay for mapping in services.mappings.values() if mapping.relay]
    for audience in dict.fromkeys(relay.audience for relay in found if relay.auth == "entra"):
        what = f"Token for {audience}"
        try:
            services.relays.check_token(audience)
        except SyncError as error:
            remedy = "Check the audience of the mapping's relay, and the app's identity (GRAPH_CLIENT_ID)."
            yield Check(what, "fails", str(error), remedy)
        else:
            yield Check(what, "ok", "issued; whether the receiver lets the identity in, the first message shows")
