"""A simulated origin: the existing Kyma backend, as far as the gateway forwards to it.

It answers by Kyma's public API pages; where they are silent it takes the plainest reading. Voice cloning is not
served here: the gateway answers it, and a 404 shows when one went past it.
"""

from kyma_proxy.simulators.origin.app import OriginSimulator
from kyma_proxy.simulators.origin.faults import Behaviour, Fault
from kyma_proxy.simulators.origin.state import Call

__all__ = ["Behaviour", "Call", "Fault", "OriginSimulator"]
