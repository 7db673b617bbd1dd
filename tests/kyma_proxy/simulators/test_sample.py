from kyma_proxy.simulators.minimax.audio import duration_seconds
from kyma_proxy.simulators.sample import SAMPLE_FILENAME, sample_recording


def test_the_sample_can_be_cloned_and_is_small() -> None:
    recording = sample_recording()

    seconds = duration_seconds(recording)

    assert SAMPLE_FILENAME.endswith(".mp3")
    assert seconds is not None
    assert 10 <= seconds <= 20
    assert len(recording) < 200_000
