"""A session bus with gnome-keyring on it, for tests."""

import contextlib
import os
import subprocess

UNLOCKED = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; "


@contextlib.contextmanager
def desktop(home, unlocked=True):
    """The environment of programs in that session. Its keyrings are below `home`."""
    runtime = home / "run"
    for folder in [home, runtime]:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    environment = {**os.environ, "XDG_DATA_HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"]:
        environment.pop(name, None)
    # It ends when standard input does.
    script = (UNLOCKED if unlocked else "") + 'echo "$DBUS_SESSION_BUS_ADDRESS"; cat'
    bus = subprocess.Popen(
        ["dbus-run-session", "--", "sh", "-c", script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = bus.stdout.readline().decode().strip()
        assert address, "there is no session bus"
        yield {**environment, "DBUS_SESSION_BUS_ADDRESS": address}
    finally:
        bus.stdin.close()
        bus.wait(timeout=30)
        bus.stdout.close()
