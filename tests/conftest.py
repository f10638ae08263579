import pytest
from drawn_arrays import write_arrays
from shared_data import SHARED_DATA

import block  # noqa: F401  must come before any import of torch, because it sets how torch's threads wait


@pytest.fixture(scope="session")
def shared_data():
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder shared/data with real photos and weights is missing")
    return SHARED_DATA


@pytest.fixture
def block_directory(tmp_path):
    return write_arrays(tmp_path / "data")
