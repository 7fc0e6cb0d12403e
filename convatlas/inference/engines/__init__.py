"""What can run a network: plain torch in several forms, and the engines that are optional extras."""

from convatlas.inference.engines.base import Engine, Plan, Runner, Unsuitable, Workbench
from convatlas.inference.engines.registry import ENGINES, engine, engines_for

__all__ = ["ENGINES", "Engine", "Plan", "Runner", "Unsuitable", "Workbench", "engine", "engines_for"]
