"""Kyma Proxy: the edge gateway in front of Kyma's audio API."""

from importlib.metadata import version

__version__ = version("kyma-proxy")
