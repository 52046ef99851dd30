"""Files that lie at addresses, such as `s3://bucket/scenes/a.ply`: fetching them, and putting results back.

`addresses` says what an address is; `connection` reaches what is behind one, waits for storage that is away for a
while, and makes one sentence of what cannot be; `fetching` brings files here and `cache` keeps what several pieces of
work need; `publishing` puts the outputs of a piece of work back, whole and only once; `mirror` keeps the state of a run
there, so that another machine can go on with it. fsspec moves the bytes.
"""

from leansplat.storage.addresses import is_address, joined, last_name, local_path, parent
from leansplat.storage.cache import Cache
from leansplat.storage.connection import reach
from leansplat.storage.fetching import fetch, files_under
from leansplat.storage.mirror import Mirror
from leansplat.storage.publishing import Published, publish, published

__all__ = [
    "Cache",
    "Mirror",
    "Published",
    "fetch",
    "files_under",
    "is_address",
    "joined",
    "last_name",
    "local_path",
    "parent",
    "publish",
    "published",
    "reach",
]
