"""The paper's claims about gradients and classes, measured: for the notebooks and the figures.

gradients           Fig. 1 and its multi-class view: the size of the gradient at each confidence
pixel_statistics    one sweep over labelled images: sums by confidence and by class
class_statistics    what follows from these sums: shares of the gradient, Fig. 2 and Fig. 4
difficulty          Fig. 5: the most and the least confident samples
guidance            which pixels multi-level guidance labels, and how often it is right
logits              what networks predict, image by image
before_after        all of these for a run, before and after its adaptation
adaptation          Fig. 5 from the first step of an adaptation to its last
plots               each figure, drawn into given axes
paper_figures       the figures of a run, put together
figures             the command that draws them
unlabelled          the command that compares runs without labels of the target
demo_run            the demo at a size for notebooks
"""
