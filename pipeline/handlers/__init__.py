"""Handlers for MONAI's engines, one a file."""

from pipeline.handlers.early_stop import EarlyStop
from pipeline.handlers.image_panel import ImagePanel
from pipeline.handlers.run_state import RunState
from pipeline.handlers.step_decay import StepDecay
from pipeline.handlers.stop_on_divergence import StopOnDivergence
from pipeline.handlers.write_lesions import WriteLesionPredictions
from pipeline.handlers.write_predictions import WritePredictions

__all__ = ["EarlyStop", "ImagePanel", "RunState", "StepDecay", "StopOnDivergence", "WriteLesionPredictions",
           "WritePredictions"]
