"""An audit without a run, as it is asked for on the command line, and the words that repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from he_compare.common.backbones.device import AUTOMATIC, CPU, resolve_device
from he_compare.common.references.opening import shown_spec
from he_compare.comparisons.measuring.dataset_spec import default_folder_name, shown_dataset
from he_compare.comparisons.measuring.opening_options import DataOptions, option_words


@dataclass(frozen=True)
class AuditRequest:
    """An audit as requested on the command line."""

    dataset: str
    data_dir: Path | None
    ciphers: tuple[str, ...]
    pipelines: tuple[str, ...]
    attacks: tuple[str, ...]
    budget: str
    seed: int
    image_size: int
    subset: str
    test_limit: int | None
    out: Path | None
    offline: bool
    require_real: bool
    quiet: bool
    key_seed: int | None = None
    public: tuple[str, ...] = ()
    options: DataOptions = field(default_factory=DataOptions)
    device: str = AUTOMATIC

    def folder(self) -> Path:
        """Return the folder that is written: as named, or named after the dataset."""
        name = default_folder_name(self.dataset, self.data_dir)
        return self.out or Path("runs") / f"audit-{name}-{self.budget}"

    def command(self) -> str:
        """Return the command up to targets and attacks, without paths of this machine."""
        words = [f"compare audit run --dataset {shown_dataset(self.dataset, self.data_dir)}"]
        if self.subset:
            words.append(f"--subset {self.subset}")
        words += option_words(self.options)
        if self.test_limit is not None:
            words.append(f"--test-limit {self.test_limit}")
        words.append(f"--image-size {self.image_size} --budget {self.budget}")
        words.append(f"--seed {self.seed}")
        if self.key_seed is not None:
            words.append(f"--key-seed {self.key_seed}")
        return " ".join(words)

    def whole_command(self) -> str:
        """Return the command with what an audit goes on with as well: public images and the GPU
        that learned attacks run on."""
        device = resolve_device(self.device)
        public = "".join(f" --public {shown_spec(spec)}" for spec in self.public)
        return self.command() + public + ("" if device.name == CPU else f" --device {device.name}")
