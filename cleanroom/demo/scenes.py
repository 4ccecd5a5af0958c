"""`cleanroom demo --scene goods|leads|search`: a story of the domain on the demo market, from import to measured lift.

Runs by itself and the same each time, but for the noise of what is released. All persons and what they do are made up.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from cleanroom.demo import scene_goods, scene_leads, scene_search, scene_stage
from cleanroom.demo.scene_report import write_report
from cleanroom.demo.scene_stage import RESULTS, Facts, Stage
from cleanroom.errors import UsageError
from cleanroom.node.local import Progress
from cleanroom.node.together import Together

SCENES: Mapping[str, Callable[[Stage], Facts]] = {
    "goods": scene_goods.told,
    "leads": scene_leads.told,
    "search": scene_search.told,
}


def play(folder: Path, scene: str, as_of: str | None = None, scale: float = 0.5, *, replace: bool = False,
         progress: Progress | None = None) -> Facts:  # fmt: skip
    """The scene in the new home `folder`: figures, and the path of its report.

    as_of: the last day before the campaign, by default so that the campaign ended yesterday. Raises UsageError for a
    scene that is not known, a folder that is taken and a scale that is too small.
    """
    if scene not in SCENES:
        raise UsageError("There is no scene {name}.", "There are: {known}.", name=scene[:64], known=", ".join(SCENES))
    with Together() as meeting:
        stage = scene_stage.set_up(folder, as_of, scale, meeting, replace=replace, progress=progress)
        facts = {"scene": scene, **SCENES[scene](stage)}
    report = stage.folder / RESULTS / f"scene-{scene}.html"
    write_report(report, facts)
    found, truth = facts["measured"]["measured"], facts["reactions"]
    return {
        "home": str(stage.folder), "scene": scene, "report": str(report), "as_of": stage.market.as_of.isoformat(),
        "until": stage.last.isoformat(), "difference": found["difference"], "planted": truth["planted"],
        "came": truth["came"], "payers": found["payers"], "revenue": found["revenue"],
        "worth": facts["measured"]["worth"], "sent": facts["activation"]["sent"],
        "receipts": found["receipts"], "commitment": facts["activation"]["commitment"],
    }  # fmt: skip
