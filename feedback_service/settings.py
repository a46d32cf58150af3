"""How the service is reached and what it allows: given by the command line, checked where it starts. Reads no file, no environment."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from feedback_service import PORT


class Settings(BaseModel):
    """One running service. Port 0 takes any free one; the line told at the start names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    host: str = "127.0.0.1"
    port: int = Field(default=PORT, ge=0, le=65535)
    allow_hosts: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    is_behind_proxy: bool = False
    dagster_url: HttpUrl | None = None
    """Where Dagster's UI and MLflow's are, for links; None leaves them out."""
    mlflow_url: HttpUrl | None = None
    requests_per_s: float = Field(default=1_000.0, gt=0)
    """Of one client (token, or address where there are no tokens); `burst` of them at once."""
    burst: int = Field(default=2_000, ge=1)
