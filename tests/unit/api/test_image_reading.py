from pathlib import Path

import pytest

from service.api.image_reading import bytes_of, waiting_max
from service.settings import Settings
from tests.fakes.images import image_manifest


@pytest.mark.parametrize(("memory", "texts", "expected"), [(100, 4096, 100), (100, 40, 40)])
def test_no_more_images_wait_for_a_pass_than_there_is_memory_for(
    memory: int, texts: int, expected: int, tmp_path: Path
) -> None:
    shape = image_manifest().image
    assert shape is not None
    shape = shape.model_copy(update={"height": 224, "width": 224})
    settings = Settings(
        bundle=tmp_path,
        state=tmp_path,
        images_bytes_max=memory * bytes_of(shape),
        queue_texts_max=texts,
    )
    assert waiting_max(settings, shape) == expected
    assert waiting_max(settings, None) == texts
