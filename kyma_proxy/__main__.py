"""`python -m kyma_proxy` is `kyma-proxy`."""

from kyma_proxy.cli import main

main()
