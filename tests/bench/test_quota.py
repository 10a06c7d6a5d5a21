import pytest
from bench.quota import limited
from bench.servers import UnavailableError


def test_what_cannot_be_limited_is_told():
    with pytest.raises(UnavailableError, match="control group"), limited(2**22 + 1, 0.2):
        pass
