"""Files that lie at addresses, such as `s3://bucket/scenes/a.ply`: fetching them, and putting results back.

`addresses` says what an address is; `connection` reaches what is behind one, waits for storage that is away for a
while, and makes one sentence of what cannot be; `fetching` brings files here and `cache` keeps what several pieces of
work need; `putting` writes
single files and `publishing` the outputs of a piece of work, whole and only once; `mirror` keeps the state of a run, so
that another machine can go on with it. fsspec moves the bytes.
"""

from leansplat.storage.addresses import checked, is_address, joined, last_name, local_path, parent
from leansplat.storage.cache import Cache
from leansplat.storage.connection import AwayError, reach
from leansplat.storage.fetching import Listed, NothingThereError, fetch, files_under, identity, listed_file
from leansplat.storage.mirror import Mirror
from leansplat.storage.publishing import FOLDER, Published, TakenError, publish, published, withdraw
from leansplat.storage.putting import put_bytes, put_file, remove
from leansplat.storage.scratch import scratch_folder, scratch_root

__all__ = [
    "FOLDER",
    "AwayError",
    "Cache",
    "Listed",
    "Mirror",
    "NothingThereError",
    "Published",
    "TakenError",
    "checked",
    "fetch",
    "files_under",
    "identity",
    "is_address",
    "joined",
    "last_name",
    "listed_file",
    "local_path",
    "parent",
    "publish",
    "published",
    "put_bytes",
    "put_file",
    "reach",
    "remove",
    "scratch_folder",
    "scratch_root",
    "withdraw",
]
