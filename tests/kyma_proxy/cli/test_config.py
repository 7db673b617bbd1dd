"""`kyma-proxy check`, `routes` and `explain`."""

from __future__ import annotations

from pathlib import Path

from e2e_kit.processes import run


async def test_a_bad_config_is_exit_2_with_positions(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\nservr: {}\nserver: {drain_secondss: 3}\nplugins: [{use: voice_cloen}]\n")
    checked = await run("check", "--config", str(path))
    assert checked.code == 2
    lines = checked.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:2:1", f"{path}:3:10", f"{path}:4:17"]
    assert "did you mean" in checked.out
    served = await run("serve", "--config", str(path))
    assert (served.code, served.err.splitlines()) == (2, lines)


async def test_the_shipped_config_is_right_once_its_variables_are_set() -> None:
    path = str(Path(__file__).parent.parent.parent.parent / "config" / "gateway.yaml")
    unset = await run("check", "--config", path, environ={"MINIMAX_API_KEY": None})
    assert unset.code == 2
    assert "MINIMAX_API_KEY" in unset.out
    assert (await run("check", "--config", path, environ={"MINIMAX_API_KEY": "sk-x"})).code == 0
    explained = await run(
        *("explain", "POST", "/v1/audio/voice-clone", "--config", path, "--json"), environ={"MINIMAX_API_KEY": "sk-x"}
    )
    assert explained.fields["plugins"] == ["api_key_auth", "voice_clone"]
    assert explained.fields["voice_clone: price"] == "$2.10 a voice"
    assert explained.fields["upstream"] is None, "voice_clone answers itself"
    speech = ("explain", "POST", "/v1/audio/speech", "--config", path, "--json")
    explained = await run(*speech, environ={"MINIMAX_API_KEY": "sk-x"})
    assert explained.fields["plugins"] == ["api_key_auth", "voice_ownership", "speech_metering"]
    assert explained.fields["body"] == "read by voice_ownership, at most 1048576 bytes"
    assert (explained.fields["route"], explained.fields["upstream"]) == ("/v1/audio/**", "origin")
    assert explained.fields["upstream of minimax-*"] == "minimax"
    for model, upstream in (("minimax-speech-hd", "minimax"), ("eleven-v3", "origin")):
        explained = await run(*speech, "--model", model, environ={"MINIMAX_API_KEY": "sk-x"})
        assert (explained.fields["model"], explained.fields["upstream"]) == (model, upstream)
    routed = await run("routes", "--config", path, "--json", environ={"MINIMAX_API_KEY": "sk-x"})
    assert [(row["path"], row["plugins"], row["models"], row["upstream"]) for row in routed.fields["routes"]] == [
        ("/v1/audio/voice-clone", ["api_key_auth", "voice_clone"], None, None),
        ("/v1/audio/voice-design", ["api_key_auth", "voice_design"], None, None),
        ("/v1/audio/speech", ["api_key_auth", "voice_ownership", "speech_metering"], None, None),
        ("/v1/audio/voices", ["voice_library"], None, None),
        *[("/v1/audio/voices/{id}", ["voice_library"], None, None)] * 3,
        ("/v1/audio/speech", [], ["minimax-*"], "minimax"),
        ("/v1/audio/**", [], None, "origin"),
    ]


async def test_explain_tells_what_is_refused() -> None:
    path = str(Path(__file__).parent.parent.parent.parent / "config" / "gateway.yaml")
    for method, target, answer in (
        ("GET", "/v1/audio/voice-clone", "405 "),
        ("POST", "/v1/audio/Voice-Clone", "400 "),
        ("GET", "/v1/chat/completions", "404 "),
        ("GET", "/v1/audio/../x", "400 "),
        ("GET", "http://elsewhere/v1/audio/voice-clone", "405 "),
    ):
        explained = await run(
            *("explain", method, target, "--config", path, "--json"), environ={"MINIMAX_API_KEY": "sk-x"}
        )
        assert explained.fields["answer"].startswith(answer)
    forwarded = await run(
        *("explain", "OPTIONS", "/v1/audio/voice-clone", "--config", path, "--json"),
        environ={"MINIMAX_API_KEY": "sk-x"},
    )
    assert (forwarded.fields["plugins"], forwarded.fields["upstream"]) == ([], "origin")


async def test_a_route_that_waits_for_a_model_nobody_reads_is_warned_of(tmp_path: Path) -> None:
    shipped = Path(__file__).parent.parent.parent.parent / "config" / "gateway.yaml"
    path = tmp_path / "gateway.yaml"
    before, _, behind = shipped.read_text().partition("  - use: voice_ownership ")
    path.write_text(before + behind[behind.index("routes:") :])
    checked = await run("check", "--config", str(path), environ={"MINIMAX_API_KEY": "sk-x"})
    assert checked.code == 0
    assert "warning: no plugin reads the model" in checked.err
    whole = await run("check", "--config", str(shipped), environ={"MINIMAX_API_KEY": "sk-x"})
    assert (whole.code, whole.err) == (0, "")
