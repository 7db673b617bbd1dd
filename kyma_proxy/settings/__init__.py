"""Configuration: the YAML file and the environment in, one frozen `Settings` or every problem with its position out."""

from kyma_proxy.settings.environment import DEFAULT_CONFIG_PATH, default_config_path, environment
from kyma_proxy.settings.load import load_database_settings, load_plugin_entries, load_server_settings, load_settings
from kyma_proxy.settings.models import (
    BaseUrlEntry,
    BreakerSettings,
    CorsSettings,
    DatabaseSettings,
    ForwardUpstreamSettings,
    HostPort,
    MiniMaxAccountSettings,
    MiniMaxUpstreamSettings,
    PluginEntry,
    RouteSettings,
    ServerSettings,
    Settings,
    TlsSettings,
    TracingSettings,
    UpstreamSettings,
    UpstreamTimeouts,
)
from kyma_proxy.settings.problems import ConfigError, Problem
from kyma_proxy.settings.source import SourceMap

__all__ = [
    "DEFAULT_CONFIG_PATH",
    "BaseUrlEntry",
    "BreakerSettings",
    "ConfigError",
    "CorsSettings",
    "DatabaseSettings",
    "ForwardUpstreamSettings",
    "HostPort",
    "MiniMaxAccountSettings",
    "MiniMaxUpstreamSettings",
    "PluginEntry",
    "Problem",
    "RouteSettings",
    "ServerSettings",
    "Settings",
    "SourceMap",
    "TlsSettings",
    "TracingSettings",
    "UpstreamSettings",
    "UpstreamTimeouts",
    "default_config_path",
    "environment",
    "load_database_settings",
    "load_plugin_entries",
    "load_server_settings",
    "load_settings",
]
