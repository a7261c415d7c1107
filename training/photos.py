"""The photos: 57 animal classes of Tiny ImageNet-200 (Stanford CS231n), 64 x 64 pixels."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from pset4.files.download import Job, download
from pset4.networks.small_resnet import resize

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
ZIP_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
ZIP_SIZE = 248_100_043
PACKED_SHA256 = "874432ca3a27a72727929367a85237ce96c70aeb92bc935cb3b41c9907206169"
ZIP_ROOT = "tiny-imagenet-200"
# Side of the photos in pixels. Budgets are L2 norms at this size.
PHOTO_SIDE = 64

# fmt: off
ANIMAL_WNIDS: tuple[str, ...] = (
    "n01443537", "n01629819", "n01641577", "n01644900", "n01698640", "n01742172", "n01768244", "n01770393",
    "n01774384", "n01774750", "n01784675", "n01855672", "n01882714", "n01910747", "n01917289", "n01944390",
    "n01945685", "n01950731", "n01983481", "n01984695", "n02002724", "n02056570", "n02058221", "n02074367",
    "n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799", "n02123045", "n02123394",
    "n02124075", "n02125311", "n02129165", "n02132136", "n02165456", "n02190166", "n02206856", "n02226429",
    "n02231487", "n02233338", "n02236044", "n02268443", "n02279972", "n02281406", "n02321529", "n02364673",
    "n02395406", "n02403003", "n02410509", "n02415577", "n02423022", "n02437312", "n02480495", "n02481823",
    "n02486410",
)
# fmt: on


@dataclass(frozen=True)
class Photos:
    """Photos with their classes.

    Attributes:
        images: (N, 3, 64, 64), uint8.
        labels: (N,), int64, positions in `ANIMAL_WNIDS`.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def sample(self, n: int, seed: int) -> Photos:
        """`n` of the photos, drawn without replacement; the order is random too."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))[:n]
        return Photos(self.images[order], self.labels[order])

    def pixels(self) -> Tensor:
        """The images as pixels in [0, 1], float32."""
        return self.images.float() / 255


def load_photos(path: Path) -> tuple[Photos, Photos]:
    """Reads the photos for training and for validation.

    Args:
        path: `tiny-imagenet-200.zip` as Stanford publishes it, or the packed `tiny_imagenet_animals57.npz`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is neither of the two, or is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no photos at {path}; leave out --data, and they are downloaded from {URL}")
    if zipfile.is_zipfile(path) and path.suffix == ".zip":
        return load_zip(path)
    found = file_hash(path, "sha256")
    if found != PACKED_SHA256:
        raise ValueError(
            f"{path} is not tiny_imagenet_animals57.npz: SHA-256 is {found}, expected {PACKED_SHA256}; "
            "copy the file again, or leave out --data to download the photos"
        )
    return load_packed(path)


def file_hash(path: Path, algorithm: str) -> str:
    """Hexadecimal hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def load_packed(path: Path) -> tuple[Photos, Photos]:
    """Reads an npz file: JPEG files one after the other in `blob`, cut at `offsets`, with `label` and `is_val`."""
    with np.load(path) as archive:
        blob, offsets = archive["blob"], archive["offsets"]
        labels = torch.from_numpy(archive["label"].astype(np.int64))
        is_val = torch.from_numpy(archive["is_val"].astype(bool))
    images = decode_all(blob[a:b].tobytes() for a, b in pairwise(offsets))
    return Photos(images[~is_val], labels[~is_val]), Photos(images[is_val], labels[is_val])


def load_zip(path: Path) -> tuple[Photos, Photos]:
    """Picks the animals out of Stanford's archive, without unpacking it.

    Raises:
        ValueError: If a class has no photos: the archive is another one, or is cut short.
    """
    with zipfile.ZipFile(path) as archive:
        training = _training_entries(archive)
        validation = _validation_entries(archive)
        missing = set(ANIMAL_WNIDS) - {wnid for _, wnid in training}
        if missing:
            raise ValueError(
                f"{path} holds no training photos of {', '.join(sorted(missing))}; download it again from {URL}"
            )
        return _read(archive, training), _read(archive, validation)


def _training_entries(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """(name in the archive, WordNet id), class by class and by number within a class."""
    entries = []
    for name in archive.namelist():
        parts = name.split("/")
        if len(parts) == 5 and parts[1] == "train" and parts[2] in ANIMAL_WNIDS and name.endswith(".JPEG"):
            entries.append((name, parts[2]))
    return sorted(entries, key=lambda entry: (entry[1], int(Path(entry[0]).stem.rpartition("_")[2])))


def _validation_entries(archive: zipfile.ZipFile) -> list[tuple[str, str]]:
    """The same for the validation photos, whose classes stand in a table."""
    table = archive.read(f"{ZIP_ROOT}/val/val_annotations.txt").decode("utf-8")
    rows = (line.split("\t")[:2] for line in table.splitlines() if line)
    return [(f"{ZIP_ROOT}/val/images/{file}", wnid) for file, wnid in rows if wnid in ANIMAL_WNIDS]


def _read(archive: zipfile.ZipFile, entries: list[tuple[str, str]]) -> Photos:
    labels = torch.tensor([ANIMAL_WNIDS.index(wnid) for _, wnid in entries])
    return Photos(decode_all(archive.read(name) for name, _ in entries), labels)


def decode_all(files: Iterable[bytes]) -> Tensor:
    """JPEG files -> (N, 3, H, W), uint8; greyscale ones become RGB."""
    return torch.stack([decode(file) for file in files])


def decode(file: bytes) -> Tensor:
    """One JPEG file -> (3, H, W), uint8."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(file)).convert("RGB"))).permute(2, 0, 1)


def fetch_zip(folder: Path, *, url: str = URL, md5: str = ZIP_MD5, size: int | None = ZIP_SIZE) -> Path:
    """Downloads Tiny ImageNet, or goes on with a download that was cut; 248 MB.

    Args:
        folder: Where the file goes.
        url: Another address of the same file.
        md5: Its checksum.
        size: Its size in bytes.

    Returns:
        Path of the complete file.

    Raises:
        ValueError: If the checksum is wrong; the file is removed.
        pset4.files.download.DownloadError: If it cannot be had.
    """
    target = folder / "tiny-imagenet-200.zip"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        job = Job(url=url, part=target.with_suffix(".part"), label="Tiny ImageNet", size=size)
        download(job)
        found = file_hash(job.part, "md5")
        if found != md5:
            job.discard()
            raise ValueError(f"{url} sent a file with MD5 {found}, expected {md5}; it is removed, try again later")
        job.part.replace(target)
    return target


def augment(images: Tensor, side: int, generator: torch.Generator, *, margin: int = 6) -> Tensor:
    """Random mirror images and random crops, then the size of the moment.

    Args:
        images: (B, 3, H, W), uint8.
        side: Height and width of the result.
        generator: Source of the randomness.
        margin: Pixels of reflection on each side, from which the crops are taken.

    Returns:
        (B, 3, side, side), pixels in [0, 1].
    """
    n, height, width = len(images), images.shape[-2], images.shape[-1]
    padded = pad(images.float() / 255, (margin,) * 4, mode="reflect")
    top, left = torch.randint(2 * margin + 1, (2, n, 1), generator=generator)
    rows = top + torch.arange(height)  # (B, H)
    columns = left + torch.arange(width)  # (B, W)
    flipped = torch.rand(n, 1, generator=generator) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    index = torch.arange(n)[:, None, None]
    cropped = padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]]  # (B, H, W, 3)
    return resize(cropped.permute(0, 3, 1, 2), side)
