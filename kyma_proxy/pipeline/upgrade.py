"""Whether a request asks to leave HTTP."""

from __future__ import annotations

from kyma_proxy.flow import Flow
from kyma_proxy.heads import names_upgrade


def flow_wants_upgrade(flow: Flow) -> bool:
    """True when the request carries `Upgrade` and its `Connection` names it (RFC 9110 section 7.8).

    Guarded endpoints refuse such requests: after a switch of protocols nothing could be checked any more.
    """
    return names_upgrade(flow.headers)
