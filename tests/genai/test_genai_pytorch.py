"""What stands for the PyTorch image's serving answers as the model itself does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from localcloud import environments
from localcloud.emulator.jobs import standins

SCRIPT = """
import json, os, sys
from pathlib import Path

import torch

sys.path.insert(0, sys.argv[1])
folder = Path(sys.argv[2])
os.environ.update(LOCALCLOUD_MODEL=str(folder), LOCALCLOUD_CODE=str(folder / "none"))
import model_server

try:
    model_server.Model("pytorch", str(folder))
except FileNotFoundError as error:
    without = str(error)
model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh())
torch.jit.script(model).save(str(folder / "model.pth"))
served = model_server.Model("pytorch", str(folder))
rows = [[1.0, 2.0], [3.0, -4.0]]
print(json.dumps({
    "without": without,
    "wanted": model(torch.tensor(rows)).tolist(),
    "json": json.loads(served.answer(json.dumps(rows).encode(), "application/json", "*/*")[0]),
    "csv": served.answer(b"1,2\\n3,-4\\n", "text/csv", "text/csv")[0].decode(),
}))
"""


def test_a_torchscript_model_is_served_without_a_script(tmp_path: Path) -> None:
    scripts = Path(str(standins.__file__)).parent
    done = subprocess.run(
        [environments.python("genai"), "-c", SCRIPT, scripts, tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "neither code/inference.py nor model.pth" in told["without"]
    assert told["json"] == told["wanted"]
    lines = [[float(value) for value in line.split(",")] for line in told["csv"].splitlines()]
    assert lines == told["wanted"]
