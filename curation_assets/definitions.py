"""The one code location: everything that exists, put together. Nothing is defined here."""

import dagster as dg

from curation_assets.build import build_defs
from resources.home import Home

defs: dg.Definitions = build_defs(Home.find())
