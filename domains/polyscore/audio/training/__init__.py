"""Training of speech enhancers: predictors, score models, bridges, flows, StoRM and consistency models."""

from polyscore.audio.training.consistency import Consistency
from polyscore.audio.training.objectives import DataPrediction, HalfSum, MeanLoss, Regeneration, StateEDMWeight
from polyscore.audio.training.predictor import PredictorTraining
from polyscore.audio.training.preview import SpeechPreview
from polyscore.audio.training.reconstruction import Reconstruction
from polyscore.audio.training.speech import SpeechTraining
from polyscore.audio.training.times import OftenAtStart

__all__ = [
    "Consistency",
    "DataPrediction",
    "HalfSum",
    "MeanLoss",
    "OftenAtStart",
    "PredictorTraining",
    "Reconstruction",
    "Regeneration",
    "SpeechPreview",
    "SpeechTraining",
    "StateEDMWeight",
]
