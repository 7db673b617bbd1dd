"""Ways to hide another's voice in a body."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from e2e_kit.speech_wire import AT_MINIMAX, FORWARDED, JSON, Names, body_of, post

Attempts = Iterator[tuple[str, bytes, int | None]]
"""A name for each attempt, its bytes, and the status it is refused with; None: there is nothing to answer."""


def _holders(voice: str, own: str) -> dict[str, dict[str, Any]]:
    """Every place where some reader looks for a voice, by a name for it."""
    weights = [{"voice_id": own, "weight": 1}, {"voice_id": voice, "weight": 99}]
    setting = {"voice_id": voice}
    return {
        "voice_id": {"voice_id": voice},
        "voice": {"voice": voice},
        "voice.id": {"voice": {"id": voice}},
        "voice.voice_id": {"voice": {"voice_id": voice}},
        "voice.name": {"voice": {"name": voice}},
        "voice_setting": {"voice_setting": setting},
        "timbre_weights": {"timbre_weights": weights},
        "timber_weights": {"timber_weights": weights},
        "weights in the setting": {"voice_setting": {"voice_id": "", "timber_weights": weights}},
        "timber_id": {"timber_id": voice},
        "own voice first": {"voice": own, "voice_id": voice},
        "own voice_id first": {"voice_id": own, "voice": voice},
        "own voice, foreign setting": {"voice": own, "voice_setting": setting},
        "extra_body": {"voice": own, "extra_body": {"voice_id": voice}},
        "metadata": {"voice": own, "metadata": {"voice_setting": setting}},
        "metadata as a string": {"voice": own, "metadata": json.dumps({"voice_setting": setting})},
        "metadata in metadata": {"voice": own, "metadata": json.dumps({"metadata": json.dumps({"voice_id": voice})})},
        "input envelope": {"input": {"text": "Hi", "voice_setting": setting}},
        "text envelope": {"text": {"voice_id": voice}},
        "clone_prompt": {"voice": own, "clone_prompt": {"voice_id": voice}},
        "an alias": {"speaker": voice},
        "another alias": {"voice": own, "reference_id": voice},
        "case of the key": {"VOICE_ID": voice},
        "case of the setting": {"voice": own, "Voice_Setting": {"Voice_Id": voice}},
        "camel case": {"voiceId": voice},
        "a key": {"voice": {voice: 1}},
        "a list": {"voices": [own, voice]},
        "lists in lists": {"x": [[[[voice]]]]},
        "deep": {"a": {"b": {"c": {"d": {"e": {"voice_id": voice}}}}}},
        "the model": {"model": voice},
        "a list as a string": {"voice": own, "voices": json.dumps([voice])},
        "a string as a string": {"voice": json.dumps(voice)},
    }


def places(names: Names) -> Attempts:
    """A foreign voice wherever some reader looks for one."""
    for model in (FORWARDED, AT_MINIMAX):
        for voice in (names.minted, names.adopted):
            for place, fields in _holders(voice, names.own).items():
                yield f"{place}, {voice}, {model}", post(names, body_of(**{"model": model, **fields}), JSON), 403
    for state, voice in (("revoked", names.revoked), ("pending", names.pending)):
        for any_model in (FORWARDED, AT_MINIMAX, "", "unheard-of", None):
            yield f"{state} with {any_model!r}", post(names, body_of(model=any_model, voice=voice), JSON), 403
    for odd in (1, ["minimax-speech-hd"], {"id": AT_MINIMAX}, True):
        yield f"model {odd!r}", post(names, body_of(model=odd, voice=names.minted), JSON), 400
    for odd_voice in (1, 1.5, True, [names.minted], [], {"id": 1}):
        yield f"voice {odd_voice!r}", post(names, body_of(voice=odd_voice), JSON), 400
    yield "the digits of an id as a number", post(names, body_of(voice_id=12345678), JSON), 400
    for number in ("12345678", "12345678.0", "1.2345678e7"):
        for written in (f'{{"speaker":{number}}}', json.dumps({"metadata": f'{{"voice":{number}}}'})):
            yield f"digits in {written}", post(names, written.encode(), JSON), 403


def spellings(names: Names) -> Attempts:
    """A foreign voice, not quite written as it is."""
    voice, ours = names.adopted, names.minted
    escaped = "".join(f"\\u{ord(each):04x}" for each in ours)
    yield "escapes in the value", post(names, f'{{"voice":"{escaped}"}}'.encode(), JSON), 403
    yield "escapes in the key", post(names, f'{{"\\u0076oice_id":"{ours}"}}'.encode(), JSON), 403
    spelled = {
        "spaces around": f"  {voice} ",
        "a line end": f"{voice}\n",
        "a NUL behind": f"{voice}\0",
        "a byte order mark before": f"\ufeff{voice}",
        "zero width behind": f"{voice}\u200b",
        "percent": quote(voice, safe=""),
        "percent twice": quote(quote(voice, safe=""), safe=""),
        "upper case": ours.upper(),
        "full width": ours.replace("kyma", "\uff4b\uff59\uff4d\uff41"),
        "kelvin sign": ours.replace("k", "\u212a"),
        "zero width within": ours[:9] + "\u200b" + ours[9:],
        "among others": f"{names.own},{ours}",
        "in a path": f"x/../{ours}",
        "in a form": f"x&voice_id={ours}",
        "in loose JSON": f"{{'voice_id': '{voice}',}}",
        "in JSON twice": f'{{"voice_id":"{names.own}","voice_id":"{voice}"}}',
    }
    for how, text in spelled.items():
        for key in ("voice", "metadata"):
            yield f"{how} in {key}", post(names, body_of(**{key: text}), JSON), 403
    for how, text in _nested_spellings(names).items():
        yield f"{how} in metadata", post(names, body_of(metadata=text), JSON), 403


def _nested_spellings(names: Names) -> dict[str, str]:
    """Documents and forms that are not quite what they should be, and yet somebody reads them."""
    voice = names.adopted
    escaped = "\\u006b" + names.minted[1:]
    long = json.dumps({"x": "y" * 5000, "voice_id": voice})
    return {
        "an escape and a trailing comma": f'{{"voice_id":"{escaped}",}}',
        "a Python literal": f"{{'voice_id': '\\x6b{names.minted[1:]}'}}",
        "a JavaScript literal": f"{{voice_id: '\\u{{4e}}{voice[1:]}'}}",
        "a comment before it": f'/*x*/{{"voice_id":"{escaped}"}}',
        "an empty string before it": f'{{"x":"","voice_id":"{voice}",}}',
        "a long string before it": f'{{"x":"{"y" * 300}","voice_id":"{voice}",}}',
        "an apostrophe before it": f'{{"x":"it\'s","voice_id":"{voice}",}}',
        "loose in loose": f'{{"metadata":"{{\\"voice_id\\":\\"{voice}\\",}}",}}',
        "long behind a byte order mark": "\ufeff" + long,
        "long behind zero width": "\u200b" + long,
        "long in percent": quote(long),
        "long in percent twice": quote(quote(long)),
        "a form": f"a=1&voice_id={voice}",
        "a form in percent": f"a=1&voice_id={quote(voice)}",
        "a form with plus": f"a=1&voice_id={voice.replace(' ', '+')}",
        "a form, all in percent": quote(f"a=1&voice_id={voice}"),
    }


def syntax(names: Names) -> Attempts:
    """Bodies that two readers read differently, or not at all."""
    own, ours = names.own, names.minted
    good = body_of(voice=ours)
    broken: dict[str, bytes] = {
        "duplicate keys": f'{{"voice":"{ours}","voice":"{own}"}}'.encode(),
        "duplicate keys, the other way": f'{{"voice":"{own}","voice":"{ours}"}}'.encode(),
        "duplicate keys by escape": f'{{"voice":"{own}","\\u0076oice":"{ours}"}}'.encode(),
        "duplicate keys deep down": f'{{"voice":"{own}","x":{{"a":"{ours}","a":1}}}}'.encode(),
        "keys that differ in case": f'{{"voice_id":"{own}","Voice_ID":"{ours}"}}'.encode(),
        "keys that fold alike": f'{{"k":"{own}","\u212a":"{ours}"}}'.encode(),
        "duplicate models": f'{{"model":"{FORWARDED}","model":"{AT_MINIMAX}","voice":"{ours}"}}'.encode(),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-16 without a mark": good.decode().encode("utf-16-le"),
        "UTF-16, big end first": good.decode().encode("utf-16-be"),
        "UTF-32": good.decode().encode("utf-32"),
        "bytes that are not UTF-8": good.replace(b"Hello", b"\xff\xfe"),
        "overlong UTF-8": good.replace(b"Hello", b"\xc1\xa1"),
        "a surrogate": good.replace(b"Hello", b"\\ud800"),
        "a list": b"[" + good + b"]",
        "a string": json.dumps(good.decode()).encode(),
        "null": b"null",
        "nothing": b"",
        "two documents": good + good,
        "lines of documents": body_of(voice=own) + b"\n" + good,
        "something behind": good + b";",
        "a NUL behind": good + b"\0",
        "a comment": b"/*x*/" + good,
        "a comment within": good.replace(b"{", b"{//x\n", 1),
        "a trailing comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "keys without quotes": good.replace(b'"voice"', b"voice"),
        "NaN": good[:-1] + b',"speed":NaN}',
        "Infinity": good[:-1] + b',"speed":Infinity}',
        "an overflow": good[:-1] + b',"speed":1e999}',
        "a vast number": good[:-1] + b',"speed":' + b"9" * 5000 + b"}",
        "a control character": good.replace(b"Hello", b"Hel\x01lo"),
        "too deep": b'{"x":' * 70 + good + b"}" * 70,
        "far too deep": b'{"x":' * 20_000 + good + b"}" * 20_000,
        "too many texts": body_of(voice=own, x=[f"t{number}" for number in range(2100)]),
        "too many values": body_of(voice=own, x=[0] * 60_000),
        "cut short": good[:-1],
        "a safe prefix": b")]}',\n" + good,
        "a callback": b"f(" + good + b")",
        "YAML": f"model: {FORWARDED}\nvoice: {ours}\ninput: Hi\n".encode(),
        "XML": f"<speech><voice>{ours}</voice></speech>".encode(),
    }
    for how, content in broken.items():
        yield how, post(names, content, JSON), 400
    yield "too large", post(names, body_of(voice=ours, input="x" * 1_100_000), JSON), 413
    yield "too large, own voice", post(names, body_of(voice=own, input="x" * 1_100_000), JSON), 413
