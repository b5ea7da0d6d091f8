"""Cuts a packed file into parts for a destination: runs of whole chunks, each digested as it will be sent."""

from hashlib import md5, sha256

from kspace.records import Chunk, Part


class Cutter:
    """Takes the chunks of one packed file as they come, and knows its parts of at most ``part_bytes`` each.

    A larger chunk is a part of its own, as `container.cut` has it. Every cut of one file uses the same names from 00001
    on. A smaller ``part_bytes`` never gives fewer parts, so a later, finer cut replaces every file of an earlier one.
    """

    def __init__(self, part_bytes: int) -> None:
        self.part_bytes = part_bytes
        self._parts: list[Part] = []
        self._offset = self._size = 0
        self._md5, self._sha256 = md5(usedforsecurity=False), sha256()

    def add(self, chunk: Chunk, stored: bytes) -> None:
        """Take the next chunk with its stored bytes."""
        if self._size and self._size + chunk.stored_bytes > self.part_bytes:
            self._parts.append(self._part())
            self._offset, self._size = chunk.offset, 0
            self._md5, self._sha256 = md5(usedforsecurity=False), sha256()
        self._size += chunk.stored_bytes
        self._md5.update(stored)
        self._sha256.update(stored)

    def parts(self) -> tuple[Part, ...]:
        """Return the parts of what was taken so far."""
        return (*self._parts, self._part()) if self._size else ()

    def _part(self) -> Part:
        number = len(self._parts) + 1
        return Part(
            number=number,
            name=f"part-{number:05d}.bin",
            offset=self._offset,
            size=self._size,
            md5=self._md5.hexdigest(),
            sha256=self._sha256.hexdigest(),
        )
