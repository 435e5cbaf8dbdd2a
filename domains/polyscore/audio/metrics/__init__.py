"""Scores of enhanced speech against its clean reference, and some without a reference.

| score | of | unit | source |
|---|---|---|---|
| `si_sdr`, `si_ratios` | energies | dB | Le Roux, Wisdom, Erdogan, Hershey 2019, arXiv 1811.02508 |
| `lsd`, `log_mel` | distance of spectra | dB | Gray, Markel 1976 |
| `stoi`, `estoi` | intelligibility | 0 to 1 | Taal, Hendriks, Heusdens, Jensen 2011; Jensen, Taal 2016 |
| `pesq`, `pesq_nb` | quality | 1 to 4.64, 4.55 | ITU-T P.862.2, P.862.1 |
| `DNSMOS` | quality, without a reference | 1 to 5 | Reddy, Gopal, Cutler 2021, arXiv 2010.15258, and 2022, arXiv 2110.01763 |

All but the last take waves (..., L) of one shape and return (...,).
"""

from polyscore.audio.metrics.dnsmos import DNSMOS
from polyscore.audio.metrics.perceptual import estoi, pesq, pesq_nb, stoi
from polyscore.audio.metrics.ratios import Ratios, si_ratios, si_sdr
from polyscore.audio.metrics.spectra import log_mel, lsd

__all__ = ["DNSMOS", "Ratios", "estoi", "log_mel", "lsd", "pesq", "pesq_nb", "si_ratios", "si_sdr", "stoi"]
