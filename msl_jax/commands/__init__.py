"""What train.py, eval.py and predict.py do once their flags are parsed."""
