"""What train.py, eval.py and predict.py do after parsing their flags."""
