"""What jobs read from S3 and write to it, with their role's credentials through their VPC."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting


class TransferError(Exception):
    """Data cannot be read or written; the message says what and why."""


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URI.

    Raises:
        TransferError: It is none.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise TransferError(f"{uri} is not an S3 URI: s3://bucket/prefix")
    return parts.netloc, parts.path.lstrip("/")


class Transfer:
    """Reads and writes S3 objects as a job's role.

    Args:
        environment: The task's environment, with its credentials.
        role_arn: The role, for messages.
    """

    def __init__(self, environment: Mapping[str, str], role_arn: str) -> None:
        self._s3 = acting.client_of("s3", environment)
        self._region = environment["AWS_REGION"]
        self._role_arn = role_arn

    def download(
        self, uri: str, folder: Path, *, kind: str = "S3Prefix", unzip: bool = False
    ) -> None:
        """Reads all objects below a prefix, or all that a manifest names, into a folder.

        Args:
            uri: Prefix, or the manifest's URI.
            folder: Made when missing.
            kind: ``S3Prefix`` or ``ManifestFile``.
            unzip: Whether objects are gzip files, as ``CompressionType: Gzip`` says.

        Raises:
            TransferError: There is nothing, the role may not read it, or a name leaves the folder.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for bucket, key, name in self._objects(uri, kind):
            target = (folder / name).resolve()
            if not target.is_relative_to(folder.resolve()):
                raise TransferError(f"s3://{bucket}/{key} would be written outside its folder.")
            target.parent.mkdir(parents=True, exist_ok=True)
            self.fetch(f"s3://{bucket}/{key}", target)
            if unzip:
                _gunzip(target)

    def fetch(self, uri: str, target: Path) -> None:
        """Reads one object into a file.

        Raises:
            TransferError: It does not exist, or the role may not read it.
        """
        bucket, key = split(uri)
        try:
            body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
            with target.open("wb") as file:
                shutil.copyfileobj(body, file)
        except (BotoCoreError, ClientError) as error:
            raise TransferError(
                f"Data download failed: {uri} cannot be read with {self._role_arn}: {error}"
            ) from error

    def names(self, uri: str, kind: str = "S3Prefix") -> list[tuple[str, str]]:
        """URI and relative name of each object below a prefix, or of a manifest.

        Raises:
            TransferError: There is nothing, or the role may not list it.
        """
        return [(f"s3://{bucket}/{key}", name) for bucket, key, name in self._objects(uri, kind)]

    def _objects(self, uri: str, kind: str) -> Iterator[tuple[str, str, str]]:
        """Bucket, key and relative name of each object."""
        bucket, prefix = split(uri)
        if kind == "ManifestFile":
            yield from self._of_manifest(uri)
            return
        if kind != "S3Prefix":
            raise TransferError(
                f"The local cloud reads no {kind} data ({uri}): add it in"
                " localcloud/emulator/jobs/transfer.py."
            )
        try:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        except (BotoCoreError, ClientError) as error:
            raise TransferError(
                f"Data download failed: {uri} cannot be listed with {self._role_arn}: {error}"
            ) from error
        keys = [key for key in keys if not key.endswith("/")]
        if not keys:
            raise TransferError(
                f'Data download failed: No S3 objects found under S3 URL "{uri}". Please ensure'
                f" that the bucket exists in the selected region ({self._region}), that objects"
                f' exist under that S3 prefix, and that the role "{self._role_arn}" has'
                f' "s3:ListBucket" permissions on bucket "{bucket}".'
            )
        for key in keys:
            below = prefix.endswith("/") or key[len(prefix) :].startswith("/")
            start = len(prefix) if below else prefix.rfind("/") + 1
            yield bucket, key, key[start:].lstrip("/")

    def _of_manifest(self, uri: str) -> Iterator[tuple[str, str, str]]:
        first, *names = json.loads(self.read(uri))
        for name in names:
            bucket, key = split(f"{str(first['prefix']).rstrip('/')}/{name}")
            yield bucket, key, str(name)

    def read(self, uri: str) -> bytes:
        """One object's content.

        Raises:
            TransferError: It does not exist, or the role may not read it.
        """
        bucket, key = split(uri)
        try:
            return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except (BotoCoreError, ClientError) as error:
            raise TransferError(f"{uri} cannot be read with {self._role_arn}: {error}") from error

    def upload(self, folder: Path, uri: str, key_id: str | None) -> None:
        """Writes all files of a folder below a prefix; links are not followed.

        Args:
            folder: The folder.
            uri: The prefix.
            key_id: KMS key to encrypt them with; None leaves it to the bucket.

        Raises:
            TransferError: The role may not write, or use the key.
        """
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = path.relative_to(folder).as_posix()
                self.put(f"{uri.rstrip('/')}/{name}", path.read_bytes(), key_id)

    def put(self, uri: str, body: bytes, key_id: str | None) -> None:
        """Writes one object.

        Raises:
            TransferError: The role may not write it, or use the key.
        """
        bucket, key = split(uri)
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id} if key_id else {}
        try:
            self._s3.put_object(Bucket=bucket, Key=key, Body=body, **encryption)
        except (BotoCoreError, ClientError) as error:
            raise TransferError(
                f"Upload failed: {uri} cannot be written with {self._role_arn}: {error}"
            ) from error


def _gunzip(path: Path) -> None:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise TransferError(f"{path.name} is not a gzip file: {error}") from error
    path.with_suffix("" if path.suffix == ".gz" else path.suffix).write_bytes(content)
    if path.suffix == ".gz":
        path.unlink()


def pack(folder: Path, archive: Path) -> None:
    """Makes a ``.tar.gz`` of a folder's content."""
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, arcname=path.name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a ``.tar.gz`` into a folder.

    Raises:
        TransferError: It is no such archive, or an entry would leave the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar.getmembers():
                # The filter below would only strip the root of an absolute name.
                if member.name.startswith("/"):
                    raise TransferError(f"{archive.name} has an absolute path: {member.name}")
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise TransferError(f"{archive.name} cannot be unpacked: {error}") from error
