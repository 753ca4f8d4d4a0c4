"""A real S3-compatible server for tests: OpenStack Swift with its S3 API, on one disk, in a process of its own.

    python tests/swift_server.py <folder> <port>

Its proxy, account, container and object servers run in one process instead of four, on the loopback. It checks
signatures, keeps objects on the disk and joins parts as in an installation.
"""

import sys
import warnings
from array import array
from pathlib import Path
from typing import Any, Final

warnings.filterwarnings("ignore")  # eventlet says that it is old; Swift's servers are written with it
import eventlet  # noqa: E402

eventlet.monkey_patch()  # before anything else is imported, as it wants it
from eventlet import wsgi  # noqa: E402
from swift.account.server import AccountController  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.middleware import catch_errors, listing_formats, slo, tempauth  # noqa: E402
from swift.common.middleware.s3api import s3api  # noqa: E402
from swift.common.ring import RingData  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.server import ObjectController  # noqa: E402
from swift.proxy.server import Application  # noqa: E402

PART_SHIFT: Final = 32
"""One partition for everything."""


def serve(folder: Path, port: int) -> None:
    """Serve until killed; the account is `office`, its user `paigong`, the secret in tests/s3_server.py."""
    (folder / "devices" / "disk").mkdir(parents=True, exist_ok=True)
    utils.HASH_PATH_PREFIX, utils.HASH_PATH_SUFFIX = b"paigong", b"tests"
    conf = {
        "swift_dir": str(folder), "devices": str(folder / "devices"), "mount_check": "false", "bind_ip": "127.0.0.1",
        "disable_fallocate": "true", "log_level": "CRITICAL",
    }  # fmt: skip
    for name, controller in (
        ("account", AccountController), ("container", ContainerController), ("object", ObjectController),
    ):  # fmt: skip
        listener = eventlet.listen(("127.0.0.1", 0))
        RingData([array("H", [0])], [_device(listener.getsockname()[1])], PART_SHIFT).save(
            str(folder / f"{name}.ring.gz")
        )
        eventlet.spawn(wsgi.server, listener, controller(conf), log_output=False)
    wsgi.server(eventlet.listen(("127.0.0.1", port)), _proxy(conf), log_output=False)


def _device(port: int) -> dict[str, Any]:
    place = {"ip": "127.0.0.1", "port": port, "replication_ip": "127.0.0.1", "replication_port": port}
    return {"id": 0, "zone": 0, "region": 1, "device": "disk", "weight": 1.0, **place}


def _proxy(conf: dict[str, str]) -> Any:
    app: Any = Application({**conf, "account_autocreate": "true"})
    for part, more in (
        (slo, {}), (tempauth, {"user_office_paigong": "photos-of-lifts .admin"}),
        (s3api, {"location": "us-east-1", "auth_pipeline_check": "false"}), (listing_formats, {}), (catch_errors, {}),
    ):  # fmt: skip
        app = part.filter_factory({**conf, **more})(app)
    return app


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
