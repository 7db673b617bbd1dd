"""`/v1/files/*`: upload, list, retrieve, delete."""

from __future__ import annotations

from typing import Any

from kyma_proxy.simulators.minimax.replies import RefusalError, invalid_params, success
from kyma_proxy.simulators.minimax.state import Call, State, StoredFile

FILE_BYTES_MAX = 20 * 1024 * 1024
PURPOSES = frozenset(
    {"voice_clone", "prompt_audio", "t2a_async_input", "video_understanding", "video_generation_input"}
)


async def upload(state: State, call: Call) -> dict[str, Any]:
    """Takes any file whatever it holds: a bad format is found only by the call that uses it."""
    _check_purpose(call.fields.get("purpose"))
    if call.filename is None:
        raise invalid_params("file is required")
    if call.upload_bytes > FILE_BYTES_MAX:
        raise invalid_params("file size exceeds 20MB")
    return success({"file": _file_object(state.add_file(call))})


async def list_files(state: State, call: Call) -> dict[str, Any]:
    """The files of one purpose."""
    purpose = _check_purpose(call.query.get("purpose"))
    return success({"files": [_file_object(kept) for kept in state.files.values() if kept.purpose == purpose]})


async def retrieve(state: State, call: Call) -> dict[str, Any]:
    """One file with a link to fetch it from."""
    digits = call.query.get("file_id", "")
    kept = find(state, int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None)
    link = f"https://files.example/{kept.file_id}?sig=0"
    return success({"file": _file_object(kept) | {"download_url": link}})


async def delete(state: State, call: Call) -> dict[str, Any]:
    """Needs the file's purpose too."""
    if call.json is None:
        raise invalid_params("empty field")
    purpose = _check_purpose(call.json.get("purpose"))
    kept = find(state, call.json.get("file_id"))
    if kept.purpose != purpose:
        raise invalid_params("purpose")
    del state.files[kept.file_id]
    return success({"file_id": kept.file_id})


def find(state: State, file_id: object) -> StoredFile:
    """The file of an id. Raises RefusalError 2013 if the id is no integer or not on file."""
    # A bool is an int to Python, and a number with a fraction has lost digits on its way.
    if type(file_id) is not int:
        raise invalid_params("file_id")
    if (kept := state.files.get(file_id)) is None:
        raise RefusalError(2013, "invalid params, file_id does not exist")
    return kept


def _check_purpose(purpose: object) -> str:
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        raise invalid_params("purpose")
    return purpose


def _file_object(kept: StoredFile) -> dict[str, Any]:
    return {
        "file_id": kept.file_id,
        "bytes": len(kept.data),
        "created_at": kept.created_at,
        "filename": kept.filename,
        "purpose": kept.purpose,
    }
