from tests.pipelines.publish.conftest import cleaner

__all__ = ["cleaner"]
