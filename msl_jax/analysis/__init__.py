"""What the paper says about gradients and classes, measured: for the notebooks and the figures.

gradients    Fig. 1 and its multi-class view: how large a gradient a confidence gives
pixels       one sweep over labelled images: sums by confidence and by class, from which follow
shares       who gets the gradient, Fig. 2 and Fig. 4
difficulty   Fig. 5: the most and the least confident samples
guided       what multi-level guidance labels, and how rightly
study        all of these for a run, before and after its adaptation
adaptation   Fig. 5 on the way from the one to the other
classified   the same of a classifier, as the paper has it
figures      the command that draws them
unlabelled   the command that compares runs without labels of the target
"""
