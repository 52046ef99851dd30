"""`leansplat trim`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from leansplat.commands.answer import Answer, describe_run
from leansplat.commands.captures import load_capture
from leansplat.commands.closing import closing, scene_in_words, size_of
from leansplat.commands.options import (
    Background,
    Batch,
    CaptureFolder,
    Count,
    Device,
    Downscale,
    Engine,
    Flag,
    Json,
    Overwrite,
    Quiet,
    Resume,
    RunFolder,
    Scene,
    Seed,
    Share,
    Threads,
    Watch,
    batch_size,
    engine_on,
)
from leansplat.commands.photo_options import photo_options
from leansplat.commands.resuming import begun_run
from leansplat.commands.watch import seen
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.schedule import EASED

if TYPE_CHECKING:
    from leansplat.pruning import TrimmingResult

_CRITERIA_HELP = "Criterion by which Gaussians are judged. " + " ".join(
    f"{name}: {text[:1].lower()}{text.splitlines()[0][1:]}"
    for name, text in ((name, function.__doc__ or " ") for name, function in CRITERIA.items())
)

_PAPERS = "(default: {}; 1 with the paper's criteria, gradient and opacity)"

_ONE_CRITERION = PrimitiveConstructorSpec(
    nargs=1,
    metavar="CRITERION",
    instance_from_str=lambda words: words[0],
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda value: [value],
    choices=tuple(CRITERIA),
)


@dataclass(frozen=True, kw_only=True)
class Trim:
    """Remove the Gaussians that a scene needs least, in rounds with training in between, then fine-tune the others.

    Say how far to go with exactly one of --keep, --count, --gamma, --target-sparsity and --control. The scene may come
    from any tool. At the end, it is measured on the photos held out.

    Example: leansplat trim runs/garden --capture photos/ --downscale 4 --keep 25% -o runs/garden-25
    """

    scene: Scene
    capture: CaptureFolder
    output: RunFolder
    keep: Share = None
    """Share of the Gaussians to keep, exactly, such as 25% or 0.25."""
    count: Count = None
    """Number of Gaussians to keep, exactly."""
    gamma: Annotated[
        float | None,
        arg(
            metavar="QUANTILE",
            help="Quantile of the paper: each round removes the Gaussians that are below it both in opacity and in "
            "gradient. The paper has 0.225 to 0.6.",
            help_behavior_hint="",
        ),
    ] = None
    target_sparsity: Annotated[
        Share,
        arg(
            metavar="SHARE",
            help="Share of the Gaussians to remove, from which Eq. 6 of the paper makes --gamma. Fewer are removed in "
            "fact; --keep is exact.",
        ),
    ] = None
    criterion: Annotated[
        str,
        _ONE_CRITERION,
        arg(
            help=_CRITERIA_HELP,
            help_behavior_hint="(default: gaussianpop, or gradient with --gamma, --target-sparsity or stale gradients)",
        ),
    ] = ""
    gradient_source: Annotated[
        Literal["fresh", "stale"],
        arg(
            help="Source of the gradients. fresh gathers them anew before every round; stale keeps those of training "
            "throughout, as the authors' code does.",
        ),
    ] = "fresh"
    rounds: Annotated[int, arg(metavar="N")] = 10
    """Number of rounds of pruning. The first comes before any training."""
    every: Annotated[int, arg(metavar="N")] = 500
    """Number of training steps after each round."""
    finetune: Annotated[int, arg(metavar="N")] = 10_000
    """Number of further training steps at the end."""
    spacing: Annotated[
        float | None,
        arg(
            metavar="POWER",
            help="Where most Gaussians go: 1 keeps the same share in every round, less removes more in the first ones.",
            help_behavior_hint=_PAPERS.format(f"{EASED.spacing:g}"),
        ),
    ] = None
    position_rate: Annotated[
        float | None,
        arg(
            metavar="FACTOR",
            help="Learning rate of positions at the start, in units of the one that training ended with, to which it "
            "falls.",
            help_behavior_hint=_PAPERS.format(f"{EASED.position_rate:g}"),
        ),
    ] = None
    rate: Annotated[
        float | None,
        arg(
            metavar="FACTOR",
            help="All other learning rates at the start, in units of those of training.",
            help_behavior_hint=_PAPERS.format(f"{EASED.rate:g}"),
        ),
    ] = None
    final_rate: Annotated[
        float | None,
        arg(
            metavar="FACTOR",
            help="All other learning rates at the end, in the same units.",
            help_behavior_hint=_PAPERS.format(f"{EASED.final_rate:g}"),
        ),
    ] = None
    pressure: Annotated[
        float | None,
        arg(
            metavar="LOGITS",
            help="How far opacities are pressed down between the first round and the last for each halving of the "
            "Gaussians, unless the photos hold them up.",
            help_behavior_hint=f"(default: {EASED.pressure:g}; 0 with the paper's criteria, --gamma, "
            "--target-sparsity and --control)",
        ),
    ] = None
    control: Flag = False
    """Train as long but prune nothing, to see what the extra training alone gives."""
    unseen: Annotated[
        Literal["opacity", "keep", "prune"],
        arg(
            help="Treatment of Gaussians that no training view sees. opacity ranks them by their opacity, keep removes "
            "them last, and prune removes them first.",
        ),
    ] = "opacity"
    downscale: Downscale = None
    background: Background = None
    batch: Batch = None
    seed: Seed = None
    device: Device = None
    engine: Engine = None
    resume: Resume = False
    overwrite: Overwrite = False
    view: Watch = False
    threads: Threads = None
    quiet: Quiet = False
    json: Json = False

    shared: ClassVar[bool] = True
    """Several processes that torchrun starts share the work."""

    def check(self) -> None:
        """Refuse what is wrong whatever the scene is.

        Raises:
            InputError: something is.
        """
        from leansplat.pruning import TrimmingConfig

        TrimmingConfig(**self._given())

    def _given(self) -> dict[str, Any]:
        """The settings of a trimming, as they were given or are by default."""
        from leansplat.pruning import TrimmingConfig

        given = {entry.name: getattr(self, entry.name) for entry in fields(TrimmingConfig) if hasattr(self, entry.name)}
        return given | {"batch": 1 if self.batch is None else self.batch, "seed": self.seed or 0}

    def run(self) -> Answer:
        from leansplat.locks import alone_in
        from leansplat.progress_bar import ProgressBar
        from leansplat.pruning import TrimmingConfig, trim

        engine = engine_on(self.device, self.engine)
        given = self._given()
        changed = any(getattr(self, entry.name) != entry.default for entry in fields(self) if entry.name in given)
        with alone_in(self.output), seen(self.view, self.output), ProgressBar("trim", quiet=self.quiet) as progress:
            begun = begun_run(self.output, self.threads) if self.resume else None
            given["batch"] = batch_size(self.batch)
            config = TrimmingConfig(**given) if begun is None or changed else None
            known = self.scene if begun is None else self.output
            photos = photo_options(known, self.background, self.downscale, warn=False)
            progress.stage("loading the photos")
            # With its points, so that the run records the same capture as a training on it does.
            capture = load_capture(self.capture, photos.downscale, photos.background, points=True)
            progress.stage("")
            result = trim(
                self.scene,
                capture,
                config,
                self.output,
                engine=engine,
                settings={"capture": str(self.capture), **photos.to_json()},
                resume=begun is not None,
                overwrite=self.overwrite,
                progress=progress,
            )
            progress.stage("measuring on held-out views")
            answer = describe_run(result, capture)
            original = {"bytes": size_of(self.scene), "gaussians": self._began_with(result)}
            return replace(answer, values={**answer.values, "original": original}, closing=self._closing(result))

    def _began_with(self, result: TrimmingResult) -> int | None:
        """How many Gaussians the scene had."""
        assert result.run is not None
        return next((event["gaussians"] for event in result.run.events() if event["event"] == "started"), None)

    def _closing(self, result: TrimmingResult) -> tuple[str, str]:
        before, after = size_of(self.scene), size_of(self.output) or 0
        return closing(
            scene_in_words(self.scene, self._began_with(result), before),
            scene_in_words(self.output, len(result.gaussians), after),
            bytes_before=before,
            bytes_after=after,
            views=[self.scene, self.output],
            reported=self.output,
        )
