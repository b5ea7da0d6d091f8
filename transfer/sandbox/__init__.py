"""An XNAT-compatible server for the demonstration, for tests and for training, as unkind as the real one."""

from transfer.sandbox.server import Sandbox
from transfer.sandbox.settings import Faults, Project, SandboxSettings, User

__all__ = ["Faults", "Project", "Sandbox", "SandboxSettings", "User"]
