"""Says what is wrong with a Python that cannot make the virtual environment. Any Python can read this file."""

import sys

NEEDED = (3, 11)


def complaint(goals):
    """What to tell the user who ran `make <goals>` with this Python; None when it will do."""
    other = "name another one: make PYTHON=/path/to/python3.12 " + goals
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < NEEDED:
        return "kyma-proxy needs Python 3.11 or newer, " + sys.executable + " is " + version + "; " + other
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        package = "python" + ".".join(map(str, sys.version_info[:2])) + "-venv"
        return sys.executable + " comes without venv; install it (Debian, Ubuntu: " + package + ") or " + other
    return None


sys.exit(complaint(" ".join(sys.argv[1:]) or "dev"))
