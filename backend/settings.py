"""One frozen settings struct, read from the environment once; `app.create_app` takes it and hands the parts on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, parse_qsl, urlsplit

import msgspec

PREFIX = "PAIGONG_"
MODES = ("production", "demo", "acceptance", "test")


class SettingsError(ValueError):
    """The environment asks for something the server refuses; the message says which variable and what to write."""


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket of an S3-compatible store. Without an endpoint it is Amazon's."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What differs between installations. Every field is the environment variable PAIGONG_<NAME>.

    `database` is an SQLAlchemy URL; empty means SQLite in `data_dir`. `clock_file` replaces the clock in acceptance
    mode only. `public_url` is where customers reach this server; reports carry it in their QR code, and no QR code
    while it is empty. `geocoder` is a geopy geocoder's name (`nominatim`, `baiduv3`, ...) or empty for none;
    `geocoder_domain` the host of an own server (`http://...` where it speaks no TLS), `geocoder_key` what some
    geocoders ask for. `planner_memory_mb` is the address space one planner may use, reserved but untouched included.
    On PostgreSQL, `planner_cut_visits` is from how many visits on the plan of a unit with sub-units is cut into parts
    for several workers, and `planner_lease_seconds` how long a worker that says nothing keeps its part.
    `travel` is where travel times come from: `estimate`, `roads:<file>.osm.pbf`, or `osrm:http://<host>:<port>`.
    `task_poll_seconds` is how often background work is looked for; 0 leaves it to other processes. `blobs` is where
    files lie: empty means `data_dir`, `s3://bucket/prefix?endpoint=https://host&region=name` a bucket, with credentials
    in AWS's own variables.
    """

    mode: str = "production"
    data_dir: Path = Path("var")
    database: str = ""
    blobs: str = ""
    host: str = "127.0.0.1"
    port: int = 8300
    clock_file: Path | None = None
    access_minutes: int = 15
    refresh_days: int = 30
    planner_seconds: float = 10.0
    planner_memory_mb: Annotated[int, msgspec.Meta(ge=256)] = 4096
    planner_cut_visits: Annotated[int, msgspec.Meta(ge=2)] = 300
    planner_lease_seconds: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    task_poll_seconds: float = 0.5
    travel: str = "estimate"
    geocoder: str = ""
    geocoder_domain: str = ""
    geocoder_key: str = ""
    public_url: str = ""

    @property
    def database_url(self) -> str:
        """The SQLAlchemy async URL of the database in use."""
        return self.database or f"sqlite+aiosqlite:///{self.data_dir / 'paigong.db'}"

    @property
    def blob_dir(self) -> Path:
        """Where files lie, by their sha256; with a bucket, only what is still on its way into it."""
        return self.data_dir / "blobs"

    @property
    def bucket(self) -> Bucket | None:
        """The bucket files lie in, if they do; raises SettingsError."""
        return _bucket(self.blobs) if self.blobs else None


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read PAIGONG_* variables; raises SettingsError for unknown names, wrong types and refused combinations."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX)}
    unknown = given.keys() - set(Settings.__struct_fields__)
    if unknown:
        msg = f"未知设置 / unknown setting: {', '.join(sorted(PREFIX + name.upper() for name in unknown))}"
        raise SettingsError(msg)
    try:
        settings = msgspec.convert(given, Settings, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        name = PREFIX + place.strip("`").upper()
        msg = f"设置有误 / a setting is not right: {name}={given[place.strip('`')]!r}: {said}"
        raise SettingsError(msg) from error
    return checked(settings)


def checked(settings: Settings) -> Settings:
    """Return the settings if the server may run on them; raises SettingsError otherwise."""
    if settings.mode not in MODES:
        msg = f"PAIGONG_MODE must be one of {', '.join(MODES)}, not {settings.mode!r}"
        raise SettingsError(msg)
    if settings.clock_file and settings.mode != "acceptance":
        msg = (
            "PAIGONG_CLOCK_FILE is refused outside PAIGONG_MODE=acceptance: a wrong clock would break every commitment"
        )
        raise SettingsError(msg)
    _ = settings.bucket
    _check_travel(settings.travel)
    return settings


def _check_travel(travel: str) -> None:
    kind, _, rest = travel.partition(":")
    url = urlsplit(rest)
    size = parse_qs(url.query).get("max_table_size", ["100"])[-1]
    server = url.scheme in {"http", "https"} and url.hostname and size.isdecimal() and int(size) > 1
    if travel == "estimate" or (kind == "roads" and rest) or (kind == "osrm" and server):
        return
    msg = (
        "PAIGONG_TRAVEL 应写作 estimate、roads:文件.osm.pbf 或 osrm:http://主机:端口 / "
        "PAIGONG_TRAVEL is written estimate, roads:<file>.osm.pbf or osrm:http://<host>:<port>"
    )
    raise SettingsError(msg)


def _bucket(address: str) -> Bucket:
    """Read `blobs`. What was written is not repeated in the error: somebody may have put a key into it."""
    url = urlsplit(address)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    endpoint = urlsplit(query.get("endpoint", "https://host"))
    wrong = (
        url.scheme != "s3" or not url.hostname or "@" in address or url.port or url.fragment
        or query.keys() - {"endpoint", "region"} or endpoint.scheme not in {"http", "https"} or not endpoint.netloc
    )  # fmt: skip
    if wrong:
        msg = (
            "PAIGONG_BLOBS 应写作 s3://存储桶/前缀?endpoint=https://主机&region=区域,密钥放在 AWS_ACCESS_KEY_ID 和 "
            "AWS_SECRET_ACCESS_KEY 中 / PAIGONG_BLOBS is written s3://bucket/prefix?endpoint=https://host&region=name; "
            "keys belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
        raise SettingsError(msg)
    return Bucket(
        name=url.netloc, prefix=url.path.strip("/"), endpoint=query.get("endpoint", ""), region=query.get("region", "")
    )


def _decode(wanted: type, value: object) -> object:
    if wanted is Path:
        return Path(str(value))
    msg = f"cannot read {value!r} as {wanted.__name__}"
    raise TypeError(msg)
