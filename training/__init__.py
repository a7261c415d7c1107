"""Training and evaluation of the embedded networks.

    python -m training train --adversary l2 --output runs/robust
    python -m training train --adversary none --output runs/standard
    python -m training export runs/robust data/robust_animals57.safetensors
    python -m training evaluate

`evaluate` measures the weights that ship in `data/` and writes `data/evaluation.json` and `data/MODEL_CARD.md`.
"""
