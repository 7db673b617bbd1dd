"""Whether a request asks to leave HTTP."""

from __future__ import annotations

from kyma_proxy.flow import Flow


def flow_wants_upgrade(flow: Flow) -> bool:
    """True when the request carries `Upgrade` and its `Connection` names it (RFC 9110 section 7.8).

    Guarded endpoints refuse such requests: after a switch of protocols nothing could be checked any more.
    """
    if "Upgrade" not in flow.headers:
        return False
    options = ",".join(flow.headers.getall("Connection", [])).lower().split(",")
    return any(option.strip() == "upgrade" for option in options)
