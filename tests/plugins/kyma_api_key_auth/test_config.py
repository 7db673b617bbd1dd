"""Config of `api_key_auth`: there is nothing to set."""

import pytest
from pydantic import ValidationError

from kyma_api_key_auth.config import ApiKeyAuthConfig


def test_any_setting_is_a_mistake() -> None:
    with pytest.raises(ValidationError):
        ApiKeyAuthConfig.model_validate({"prefix": "ky-"})
