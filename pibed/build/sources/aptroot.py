"""The configuration that apt is run with, which is not the system's.

apt runs with a configuration folder of its own: the system's package sources for the running
release, with source packages added. No root is needed and nothing of the system changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pibed.base.errors import HostError

_SYSTEM = Path("/etc/apt")

_OS_RELEASE = Path("/etc/os-release")


def configure(own: Path, types: str = "deb deb-src") -> list[str]:
    """Writes the configuration into the folder `own`; returns apt-get's options to use it.

    `types` are those of sources.list(5) that it has.
    """
    for folder in ("lists/partial", "cache/archives/partial", "sources.list.d"):
        (own / folder).mkdir(parents=True, exist_ok=True)
    sources = own / "sources.list.d" / "pibed.sources"
    sources.write_text(_system_sources(release(), types), encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": own / "sources.list.d",
        "Dir::State::Lists": own / "lists",
        "Dir::Cache": own / "cache",
        "APT::Sandbox::User": "root",  # no switch of users: the folders are the caller's
        # A list that could not be had must not look like a version that is gone.
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    return ["--quiet", *_options(settings)]


def configure_for(architecture: str, own: Path) -> list[str]:
    """The same for a system of another architecture, on which nothing is installed yet."""
    options = configure(own, "deb")
    status = own / "status"
    status.touch()
    return [
        *options,
        *_options(
            {
                "APT::Architecture": architecture,
                "APT::Architectures": "",
                "APT::Architectures::": architecture,
                "Dir::State": own,
                "Dir::State::Lists": own / "lists",
                "Dir::State::Status": status,
                # What the user prefers on the host says nothing of the guest.
                "Dir::Etc::Preferences": "/dev/null",
                "Dir::Etc::PreferencesParts": "/dev/null",
                "APT::Default-Release": "",
                "APT::Install-Recommends": "false",
            }
        ),
    ]


def _options(settings: Mapping[str, object]) -> list[str]:
    return [f"--option={key}={value}" for key, value in settings.items()]


def release() -> str:
    """The code name of the running release, such as bookworm."""
    for line in _OS_RELEASE.read_text(encoding="utf-8").splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip().strip('"')
    raise HostError(f"{_OS_RELEASE}: no VERSION_CODENAME; the builder 'debian' needs Debian")


def _system_sources(codename: str, types: str) -> str:
    """The system's package sources for the release, as deb822 text, of these types.

    Sources of other releases are left out. See sources.list(5).
    """
    from debian.deb822 import Deb822

    wanted = {codename, f"{codename}-updates", f"{codename}-security"}
    stanzas = []
    for path in sorted((_SYSTEM / "sources.list.d").glob("*.sources")):
        with path.open(encoding="utf-8") as file:
            for paragraph in Deb822.iter_paragraphs(file, use_apt_pkg=False):
                suites = [suite for suite in paragraph.get("Suites", "").split() if suite in wanted]
                if suites and paragraph.get("Enabled", "yes").lower() not in ("no", "false", "0"):
                    paragraph["Types"] = types
                    paragraph["Suites"] = " ".join(suites)
                    stanzas.append(paragraph.dump())
    for path in [_SYSTEM / "sources.list", *sorted((_SYSTEM / "sources.list.d").glob("*.list"))]:
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                if stanza := _from_one_line(line, wanted, types):
                    stanzas.append(stanza)
    if not stanzas:
        raise HostError(
            f"apt has no package sources for {codename} in {_SYSTEM}",
            fix="add the distribution's own package sources",
        )
    return "\n".join(stanzas)


def _from_one_line(line: str, wanted: set[str], types: str) -> str | None:
    """A one-line entry ("deb [options] uri suite component…") as deb822, if its suite is wanted."""
    words = line.partition("#")[0].split()
    if not words or words[0] != "deb":
        return None
    text = " ".join(words[1:])
    options = ""
    if text.startswith("["):
        options, _, text = text[1:].partition("]")
    parts = text.split()
    if len(parts) < 2:
        return None
    uri, suite, *components = parts
    if suite not in wanted:
        return None
    names = {"signed-by": "Signed-By", "trusted": "Trusted"}
    stanza = f"Types: {types}\nURIs: {uri}\nSuites: {suite}\nComponents: {' '.join(components)}\n"
    for option in options.split():
        key, _, value = option.partition("=")
        if key in names:
            stanza += f"{names[key]}: {value}\n"
    return stanza
