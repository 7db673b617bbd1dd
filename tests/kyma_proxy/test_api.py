"""The plugin kit is one module."""

import kyma_proxy.api as kit


def test_everything_in_the_kit_is_exported_and_nothing_else() -> None:
    public = {name for name in vars(kit) if not name.startswith("_")}
    assert public == set(kit.__all__)
