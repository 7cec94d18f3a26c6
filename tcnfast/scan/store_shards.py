"""Shards at a URL: made on this machine and put there, and fetched to be merged."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ..base.disk import write_text
from ..base.errors import TcnfastError
from ..base.options import Run, setting
from ..base.run_folder import KEY, RECORD
from ..base.store import Store, is_url, last_name
from ..base.verb import File
from .shard_folder import ShardFolder

ALL = "/*"  # ends a URL that stands for all shards below it


def shard_at(out: File, run: Run, make: Callable[[File], object]) -> object:
    """Let ``make`` write into the folder ``out``. If ``out`` is a URL, it writes into a local
    folder, whose files are then copied to the URL, run.json last.

    Files of a run that was stopped while copying (key.json among them) are replaced with
    ``resume``. Raises TcnfastError for a URL if the output is not a shard, or if files are there
    and neither ``force`` nor ``resume`` was given.
    """
    if not is_url(out):
        return make(out)
    url = str(out).rstrip("/")
    if run.shard is None:
        raise TcnfastError(
            f"{setting('out')} {url}: is a URL, where only shards go ({setting('shard')}); give a "
            "folder"
        )
    store = Store(url)
    there = store.names()
    if there and RECORD not in there and not run.force:
        if KEY not in there:
            raise TcnfastError(
                f"{url}: holds something that is no shard; choose another {setting('out')}, or "
                f"{setting('force', True)} to replace it"
            )
        if not run.resume:
            raise TcnfastError(
                f"{url}: was left by an unfinished run; give {setting('resume', True)} or "
                f"{setting('force', True)} to begin anew"
            )
    with tempfile.TemporaryDirectory(prefix="tcnfast-shard-") as scratch:
        folder = Path(scratch) / last_name(url)
        if RECORD in there:  # whether it may be replaced, or is this one, is told as of a folder
            store.get_all(folder)
        with _called({folder: url}):
            made = make(folder)
        if run.force or RECORD not in there:
            store.clear()
            write_text(Path(scratch) / KEY, "{}\n")
            store.put(Path(scratch) / KEY, KEY)
            store.put_all(folder, last=[RECORD])
            store.remove(KEY)
        if isinstance(made, ShardFolder):
            made.path = url
    return made


@contextmanager
def shards_here(shards: Sequence[File]) -> Iterator[list[ShardFolder]]:
    """The shards, those at URLs in folders of this machine until the block ends. A URL that ends
    with ``/*`` is all shards below it."""
    # none where no shard needs it: a kill leaves it behind
    remote = any(map(is_url, shards))
    room = tempfile.TemporaryDirectory(prefix="tcnfast-shards-") if remote else nullcontext("")
    with room as scratch:
        urls: dict[Path, str] = {}
        places: list[File] = []
        for shard in shards:
            for url in _each(str(shard)) if is_url(shard) else [shard]:
                place = url
                if is_url(url):
                    place = Path(scratch) / str(len(urls)) / last_name(str(url))
                    urls[place] = str(url)
                    Store(str(url)).get_all(place)
                places.append(place)
        with _called(urls):
            yield [ShardFolder(place) for place in places]


def _each(url: str) -> list[str]:
    if not url.endswith(ALL):
        return [url.rstrip("/")]
    store = Store(url.removesuffix(ALL))
    ends = f"/{RECORD}"
    found = [name.removesuffix(ends) for name in store.names() if name.endswith(ends)]
    if not found:
        raise TcnfastError(f"{url}: there is no finished shard")
    return [store.of(name) for name in found]


@contextmanager
def _called(urls: dict[Path, str]) -> Iterator[None]:
    """Errors name the URLs, not the folders of this machine."""
    try:
        yield
    except TcnfastError as error:
        words = str(error)
        for path, url in urls.items():
            words = words.replace(str(path.resolve()), url).replace(str(path), url)
        if words == str(error):
            raise
        raise type(error)(words) from None
