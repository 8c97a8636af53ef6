"""Handlers for MONAI's engines, one a file."""

from pipeline.handlers.early_stop import EarlyStop
from pipeline.handlers.history import History
from pipeline.handlers.image_panel import ImagePanel
from pipeline.handlers.run_state import RunState
from pipeline.handlers.step_decay import StepDecay
from pipeline.handlers.stop_on_divergence import StopOnDivergence
from pipeline.handlers.write_crops import WriteCropPredictions
from pipeline.handlers.write_lesions import WriteLesionPredictions
from pipeline.handlers.write_predictions import WritePredictions
from pipeline.handlers.write_regions import WriteRegions
from pipeline.handlers.write_screening import WriteScreening
from pipeline.handlers.write_volumes import WriteVolumes

__all__ = ["EarlyStop", "History", "ImagePanel", "RunState", "StepDecay", "StopOnDivergence", "WriteCropPredictions",
           "WriteLesionPredictions", "WritePredictions", "WriteRegions", "WriteScreening", "WriteVolumes"]
