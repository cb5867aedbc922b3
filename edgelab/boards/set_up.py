"""Sets the board kit up where it was unpacked: an environment for Python, with what lies in `site`.

`python3 set_up.py` needs Python's standard library alone: no pip, no network. With `--system` the environment
sees the system's packages, such as JetPack's TensorRT. It prints what it has, or why it could not.
"""

# Python 3.6 and newer, to tell an old board what it lacks.
import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ABOUT, MARK = "about.json", "kit.json"
# Loads what the kit is there for, and tells its versions.
TRY = """
import json, numpy
from importlib import metadata
from {module} import Interpreter
names = ("numpy", "ai-edge-litert", "tflite-runtime")
found = {{}}
for name in names:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def set_up(folder, sees_system):
    """The environment, made anew; what it holds."""
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    here = ".".join(platform.python_version_tuple()[:2])
    if here != about["python"] or platform.machine() != about["machine"]:
        raise OSError(
            "this kit is for Python {} on {}, and here is {} on {}".format(
                about["python"], about["machine"], here, platform.machine()
            )
        )
    env, mark = folder / "env", folder / MARK
    if mark.exists():
        mark.unlink()
    shutil.rmtree(str(env), ignore_errors=True)
    more = ["--system-site-packages"] if sees_system else []
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", *more, str(env)], check=True)
    packages = env / "lib" / ("python" + here) / "site-packages"
    for part in (folder / "site").iterdir():
        part.replace(packages / part.name)
    (folder / "site").rmdir()
    python = env / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", TRY.format(module=about["module"])], stdout=subprocess.PIPE, check=True
    )
    found = dict(json.loads(done.stdout.decode("utf-8")), version=about["version"], python=here)
    unfinished = folder / (MARK + ".part")
    unfinished.write_text(json.dumps(found), encoding="utf-8")
    unfinished.replace(mark)
    return found


def main():
    """0 when the kit is ready."""
    folder = Path(__file__).resolve().parent
    try:
        print("ready: " + json.dumps(set_up(folder, "--system" in sys.argv[1:])))
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError) as error:
        print(f"The kit cannot be set up: {error}", file=sys.stderr)
        return 1
    for old in folder.parent.glob("kit-*"):
        if old != folder:
            shutil.rmtree(str(old), ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
