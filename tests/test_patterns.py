import numpy as np
import pytest
from PIL import Image

from esp32_deploy import photos, pixels
from esp32_deploy.errors import DeployError
from esp32_deploy.verify import patterns


def test_first_patterns_are_black_white_and_grey():
    images = patterns.patterns((4, 6, 3), 9)
    assert images.shape == (9, 4, 6, 3)
    assert images.dtype == np.int8
    assert [np.unique(image).tolist() for image in images[:3]] == [[-128], [127], [0]]
    assert all(len(np.unique(image)) > 1 for image in images[3:])


def test_patterns_are_reproducible():
    np.testing.assert_array_equal(patterns.patterns((5, 5, 1), 12), patterns.patterns((5, 5, 1), 12))


def test_photos_are_resized_as_on_the_board(tmp_path):
    photo = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    (image,) = photos.model_inputs(tmp_path, (4, 4, 3), 5)
    expected = pixels.image_to_input(photo, 4, "squash", 3)
    np.testing.assert_array_equal(pixels.bytes_from_int8(image), expected)


def test_folder_without_photos_is_refused(tmp_path):
    with pytest.raises(DeployError, match="has no photos"):
        photos.model_inputs(tmp_path, (4, 4, 3), 5)
