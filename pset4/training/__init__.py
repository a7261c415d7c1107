"""Training and evaluation of the embedded networks.

    python -m pset4.training train --adversary l2 --output runs/robust
    python -m pset4.training train --adversary none --output runs/standard
    python -m pset4.training export runs/robust data/robust_animals57.safetensors
    python -m pset4.training evaluate

`evaluate` measures the weights that ship in `data/` and writes `data/evaluation.json` and `data/MODEL_CARD.md`.
"""
