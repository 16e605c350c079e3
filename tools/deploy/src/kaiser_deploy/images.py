"""`python -m kaiser_deploy.images list|write|renew|check`: the third-party images, named once, in deploy/images.toml.

`write` puts them where they are used; `renew` asks the registry for the digest of each tag and writes those; `check`
only compares. If the process is killed, each file is complete, either old or new. It uses only the standard library, as
secret_files.py does.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kaiser_deploy.image_registry import DOCKER_HUB, Unanswered, digest_of

SOURCE = Path("deploy/images.toml")
COMPOSE = Path("compose.yaml")
DOCKERFILE = Path("deploy/docker/Dockerfile")
KUBERNETES = Path("deploy/kubernetes/components/images/kustomization.yaml")
BASE = "python"
"""The image that Kaiser's own are built on."""
IN_KUBERNETES = ("nats", "mosquitto", "timescaledb")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"v?\d+\.\d+\.\d+(-[a-z0-9.-]+)?")
_NUMBER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


class Unusable(Exception):
    """deploy/images.toml or a file that takes from it is not as it must be; the text says where."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of others: its name at Docker Hub, one release as tag, the digest of that tag or nothing."""

    key: str
    name: str
    tag: str
    digest: str
    least: str
    why: str

    @property
    def tagged(self) -> str:
        """Name and tag, as a machine without a registry has it."""
        return f"{self.name}:{self.tag}"

    @property
    def pinned(self) -> str:
        """The whole reference: name, tag, and the digest if it is known."""
        return self.tagged + (f"@{self.digest}" if self.digest else "")

    @property
    def in_compose(self) -> str:
        """For compose.yaml: an empty KAISER_IMAGE_DIGESTS in the environment leaves the digests out."""
        return self.tagged + (f"${{KAISER_IMAGE_DIGESTS-@{self.digest}}}" if self.digest else "")


def version(text: str) -> tuple[int, ...]:
    """The numbers of a tag such as v3.13.3 or 2.29.2-pg17."""
    found = _NUMBER.match(text)
    if not found:
        raise Unusable(f"{text!r} names no release such as 1.2.3")
    return tuple(map(int, found.groups()))


def read(text: str) -> tuple[Image, ...]:
    """The images of a file's text. Unusable: a tag that floats, a digest that is none, a version below the least."""
    images = tuple(Image(key=key, **table) for key, table in tomllib.loads(text).items())
    for image in images:
        if not _TAG.fullmatch(image.tag):
            raise Unusable(f"{SOURCE}: {image.key}: the tag {image.tag!r} names no single release, such as 1.2.3")
        if image.digest and not _DIGEST.fullmatch(image.digest):
            raise Unusable(f"{SOURCE}: {image.key}: {image.digest!r} is no digest: sha256: and 64 digits")
        if version(image.tag) < version(image.least):
            raise Unusable(f"{SOURCE}: {image.key}: {image.tag} is older than {image.least}: {image.why}")
    return images


def with_digests(text: str, digests: Mapping[str, str]) -> str:
    """The text of the file with these digests by key; comments and all else stay."""
    for key, digest in digests.items():
        pattern = re.compile(rf'(^\[{re.escape(key)}\]$(?:\n(?!\[).*)*?\ndigest = )"[^"]*"', re.MULTILINE)
        text, count = pattern.subn(rf'\g<1>"{digest}"', text)
        if count != 1:
            raise Unusable(f"{SOURCE}: [{key}] has no line that begins with digest =")
    return text


def compose(text: str, images: Iterable[Image]) -> str:
    """compose.yaml with every image as it is to be; the base of Kaiser's own is the anchor x-base."""
    for image in images:
        start = r"^x-base: &base\n  " if image.key == BASE else r"^    image: "
        pattern = re.compile(rf"({start}){re.escape(image.name)}:\S+$", re.MULTILINE)
        text, count = pattern.subn(rf"\g<1>{image.in_compose}", text)
        if not count:
            raise Unusable(f"{COMPOSE} does not name {image.name}")
    return text


def dockerfile(text: str, images: Iterable[Image]) -> str:
    """The Dockerfile with its base as it is to be."""
    (base,) = [image for image in images if image.key == BASE]
    text, count = re.subn(r"(?m)^ARG PYTHON_IMAGE=\S+$", f"ARG PYTHON_IMAGE={base.pinned}", text)
    if count != 1:
        raise Unusable(f"{DOCKERFILE} has no line ARG PYTHON_IMAGE=")
    return text


def kubernetes(images: Iterable[Image]) -> str:
    """The kustomize component that says which images the servers run."""
    lines = []
    for image in images:
        if image.key in IN_KUBERNETES:
            digest = f", digest: '{image.digest}'" if image.digest else ""
            lines.append(f"  - {{name: {image.name}, newTag: {image.tag}{digest}}}\n")
    return (
        "# Written by `make images` from deploy/images.toml.\n"
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:\n" + "".join(lines)
    )


def written(root: Path, images: tuple[Image, ...]) -> dict[Path, str]:
    """Every file that takes images from here, as it is to be."""
    return {
        COMPOSE: compose((root / COMPOSE).read_text(), images),
        DOCKERFILE: dockerfile((root / DOCKERFILE).read_text(), images),
        KUBERNETES: kubernetes(images),
    }


def main() -> None:
    """Entry point. Exit status: 0 done or equal, 1 something differs, 2 it could not be found out."""
    arguments = _parser().parse_args()
    try:
        sys.exit(_carry_out(arguments, arguments.root))
    except (Unusable, Unanswered, OSError, tomllib.TOMLDecodeError) as error:
        print(f"kaiser: {error}", file=sys.stderr)
        sys.exit(2)


def _carry_out(arguments: argparse.Namespace, root: Path) -> int:
    text = (root / SOURCE).read_text()
    images = read(text)
    match arguments.command:
        case "list":
            for image in images:
                print(image.key, image.tagged if arguments.tags else image.pinned)
            return 0
        case "write":
            return _write(root, written(root, images))
        case "renew":
            renewed = tuple(
                replace(image, digest=digest_of(image.name, image.tag, arguments.registry)) for image in images
            )
            text = with_digests(text, {image.key: image.digest for image in renewed})
            return _write(root, {SOURCE: text, **written(root, renewed)})
        case _:
            return _check(arguments, root, images)


def _write(root: Path, files: Mapping[Path, str]) -> int:
    for path, text in files.items():
        target = root / path
        if target.exists() and target.read_text() == text:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.new")
        part.write_text(text)
        part.replace(target)
        print(f"wrote {path}")
    return 0


def _check(arguments: argparse.Namespace, root: Path, images: tuple[Image, ...]) -> int:
    differ = [
        f"{path} differs from {SOURCE}: run `make images`"
        for path, text in written(root, images).items()
        if not (root / path).exists() or (root / path).read_text() != text
    ]
    if not arguments.offline:
        for image in images:
            digest = digest_of(image.name, image.tag, arguments.registry)
            if digest != image.digest:
                here = image.digest or "no digest"
                differ.append(f"{image.tagged} is {digest} at the registry, {here} here: run `make images-renew`")
    for line in differ:
        print(line, file=sys.stderr)
    return 1 if differ else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kaiser_deploy.images", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(), help="folder of the repository, default: this one")
    parser.add_argument("--registry", default=DOCKER_HUB, help=f"default: {DOCKER_HUB}; a mirror is asked the same way")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    listed = commands.add_parser("list", help="every image: its key and its reference")
    listed.add_argument("--tags", action="store_true", help="without digests")
    commands.add_parser("write", help="put the images where they are used; asks no registry")
    commands.add_parser("renew", help="ask the registry for the digest of each tag, and write what it says")
    check = commands.add_parser("check", help="change nothing; 1 if a file or a digest differs")
    check.add_argument("--offline", action="store_true", help="compare the files alone")
    return parser


if __name__ == "__main__":
    main()
