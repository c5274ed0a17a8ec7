"""What is special to each kind of task.

task              what a run asks of a task
registry          which task a configuration means
segmentation      network, evaluation and pictures, as a configuration describes them
classification    the same
photos            what predict.py asks of a task
photo_maps        the files of a segmentation
photo_classes     the table of a classification
"""
