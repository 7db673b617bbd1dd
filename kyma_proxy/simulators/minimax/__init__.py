"""A simulated MiniMax speech API.

Its answers follow MiniMax's documentation and recorded traffic, so that it disagrees with a client that guessed wrong.
"""

from kyma_proxy.simulators.minimax.app import MiniMaxSimulator
from kyma_proxy.simulators.minimax.faults import Behaviour, Fault
from kyma_proxy.simulators.minimax.state import Call, StoredFile, Voice

__all__ = ["Behaviour", "Call", "Fault", "MiniMaxSimulator", "StoredFile", "Voice"]
